"""What a service manager is told and hands over, without one: its protocols are a datagram and a few variables."""

import json
import signal
import socket
import subprocess

import pytest

from support.client import ask
from support.server import DEADLINE, FERRICORN, clean_environment

APP = """
import json
import os
import sys

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    print("printed on", environ["PATH_INFO"])
    print("complained on", environ["PATH_INFO"], file=sys.stderr)
    return [json.dumps(dict(os.environ)).encode()]
"""


@pytest.fixture
def manager(tmp_path):
    """The receiving end of NOTIFY_SOCKET."""
    ears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ears.settimeout(DEADLINE)
    ears.bind(str(tmp_path / "notify"))
    yield ears
    ears.close()


def told(ears, assignment):
    """The first message that holds an assignment beginning so; as a dictionary."""
    while True:
        lines = ears.recv(4096).decode().splitlines()
        if any(line.startswith(assignment) for line in lines):
            return dict(line.split("=", 1) for line in lines)


def test_manager_is_told_of_each_stage_and_apps_do_not_see_it(serve, tmp_path, manager):
    (tmp_path / "site_app.py").write_text(APP)
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000"}
    server = serve("site_app", "-w", "2", environment=environment)
    assert int(told(manager, "EXTEND_TIMEOUT_USEC=")["EXTEND_TIMEOUT_USEC"]) == 130 * 1000 * 1000
    ready = told(manager, "READY=1")
    assert ready["MAINPID"] == str(server.process.pid)
    assert (ready["WATCHDOG"], ready["STATUS"]) == ("1", "2 of 2 workers ready, generation 1, 0 requests")
    server.ready()
    seen = json.loads(ask(server, "GET", "/").content)
    assert "PATH" in seen and not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & set(seen)

    server.reload()
    assert int(told(manager, "RELOADING=1")["MONOTONIC_USEC"]) > 0
    assert told(manager, "READY=1")["STATUS"] == "2 of 2 workers ready, generation 2, 1 requests"
    (tmp_path / "site_app.py").write_text("raise ValueError('broken on purpose')")
    server.reload("reload failed")
    told(manager, "RELOADING=1")
    status = told(manager, "READY=1")["STATUS"]
    assert status.startswith("2 of 2 workers ready, generation 2, 1 requests; degraded: reload failed: cannot import site_app: ")
    assert status.endswith("ValueError: broken on purpose")

    server.signal(signal.SIGTERM)
    assert "EXTEND_TIMEOUT_USEC" in told(manager, "STOPPING=1")
    assert server.wait() == 0


def test_manager_that_is_not_there_is_only_complained_of(serve, tmp_path):
    (tmp_path / "site_app.py").write_text(APP)
    environment = {"NOTIFY_SOCKET": str(tmp_path / "nobody")}
    server = serve("site_app", "-w", "1", environment=environment).ready()
    server.log.wait_for("WARN .* the service manager is not told")


def test_what_apps_print_appears_line_by_line(serve, tmp_path):
    (tmp_path / "site_app.py").write_text(APP)
    # Standard output is a pipe here, for which Python collects 8 KiB by itself.
    server = serve("site_app", "-w", "1").ready()
    ask(server, "GET", "/one")
    server.log.wait_for("^printed on /one$")
    server.log.wait_for("^complained on /one$")


def start_with(listener, directory, *arguments):
    """The server with a socket handed over as systemd does: as descriptor 3, by the number of the very process."""
    # bash, since others know descriptors of one digit only.
    script = f"exec 3<&{listener.fileno()}; export LISTEN_FDS=1 LISTEN_FDNAMES=web.socket LISTEN_PID=$$; exec \"$@\""
    return subprocess.Popen(
        ["bash", "-c", script, "bash", FERRICORN, "serve", "hello", "-w", "2", *arguments],
        cwd=directory,
        env=clean_environment(),
        pass_fds=[listener.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def stopped(process):
    """The log of a server that is told to stop."""
    process.terminate()
    log = process.communicate(timeout=DEADLINE)[1]
    assert process.returncode == 0, log
    return log


@pytest.mark.parametrize("configured, warned", [(False, False), ("same", False), ("other", True)])
def test_handed_socket_stands_in_the_place_of_configured_ones(tmp_path, configured, warned):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        bind = {False: [], "same": ["-b", f"127.0.0.1:{port}"], "other": ["-b", f"unix:{tmp_path}/other.sock"]}[configured]
        process = start_with(listener, tmp_path, *bind)
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert client.recv(64).startswith(b"HTTP/1.1 200")
            log = stopped(process)
        finally:
            process.kill()
            process.wait(DEADLINE)
    assert ("is not bound, since the service manager has handed over its own sockets (web.socket)" in log) == warned, log
    assert not (tmp_path / "other.sock").exists()


def test_handed_socket_that_is_no_stream_is_refused(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        process = start_with(datagrams, tmp_path)
        log = process.communicate(timeout=DEADLINE)[1]
    assert process.returncode == 4
    assert "cannot bind fd://3 (of web.socket): descriptor 3 is no listening stream socket" in log
