"""A server to be disturbed, with all doors to it: its own sockets or handed ones, and nginx in front."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

from support.nginx import Nginx, documented_sites, installed_nginx
from support.server import DEADLINE, MARK, Log, clean_environment, ends_soon, marked

APPS = Path(__file__).resolve().parents[2] / "tests" / "python" / "apps"

# Both apps answer with the request as they have seen it. The first half of the WSGI one can take its time.
NATIVE_APP = 'target = "echo"'
WSGI_APP = 'target = "site_app"'
SLOW = """

_at_once = application


def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.01)
    return _at_once(environ, start_response)
"""

CONFIG = """
[server]
bind = {bind}

[workers]
count = {workers}
max_requests = {max_requests}
max_requests_jitter = {jitter}

[[app]]
{app}
"""

# sd_listen_fds(3): from descriptor 3 on, for this very process.
HAND_OVER = """
import os, sys
numbers = [int(number) for number in sys.argv[1].split(",")]
copies = [os.dup(number) for number in numbers]
for place, copy in enumerate(copies, 3):
    os.dup2(copy, place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(numbers)))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Site:
    """`ferricorn serve` in a directory of its own, listening on TCP and on UNIX."""

    def __init__(self, program, app, sockets, workers, config=""):
        self.app, self.sockets, self.count, self.config = app, sockets, workers, config
        self.directory = Path(tempfile.mkdtemp(prefix="ferricorn-stress-"))
        self.program, self.mark = Path(program).resolve(), uuid.uuid4().hex
        self.fronts, self.handed, self.process = [], [], None
        try:
            self.write_app()
            self.configure()
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self):
        command = [str(self.program), "serve", "-c", "ferricorn.toml"]
        if self.sockets == "handed":
            self.handed = [socket.create_server(("127.0.0.1", 0), backlog=2048), self._unix_listener()]
            numbers = ",".join(str(listener.fileno()) for listener in self.handed)
            command = [sys.executable, "-c", HAND_OVER, numbers, *command]
        self.process = subprocess.Popen(
            command,
            cwd=self.directory,
            env=clean_environment(**{MARK: self.mark}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[listener.fileno() for listener in self.handed],
            start_new_session=True,
        )
        self.log = Log(self.process.stdout)
        self.log.wait_for(rf"ready: {self.count} workers?, generation 1\b")
        self.port = int(self.log.wait_for(r"listening at http://127\.0\.0\.1:(\d+)")[0][1])

    def _unix_listener(self):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen(2048)
        return listener

    @property
    def path(self):
        """The UNIX socket."""
        return self.directory / "http.sock"

    def doors(self, with_nginx):
        """Every way in, by name."""
        doors = {"TCP": ("127.0.0.1", self.port), "UNIX": str(self.path)}
        if with_nginx and installed_nginx():
            behind = (
                ("nginx over TCP", SimpleNamespace(transport="tcp", port=self.port)),
                ("nginx over UNIX", SimpleNamespace(transport="unix", path=self.path)),
            )
            for name, server in behind:
                place = self.directory / server.transport
                place.mkdir()
                front = Nginx(place, documented_sites()["deploy"], server)
                self.fronts.append(front)
                doors[name] = ("127.0.0.1", front.port)
        return [{"name": name, "address": address} for name, address in doors.items()]

    def write_app(self, more=""):
        """The WSGI app, replaced in one step as a deployment would."""
        text = (APPS / "echo_app.py").read_text()
        fresh = self.directory / "site_app.py.new"
        fresh.write_text(text.replace("\nfrom urllib", "\nimport time\nfrom urllib", 1) + SLOW + more)
        os.replace(fresh, self.directory / "site_app.py")

    def configure(self, max_requests=0, more=""):
        """The configuration; `more` can spoil it."""
        bind = [] if self.sockets == "handed" else ["127.0.0.1:0", f"unix:{self.path}"]
        text = CONFIG.format(
            bind=json.dumps(bind) if bind else '["127.0.0.1:8000"]',
            workers=self.count,
            max_requests=max_requests,
            jitter=max_requests // 4,
            app=NATIVE_APP if self.app == "native" else WSGI_APP,
        )
        (self.directory / "ferricorn.toml").write_text(text + self.config + more)

    def signal(self, number):
        """Sends a signal to the master."""
        self.process.send_signal(number)

    def ctl(self, *arguments):
        """`ferricorn ctl`: exit code and what it has printed."""
        done = subprocess.run(
            [self.program, "ctl", "--pid", str(self.process.pid), *arguments],
            cwd=self.directory,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE,
        )
        return done.returncode, done.stdout

    def reload(self, expected=r"reload done: generation \d+"):
        """Asks for a reload by signal and waits for its end."""
        since = self.log.position()
        self.signal(signal.SIGHUP)
        self.log.wait_for(expected, since)

    def workers(self):
        """Pids by slot, of the workers that came last."""
        found = self.log.wait_for(r"worker ready.*?slot=(\d+).*?pid=(\d+)")
        return {int(match[1]): int(match[2]) for match in found}

    def settled(self):
        """Waits until as many processes are there as should be: master, workers, the admin process."""
        limit = time.monotonic() + DEADLINE
        while len(children := self.children()) != self.count + 1:
            if time.monotonic() > limit:
                raise AssertionError(f"{len(children)} children, expected {self.count + 1}:\n{self.log.text()}")
            time.sleep(0.02)
        return children

    def children(self):
        """The master's children that live."""
        master = self.process.pid
        listed = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return [int(pid) for pid in listed if not is_zombie(pid)]

    def close(self):
        """Ends everything; an error if something had to be killed, or the server did not end well."""
        trouble = []
        for front in self.fronts:
            front.close()
        if self.process:
            try:
                if self.process.poll() is None:
                    self.signal(signal.SIGTERM)
                if self.process.wait(DEADLINE) != 0:
                    trouble.append(f"the server has ended with {self.process.returncode}")
            except subprocess.TimeoutExpired:
                trouble.append("the server did not end")
            left = [pid for pid in marked(self.mark) if not ends_soon(pid)]
            if left:
                trouble.append(f"processes were left behind: {left}")
            for pid in marked(self.mark):
                os.kill(pid, signal.SIGKILL)
            self.process.wait(DEADLINE)
        for listener in self.handed:
            listener.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        if trouble:
            raise AssertionError(f"{'; '.join(trouble)}:\n{self.log.text()[-5000:]}")


def is_zombie(pid):
    """Whether a process has ended and was not reaped yet, or is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except OSError:
        return True
