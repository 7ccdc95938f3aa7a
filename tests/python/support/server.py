"""The server as a process: started, watched through its log, stopped, and nothing left behind."""

import os
import re
import select
import signal
import socket
import subprocess
import sysconfig
import threading
import time
import uuid
from pathlib import Path

FERRICORN = Path(sysconfig.get_path("scripts")) / "ferricorn"
# Longest wait for anything. It is a deadline: nothing ever waits this long when all is well.
DEADLINE = 30.0
MARK = "FERRICORN_TEST_MARK"
# Would change what the server does behind a test's back.
FOREIGN = ("FERRICORN_", "PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "PYTHONPATH", "DJANGO_SETTINGS_MODULE")


def clean_environment(**changes):
    """The environment without anything that configures a server or an app."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    # Tests rewrite modules within a second, which is as fine as the time stamp in a .pyc gets.
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment.update(changes)
    return environment


def marked(mark):
    """The processes that carry a mark in their environment."""
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            if f"{MARK}={mark}".encode() in Path(entry.path, "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue  # Gone, or a zombie.
    return found


class Log:
    """Lines of a process's log as they arrive."""

    def __init__(self, stream):
        self.lines = []
        self.ended = False
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.reader.start()

    def _read(self, stream):
        with stream:
            for line in stream:
                with self.changed:
                    self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                    self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def text(self):
        """All of it so far."""
        with self.changed:
            return "\n".join(self.lines)

    def position(self):
        """The end as of now, for `wait_for(since=…)`."""
        with self.changed:
            return len(self.lines)

    def wait_for(self, pattern, since=0, count=1):
        """The matches, once `count` lines from `since` on match; an error past the deadline."""
        limit = time.monotonic() + DEADLINE
        with self.changed:
            while True:
                matches = [match for match in map(re.compile(pattern).search, self.lines[since:]) if match]
                if len(matches) >= count:
                    return matches
                if self.ended or not self.changed.wait(limit - time.monotonic()):
                    raise AssertionError(f"{count} x {pattern!r} not in the log:\n" + "\n".join(self.lines))


# bash, since others know descriptors of one digit only.
WITH_SOCKET = 'exec 3<&{number}; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'


class Server:
    """`ferricorn serve` with these arguments, on a TCP port of the kernel's choice or a UNIX socket.

    With a `listener` it is handed that one as systemd does: as descriptor 3, by the number of the very process.
    """

    def __init__(self, arguments, directory, transport="tcp", environment=None, listener=None):
        self.path = Path(directory) / "http.sock"
        command = [FERRICORN, "serve", *arguments]
        if listener is None:
            command += ["--bind", "127.0.0.1:0" if transport == "tcp" else f"unix:{self.path}"]
        else:
            command = ["bash", "-c", WITH_SOCKET.format(number=listener.fileno()), "bash", *command]
        self.start(command, directory, clean_environment(**(environment or {})), transport, listener)

    def start(self, command, directory, environment, transport="tcp", listener=None):
        """Runs a command that comes to be a server."""
        self.mark = uuid.uuid4().hex
        self.transport, self.listener, self.port = transport, listener, None
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env={**environment, MARK: self.mark},
            pass_fds=[] if listener is None else [listener.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.log = Log(self.process.stdout)

    def ready(self):
        """Waits until the first generation serves; itself."""
        self.log.wait_for(r"ready: \d+ workers?, generation 1\b")
        if self.listener and self.transport == "tcp":
            self.port = self.listener.getsockname()[1]
        elif self.transport == "tcp":
            self.port = int(self.log.wait_for(r"listening at http://127\.0\.0\.1:(\d+)")[0][1])
        return self

    def connect(self):
        """A new connection."""
        if self.transport == "tcp":
            return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(DEADLINE)
        connection.connect(str(self.path))
        return connection

    def signal(self, number):
        """Sends a signal to the master."""
        self.process.send_signal(number)

    def workers(self, generation=None):
        """The latest worker process of each slot, of one generation or of all, by the log."""
        wanted = r"\d+" if generation is None else str(generation)
        found = re.findall(rf"worker ready.*?slot=(\d+).*?pid=(\d+).*?generation={wanted}\b", self.log.text())
        return {int(slot): int(pid) for slot, pid in found}

    def reload(self, expected=r"reload done: generation \d+"):
        """Asks for a reload and waits for how it ended."""
        since = self.log.position()
        self.signal(signal.SIGHUP)
        return self.log.wait_for(expected, since)

    def wait(self):
        """The exit code, once it has ended by itself."""
        try:
            code = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running:\n{self.log.text()}") from None
        self.log.reader.join(DEADLINE)
        return code

    def stop(self):
        """Stops it gracefully; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def close(self):
        """Ends it, however a test has left it, and fails if a process of it is still there."""
        try:
            if self.process.poll() is None:
                self.signal(signal.SIGQUIT)
                self.process.wait(DEADLINE)
            left = [pid for pid in marked(self.mark) if not ends_soon(pid)]
            assert not left, f"processes {left} outlived the server:\n{self.log.text()}"
        finally:
            for pid in {self.process.pid, *marked(self.mark)}:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait(DEADLINE)


def ends_soon(pid):
    """Whether a process ends before the deadline (pidfd_open(2))."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], DEADLINE)[0])
    finally:
        os.close(descriptor)
