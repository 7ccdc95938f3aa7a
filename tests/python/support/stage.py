"""A stage on which a page of the documentation comes true: its files, its commands, its servers."""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from support import pages
from support.server import DEADLINE, MARK, FERRICORN, Log, clean_environment, ends_soon, marked

# Commands that go on until they are stopped, and what they print once they serve.
SERVERS = [
    (r"((coverage run -m )?ferricorn( serve\b| -|$)|cargo run\b)(?!.*(--version|--help|--check-config|--print-config))", r"\bready: \d+ worker"),
    (r"gunicorn\b(?!.*(--version|--check-config))", r"Booting worker"),
    (r"uwsgi\b(?!.*--version)", r"spawned uWSGI worker|spawned uWSGI master"),
]
ASSIGNMENTS = r"^(?:\w+=\S* )*"
# Absolute paths of the pages; they are made below the scratch directory.
PLACES = ("srv", "run", "etc", "var/log", "var/lib")
ABSOLUTE = re.compile(r"(?<![\w./])/(" + "|".join(PLACES) + r")/mysite\b")
PORT = re.compile(r"((?:127\.0\.0\.1|localhost):)(\d{4})\b")
# Longest wait for a command: one of them compiles.
LONGEST = 900.0
# Cargo's own places, though HOME is another one; what it compiles is kept for the next time.
CARGO = {
    "CARGO_HOME": os.environ.get("CARGO_HOME", str(Path.home() / ".cargo")),
    "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup")),
    "CARGO_TARGET_DIR": str(pages.ROOT / "target"),
    # As in our Cargo.toml: what has been compiled with it can be used.
    "CARGO_PROFILE_DEV_DEBUG": "line-tables-only",
}


class Served:
    """A server that a command started."""

    def __init__(self, words, ready, options):
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **options
        )
        self.log = Log(self.process.stdout)
        self.is_uwsgi = any("uwsgi" in word for word in words)
        limit = time.monotonic() + LONGEST
        with self.log.changed:
            while not self.log.ended and not any(re.search(ready, line) for line in self.log.lines):
                assert self.log.changed.wait(limit - time.monotonic()), f"{words} does not get ready"

    def running(self):
        """Whether it has not ended by itself."""
        return not self.log.ended

    def end(self, number):
        """Sends a signal; the exit code, once all of it has ended."""
        if self.is_uwsgi and self.running():
            # Its threaded workers sometimes hang in their end until its master kills them, a minute later.
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(DEADLINE)
            self.log.reader.join(DEADLINE)
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(DEADLINE)
        self.log.reader.join(DEADLINE)
        return code


