"""``manage.py runferricorn``: serves the project with Ferricorn, in the place of this process."""

from __future__ import annotations

import os
import re
import sys
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ferricorn.django_project import target

# As runserver takes it: a port, or an address and a port.
ADDRESS = re.compile(r"(?:(?P<host>\[[0-9a-fA-F:.]+\]|[^:/\s-][^:/\s]*):)?(?P<port>\d{1,5})")
# Django's own, which have done their work by now, and what runserver is told not to do, which is not done here anyway; those of
# the first line have a value.
DJANGO_VALUES = ("--settings", "-v", "--verbosity")
DJANGO_FLAGS = ("--no-color", "--force-color", "--skip-checks", "--traceback", "--noreload", "--nothreading")


class Command(BaseCommand):
    """Takes the flags of ``ferricorn serve``, and an address as ``runserver`` does."""

    help = "Serves this project with Ferricorn: [ADDRESS:PORT] and the flags of `ferricorn serve`."

    def run_from_argv(self, argv: list[str]) -> NoReturn:
        """Replace this process: the master of the server must not have the project loaded."""
        words = arguments(argv[2:], target(settings))
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, "-m", "ferricorn", *words])

    def print_help(self, prog_name: str, subcommand: str) -> NoReturn:
        """For ``manage.py help runferricorn``: the flags are the server's to explain."""
        self.run_from_argv([prog_name, subcommand, "--help"])

    def handle(self, *args: Any, **options: Any) -> NoReturn:
        """For ``call_command``, whose process goes on afterwards."""
        raise CommandError("the server takes the place of its process: run `manage.py runferricorn`, or `ferricorn serve` as a process of its own")


def arguments(flags: list[str], app: str) -> list[str]:
    """The words after ``ferricorn`` for the words after ``runferricorn``."""
    if "-h" in flags or "--help" in flags:
        return ["serve", "--help"]
    flags = without_django(flags)
    address = ADDRESS.fullmatch(flags[0]) if flags else None
    if address:
        flags[:1] = ["--bind", f"{address['host'] or '127.0.0.1'}:{address['port']}"]
    path, flags = python_path(flags)
    return ["serve", app, *(["--pythonpath", ",".join(path)] if path else []), *flags]


def without_django(flags: list[str]) -> list[str]:
    """The flags without those that mean something to Django."""
    kept = []
    words = iter(flags)
    for word in words:
        if word in DJANGO_VALUES:
            next(words, None)
        elif not word.startswith(tuple(f"{flag}=" for flag in DJANGO_VALUES)) and word not in DJANGO_FLAGS:
            kept.append(word)
    return kept


def python_path(flags: list[str]) -> tuple[list[str], list[str]]:
    """Where the project's code is: the directory of ``manage.py``, and what ``--pythonpath`` says."""
    directories, kept = [], []
    script = os.path.dirname(os.path.abspath(sys.argv[0]))
    # Workers have the working directory there anyway.
    if script in sys.path and script != os.getcwd():
        directories.append(script)
    words = iter(flags)
    for word in words:
        name, has_value, value = word.partition("=")
        if name == "--pythonpath":
            directories += (value if has_value else next(words, "")).split(",")
        else:
            kept.append(word)
    return [directory for directory in directories if directory], kept
