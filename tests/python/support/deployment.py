"""A site deployed on a machine: its directory, its virtual environment, its user."""

import shutil
import sys
import sysconfig
from pathlib import Path

from support.server import FERRICORN

# What no site needs, and what is large.
LEFT_OUT = shutil.ignore_patterns("pip*", "maturin*", "selenium*", "trio*", "*pytest*", "*.po")


def add_user(machine, name, number, home):
    """A user and its group, as `adduser --system --group` makes them."""
    for file, line in (("passwd", f"{name}:x:{number}:{number}::{home}:/usr/sbin/nologin"), ("group", f"{name}:x:{number}:")):
        with machine.path(f"/etc/{file}").open("a") as accounts:
            accounts.write(line + "\n")


def add_environment(machine, place):
    """A virtual environment in `place`, with the packages that are installed here; the program in it."""
    base = Path(sys._base_executable).resolve()
    # An interpreter in root's home directory, as pyenv has it, is nobody else's to run.
    for directory in base.parents:
        machine.run("chmod", "o+x", directory)
    machine.run(base, "-m", "venv", "--without-pip", place / ".venv")
    inside = (place / ".venv/bin/python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    packages = machine.path(machine.run(*inside).stdout.strip())
    shutil.copytree(sysconfig.get_path("purelib"), packages, ignore=LEFT_OUT, dirs_exist_ok=True)
    program = place / ".venv/bin/ferricorn"
    script = machine.path(program)
    script.write_text(f"#!{place}/.venv/bin/python\n" + FERRICORN.read_text().split("\n", 1)[1])
    script.chmod(0o755)
    return program