class Stage:
    """Where one page is played through; commands start in /srv/mysite."""

    # Commands that print nothing; what is shown below them is waited for in a log.
    orders = re.compile(r"kill ")

    def __init__(self, root=None):
        self.mark = secrets.token_hex(8)
        # Short: the path of a UNIX socket has 107 bytes (unix(7)).
        self.root = root or Path(tempfile.mkdtemp(prefix="page-"))
        for place in PLACES:
            (self.root / place / "mysite").mkdir(parents=True)
        self.directory = self.root / "srv" / "mysite"
        self.ports, self.servers = {}, []
        path = f"{FERRICORN.parent}{os.pathsep}{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin"
        changes = {"PATH": path, "LC_ALL": "C.UTF-8", "HOME": str(self.root), MARK: self.mark, **CARGO}
        self.environment = clean_environment(**changes)
        self.code = 0

    # ---- what a page says, and what is so here ----

    def here(self, text):
        """A page's text with the paths and ports of this place."""
        text = text.replace('path = "ferricorn"', f'path = "{pages.ROOT}"')
        text = ABSOLUTE.sub(lambda found: f"{self.root}/{found[1]}/mysite", text)
        return PORT.sub(lambda found: found[1] + str(self._port(int(found[2]))), text)

    def there(self, text):
        """What was printed here, as the page has it."""
        for port, number in self.ports.items():
            text = text.replace(f":{number}", f":{port}")
        return text.replace(f"{self.root}/", "/")

    def _port(self, port):
        """One of the kernel's choice, the same one whenever the page names it."""
        if port not in self.ports:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                self.ports[port] = listener.getsockname()[1]
        return self.ports[port]

    # ---- files ----

    def path(self, name):
        """Where a file of this place is to be found."""
        return self.directory / name

    def write(self, name, text):
        """Makes a file of a page."""
        path = self.path(self.here(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.here(text))
        if path.name == "Cargo.toml":
            # The versions that have been downloaded and compiled already.
            shutil.copy(pages.ROOT / "Cargo.lock", path.parent)

    def check(self, block):
        """A configuration has no error; the files that it names are made if need be."""
        name = block.name or f"{secrets.token_hex(4)}.toml"
        self.write(name, block.text)
        for key, named in re.findall(r'^\s*(\w+) = "([^"]+)"', self.here(block.text), re.MULTILINE):
            self._provide(key, named)
        self.run(f"{self.program()} check -c {self.here(name)}")

    def program(self):
        """How Ferricorn is called here."""
        return "ferricorn"

    def _provide(self, key, name):
        path = self.path(name)
        if key not in ("static", "chdir", "env_file", "secret_file", "jwks_file") or path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if key == "jwks_file":
            self.run(f"{self.program()} jwt keygen --alg ES256 --out {name}.pem --jwks-out {name}")
        elif key in ("static", "chdir"):
            path.mkdir()
        else:
            path.write_text("NAME=value\n" if key == "env_file" else secrets.token_urlsafe(48) + "\n")
            path.chmod(0o600)

    # ---- commands ----

    def play(self, block):
        """Runs a block's commands in their order; an error where one fails or prints something else."""
        todo = pages.commands(block)
        for command, following in zip(todo, [*todo[1:], None]):
            try:
                self._one(command, forgiving=following is not None and following.text == "echo $?")
            except AssertionError as error:
                raise AssertionError(f"{block}: $ {command.text}\n{error}") from None

    def _one(self, command, forgiving):
        text, shown = self.here(command.text), command.shown
        ready = next((ready for start, ready in SERVERS if re.match(ASSIGNMENTS + start, command.text)), None)
        if ready:
            printed = self._serve(text, ready)
            fits = in_order(shown, printed)
        elif self.orders.match(text):
            since = [(log, log.position()) for log in self.logs()]
            self.run(text, forgiving=forgiving)
            wait_for(shown, since, self.there)
            return
        else:
            printed = self.run(text, forgiving=True)
            fits = not shown or pages.matches(shown, printed)
        assert forgiving or self.code == 0, f"exit code {self.code}:\n" + "\n".join(printed)
        assert fits, "shown:\n" + "\n".join(shown) + "\nprinted:\n" + "\n".join(printed)

    def logs(self):
        """The logs of what is running."""
        return [served.log for served in self.servers]

    def words(self, script):
        """The command line of a shell in this place."""
        return ["bash", "-c", script]

    def options(self):
        """How its processes are started."""
        return {"cwd": self.directory, "env": self.environment, "start_new_session": True}

    def _serve(self, text, ready):
        served = Served(self.words(f"exec env {text}"), ready, self.options())
        if served.running():
            self.servers.append(served)
            self.code = 0
        else:
            self.code = served.end(signal.SIGKILL)
        return self.there(served.log.text()).splitlines()

    def run(self, text, forgiving=False):
        """Runs a command to its end, as a shell would that ran those before it; what it printed."""
        # Directory and variables last from one command to the next.
        script = f"(exit {self.code})\n{text}\ncode=$?\npwd >&3\nexport -p >&3\nexit $code\n"
        read, write = os.pipe()
        with os.fdopen(read) as state:
            try:
                run = subprocess.run(
                    self.words(f"exec 3>&{write}\n{script}"), pass_fds=[write], timeout=LONGEST,
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **self.options(),
                )
            finally:
                os.close(write)
            directory, _, exported = state.read().partition("\n")
        if directory:
            self.directory = Path(directory)
        for name, value in re.findall(r'^declare -x (\w+)="((?:[^"\\]|\\.)*)"$', exported, re.MULTILINE):
            self.environment[name] = re.sub(r"\\(.)", r"\1", value)
        self.code = run.returncode
        printed = self.there(run.stdout.decode("utf-8", "replace")).splitlines()
        assert forgiving or self.code == 0, f"exit code {self.code}:\n" + "\n".join(printed)
        return printed

    # ---- the end ----

    def end(self):
        """Ends the servers; each ends as asked."""
        ended, self.servers = self.servers, []
        for served in ended:
            code = served.end(signal.SIGTERM)
            assert code == 0, f"a server ended with {code}:\n{served.log.text()}"

    def close(self):
        """Ends what is left, and fails if something outlives that."""
        try:
            self.end()
            left = [pid for pid in marked(self.mark) if not ends_soon(pid)]
            assert not left, f"processes {left} were left behind"
        finally:
            for pid in marked(self.mark):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            shutil.rmtree(self.root)


def in_order(shown, printed):
    """Whether the shown lines are among the printed ones, in their order; workers print as they come."""
    lines = iter(printed)
    return all(any(re.search(pages.pattern(line), other) for other in lines) for line in shown if line.strip() != "…")


def wait_for(shown, since, there):
    """Waits until the shown lines have been logged by one of the servers."""
    for line in shown:
        expression = pages.pattern(line)
        limit = time.monotonic() + DEADLINE
        while not any(
            re.search(expression, there(text)) for log, start in since for text in log.text().split("\n")[start:]
        ):
            log, _ = since[-1]
            with log.changed:
                assert log.changed.wait(max(0, limit - time.monotonic())), f"not logged: {line}\n{log.text()}"
