"""The ``ferricorn`` command and ``python -m ferricorn``."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run the command line in ``sys.argv``; returns the exit code."""
    if _has_threads() and not sys.flags.no_site:
        _start_without_site()
    from ferricorn import _ferricorn

    # python -m puts the working directory there; workers put the one of their time.
    if sys.path and sys.path[0] in ("", os.getcwd()):
        del sys.path[0]
    return _ferricorn.main(sys.argv)


def _has_threads() -> bool:
    """Whether something has begun threads while the interpreter started: the master must have one only, as it forks."""
    try:
        return len(os.listdir("/proc/self/task")) > 1
    except OSError:
        return False


def _start_without_site() -> None:
    """Begin anew without ``sitecustomize`` and ``.pth`` files, which are run in each worker instead.

    This is how ``ddtrace-run``, ``opentelemetry-instrument`` and the like get into a program: they belong where the app is.
    """
    try:
        with open("/proc/self/environ", "rb") as file:
            # As it was: what has been run may have removed itself from it (opentelemetry-instrument).
            pairs = [entry.partition(b"=") for entry in file.read().split(b"\0") if b"=" in entry]
    except OSError:
        return
    environment = {name: value for name, _, value in pairs}
    words = [sys.executable, "-S", os.path.abspath(__file__), *sys.argv[1:]]
    os.execve(sys.executable, words, environment)


def _as_script() -> int:
    """Run by the name of this file, without ``site``: the package is where this file is, and nothing else is needed."""
    package = os.path.dirname(os.path.abspath(__file__))
    sys.path[0] = os.path.dirname(package)
    import ferricorn  # noqa: F401

    # What comes from there later has to come in the order in which site lists it.
    del sys.path[0]
    return main()


if __name__ == "__main__":
    sys.exit(main() if __spec__ is not None else _as_script())
