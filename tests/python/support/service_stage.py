"""A stage with systemd: a machine of its own, where paths and ports are what the page says."""

import re
import shutil
import subprocess
from pathlib import Path

from support import deployment
from support.machine import Machine
from support.server import Log
from support.stage import Stage

SITE = Path("/srv/mysite")
USER = 64002


class ServiceStage(Stage):
    """A machine on which /srv/mysite has a virtual environment and belongs to the user mysite."""

    # What is shown below them is waited for in the journal.
    orders = re.compile(r"systemctl (start|stop|restart|reload|enable) ")

    def __init__(self):
        super().__init__()
        self.machine = Machine()
        try:
            self._deploy()
        except BaseException:
            self.machine.close()
            raise

    def _deploy(self):
        deployment.add_user(self.machine, "mysite", USER, SITE)
        self.machine.path(SITE).mkdir()
        deployment.add_environment(self.machine, SITE)
        self.machine.run("chown", "-R", "mysite:mysite", SITE)
        self.directory = SITE
        paths = "/usr/sbin:/usr/bin:/sbin:/bin"
        self.environment.update(PATH=paths, HOME="/root", SYSTEMD_PAGER="", SYSTEMD_COLORS="0")
        follow = self.machine.command("journalctl", "--follow", "--lines=0", "--output=cat")
        self.follower = subprocess.Popen(
            follow, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.journal = Log(self.follower.stdout)

    def here(self, text):
        """Nothing differs."""
        return text

    def there(self, text):
        """Nothing differs."""
        return text

    def path(self, name):
        """The file as seen from outside."""
        return self.machine.path(self.directory / name)

    def write(self, name, text):
        """Makes a file; the site's belong to its user."""
        super().write(name, text)
        if (self.directory / name).is_relative_to(SITE):
            self.machine.run("chown", "-R", "mysite:mysite", SITE)

    def program(self):
        """That of the site's virtual environment."""
        return f"{SITE}/.venv/bin/ferricorn"

    def words(self, script):
        """A shell inside."""
        return self.machine.command("bash", "-c", script, directory=str(self.directory))

    def options(self):
        """The directory is one of the machine's."""
        return {**super().options(), "cwd": "/"}

    def logs(self):
        """The journal."""
        return [self.journal]

    def close(self):
        """Ends the machine, and all that runs on it."""
        try:
            self.machine.close()
            self.follower.wait()
        finally:
            shutil.rmtree(self.root, ignore_errors=True)
