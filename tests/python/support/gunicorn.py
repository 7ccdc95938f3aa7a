"""Gunicorn, to be compared with."""

import socket
import subprocess
import sys

from support.server import DEADLINE, Log, clean_environment


class Gunicorn:
    """Gunicorn with an app of `apps/`, on a socket that it inherits."""

    def __init__(self, directory, apps, app, *arguments):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        bind = f"fd://{self.listener.fileno()}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--bind", bind, *arguments, app],
            cwd=directory,
            env=clean_environment(PYTHONPATH=str(apps), HOME=str(directory)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[self.listener.fileno()],
        )
        self.log = Log(self.process.stdout)
        self.log.wait_for("Booting worker")

    def connect(self):
        """A new connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE)

    def close(self):
        """Ends it."""
        self.process.terminate()
        self.process.wait(DEADLINE)
        self.listener.close()
