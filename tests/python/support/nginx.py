"""A real nginx in front of the server, on ports of the kernel's choice, over plain HTTP and TLS."""

import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from support.server import DEADLINE, Log, clean_environment

# Another address than the server's and nginx's own, so that it is nobody's trusted proxy.
CLIENT = "127.0.0.2"

MAIN = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr notice;
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {site}
}}
"""


ROOT = Path(__file__).resolve().parents[3]


def documented_sites():
    """The sites that people copy; only what a machine has one of is changed: ports, and the path of the socket."""
    page = (ROOT / "docs" / "nginx.md").read_text()
    return {
        "deploy": as_a_test((ROOT / "deploy" / "nginx.conf").read_text()),
        "page": as_a_test(re.search(r"```nginx\n(.*?)```", page, re.DOTALL)[1]),
    }


def as_a_test(site):
    """A site on the ports and the socket of a test."""
    site = site.replace("\n    listen [::]:80;", "")
    site, ports = re.subn(r"\n    listen 80;", "\n    listen 127.0.0.1:{port};\n    listen 127.0.0.1:{secure_port};", site)
    site, sockets = re.subn(r"\n    server unix:/run/\w+/http.sock ", "\n    server {upstream} ", site)
    assert ports == 1 and sockets > 1, site
    return site


def installed_nginx():
    """nginx, where it is installed, with what makes its certificate."""
    # Debian has it in /usr/sbin, which is on no ordinary user's path.
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    return found if shutil.which("openssl") else None


def find_nginx():
    """nginx; on Debian as root it can be installed, so its absence is a failure."""
    if found := installed_nginx():
        return found
    message = "nginx or openssl is not installed"
    if Path("/etc/debian_version").exists() and os.geteuid() == 0:
        pytest.fail(message + "; `make test` installs them")
    pytest.skip(message)


class Nginx:
    """nginx with a site; `{port}`, `{secure_port}`, `{upstream}` and `{certificate}` in it are filled in."""

    def __init__(self, directory, site, server):
        program = find_nginx()
        self.directory = Path(directory) / "nginx"
        self.directory.mkdir()
        self.listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.port, self.secure_port = (listener.getsockname()[1] for listener in self.listeners)
        values = {
            "port": self.port,
            "secure_port": self.secure_port,
            "upstream": f"127.0.0.1:{server.port}" if server.transport == "tcp" else f"unix:{server.path}",
            "certificate": self._certificate(),
        }
        for name, value in values.items():
            site = site.replace("{" + name + "}", str(value))
        # Its workers would be another user, who may not enter the test's directory.
        user = "user root;" if os.geteuid() == 0 else ""
        self.configuration = self.directory / "nginx.conf"
        self.configuration.write_text(MAIN.format(directory=self.directory, site=site, user=user))
        # As an nginx does that takes over from another (nginx.org, "Upgrading Executable on the Fly"): the ports
        # are the kernel's choice, and nobody can take them in between.
        descriptors = [listener.fileno() for listener in self.listeners]
        environment = clean_environment(NGINX="".join(f"{number};" for number in descriptors))
        self.command = [program, "-p", str(self.directory), "-c", str(self.configuration)]
        self.options = {"env": environment, "pass_fds": descriptors, "stdin": subprocess.DEVNULL}
        self.test()
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, **self.options
        )
        self.log = Log(self.process.stdout)
        self.log.wait_for("start worker process")

    def test(self):
        """`nginx -t`"""
        run = subprocess.run(
            [*self.command, "-t"], capture_output=True, text=True, timeout=DEADLINE, check=False, **self.options
        )
        assert run.returncode == 0 and "test is successful" in run.stderr, run.stderr

    def connect(self):
        """A new connection."""
        return socket.create_connection(("127.0.0.1", self.port), DEADLINE, (CLIENT, 0))

    def secure(self):
        """A client over TLS."""
        context = ssl.create_default_context(cafile=self.directory / "certificate.pem")
        return http.client.HTTPSConnection(
            "localhost", self.secure_port, timeout=DEADLINE, context=context, source_address=(CLIENT, 0)
        )

    def close(self):
        """Ends it, and fails if it does not end."""
        self.process.terminate()
        try:
            self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self.process.wait(DEADLINE)
            self.log.reader.join(DEADLINE)
            for listener in self.listeners:
                listener.close()

    def _certificate(self):
        """A certificate for localhost, its key beside it; the lines that name both."""
        key, certificate = self.directory / "key.pem", self.directory / "certificate.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
            + ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
            check=True,
            capture_output=True,
            timeout=60,
        )
        return f"ssl_certificate {certificate}; ssl_certificate_key {key};"
