"""A PostgreSQL server of a test's own, gone with it."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from support.server import DEADLINE, Log

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def installed():
    """Whether there is one to be started."""
    return bool(PROGRAMS)


class PostgreSQL:
    """Listens on a port of loopback; everybody from there is the user `postgres`."""

    def __init__(self):
        # Not below a directory that only its owner enters.
        self.directory = Path(tempfile.mkdtemp(prefix="postgresql-"))
        # It refuses to be root's.
        self.owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if self.owner:
            os.chown(self.directory, self.owner.pw_uid, self.owner.pw_gid)
        data = self.directory / "data"
        self._run("initdb", "-U", "postgres", "-A", "trust", "--no-sync", "--locale=C", "--encoding=UTF8", "-D", data)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        arguments = ["-D", data, "-h", "127.0.0.1", "-p", str(self.port), "-k", self.directory, "-c", "fsync=off"]
        self.process = subprocess.Popen(
            [PROGRAMS[-1] / "postgres", *map(str, arguments)], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, **self._as_owner()
        )
        self.log = Log(self.process.stderr)
        self.log.wait_for("ready to accept connections")

    def close(self):
        """Ends it at once."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(DEADLINE)
        self.log.reader.join(DEADLINE)
        shutil.rmtree(self.directory)

    def _run(self, program, *arguments):
        command = [PROGRAMS[-1] / program, *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE, **self._as_owner())

    def _as_owner(self):
        directory = {"cwd": self.directory}
        return {**directory, "user": self.owner.pw_uid, "group": self.owner.pw_gid, "extra_groups": []} if self.owner else directory
