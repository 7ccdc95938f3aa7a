#!/usr/bin/env python
"""Whether workers should be interpreters of one process (PEP 684, each with a lock of its own) in place of processes.

`django_site.py` is loaded and called, without any server around it, in so many interpreters of one process, in so many processes, and in so
many that were forked with the site loaded. Needs CPython 3.13 or newer, in an environment with the example's packages; names of
modules are tried for whether such an interpreter can import them.
"""

import argparse
import gc
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import figures

HERE = Path(__file__).resolve().parent
MEMORY_SIZES = (2, 6)
SPEED_SIZES = (1, 2)
TRIES = 5
LOAD = f"""
import io, sys
sys.path[:] = {sys.path!r}
from django_site import application

def ask(path, token, times):
    for _ in range(times):
        environ = {{
            "REQUEST_METHOD": "GET", "PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": "", "SERVER_NAME": "a", "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_AUTHORIZATION": "Bearer " + token, "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr,
            "wsgi.url_scheme": "http", "wsgi.version": (1, 0), "wsgi.multithread": False, "wsgi.multiprocess": True, "wsgi.run_once": False,
        }}
        said = []
        response = application(environ, lambda status, fields: said.append(status))
        content = b"".join(response)
        response.close()
        assert said == ["200 OK"] and content, (said, content)
"""


class Interpreters:
    """Each in a thread of this process."""

    def __init__(self, count):
        self.each = [_interpreters.create("isolated") for _ in range(count)]
        self.all(LOAD)

    def all(self, code):
        """Runs code in all of them, at once."""
        threads = [threading.Thread(target=self.one, args=(interpreter, code)) for interpreter in self.each]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    @staticmethod
    def one(interpreter, code):
        """Runs code in one."""
        failure = _interpreters.exec(interpreter, code)
        if failure is not None:
            os.write(2, f"{failure.errdisplay}\n".encode())
            os._exit(1)

    def pids(self):
        """The processes that there are."""
        return [os.getpid()]


class Processes:
    """Each forked from this one, which may have the site loaded."""

    def __init__(self, count, preload):
        if preload:
            exec(LOAD, globals())
            gc.collect()
            gc.freeze()
        self.each = [self.fork() for _ in range(count)]
        if not preload:
            self.all(LOAD)

    def fork(self):
        """One that runs what it is sent."""
        theirs, orders = os.pipe()
        done, ours = os.pipe()
        pid = os.fork()
        if pid == 0:
            # Else it would wait for itself at the end.
            os.close(orders)
            for code in os.fdopen(theirs):
                exec(json.loads(code), globals())
                os.write(ours, b".")
            os._exit(0)
        return pid, os.fdopen(orders, "w", 1), done

    def all(self, code):
        """As above."""
        for _, orders, _ in self.each:
            orders.write(json.dumps(code) + "\n")
        for _, _, done in self.each:
            if os.read(done, 1) != b".":
                raise SystemExit("a process has failed")

    def pids(self):
        """As above, this one among them."""
        return [os.getpid(), *(pid for pid, _, _ in self.each)]


WAYS = {
    "interpreters of one process": Interpreters,
    "processes": lambda count: Processes(count, preload=False),
    "processes, forked with the site loaded": lambda count: Processes(count, preload=True),
}


def pss_kib(pids):
    """The proportional set size of these processes."""
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[1]) for rollup in rollups)


def measure(way, count, requests, token):
    """In a process of its own: what so many take, and how many requests a second they answer together."""
    began = time.monotonic()
    workers = WAYS[way](count)
    ready = time.monotonic() - began
    rates = {}
    for path in ("/json", "/me"):
        workers.all(f"ask({path!r}, {token!r}, 20)")
        began = time.monotonic()
        workers.all(f"ask({path!r}, {token!r}, {requests})")
        rates[path] = count * requests / (time.monotonic() - began)
    return {"pss_kib": pss_kib(workers.pids()), "ready_seconds": ready, "per_second": rates}


def measured(way, count, arguments, environment, token):
    """The same, asked of such a process; one that fails is noted, and another one is tried where it has not come to its figures."""
    command = [sys.executable, __file__, "--way", way, "--count", str(count), "--requests", str(arguments.requests), "--token", token]
    failures = []
    while len(failures) < TRIES:
        found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
        if found.returncode:
            failures.append((found.stderr.strip().splitlines() or [f"ended by {found.returncode}"])[-1])
        if found.stdout:
            return {**json.loads(found.stdout), "failures": failures}
    raise SystemExit(f"{way}, {count}: {failures}")


def importable(module):
    """Whether an interpreter with a lock of its own can import a module; why not."""
    code = f"import _interpreters as i; told = i.exec(i.create('isolated'), 'import {module}'); print(told.formatted if told else '')"
    tried = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    lines = (tried.stderr if tried.returncode else tried.stdout).strip().splitlines()
    return lines[-1].strip() if lines else ("it ends the process" if tried.returncode else "")


def main():
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1000, help="of each worker and each view [%(default)s]")
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many is told [%(default)s]")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/measured.md")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--token", help=argparse.SUPPRESS)
    parser.add_argument("modules", nargs="*", help="modules to be imported")
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(measure(arguments.way, arguments.count, arguments.requests, arguments.token)), flush=True)
        return
    with tempfile.TemporaryDirectory(prefix="ferricorn-interpreters-") as directory:
        environment = {**os.environ, "BENCH_DATABASE": str(Path(directory) / "db.sqlite3")}
        prepare = [sys.executable, HERE / "django_site.py"]
        token = subprocess.run(prepare, env=environment, capture_output=True, text=True, check=True).stdout
        counts = sorted({*MEMORY_SIZES, *SPEED_SIZES})
        # In turns, so that a change of the machine's mood meets everybody.
        rounds = [
            {way: {count: measured(way, count, arguments, environment, token) for count in counts} for way in WAYS}
            for _ in range(arguments.rounds)
        ]
    told = [("", "MiB per further worker", "6 ready after s", "Django view, 1: req/s", "2", "DRF view, 1: req/s", "2", "failed")]
    for way in WAYS:
        failures = [failure for measured in rounds for found in measured[way].values() for failure in found["failures"]]
        runs = sum(len(measured[way]) for measured in rounds)
        told.append((way, *(f"{figure:.{digits}f}" for figure, digits in row(rounds, way)), f"{len(failures)} of {runs}"))
        for failure in failures:
            print(f"{way}: {failure}")
    print(figures.text(told))
    imports = {module: importable(module) for module in arguments.modules}
    for module, problem in imports.items():
        print(f"{module}: {problem or 'can be imported'}")
    if arguments.write:
        data = {"python": platform.python_version(), "rounds": rounds, "imports": imports}
        figures.write("interpreters", told, data, arguments, extent=f"{arguments.requests} requests of each worker and view")


def row(rounds, way):
    """The figures of a row, and their digits."""

    def median(figure):
        values = sorted(figure(measured[way]) for measured in rounds)
        return values[len(values) // 2]

    few, many = MEMORY_SIZES
    yield median(lambda by: (by[many]["pss_kib"] - by[few]["pss_kib"]) / (many - few) / 1024), 1
    yield median(lambda by: by[many]["ready_seconds"]), 2
    for path in ("/json", "/me"):
        for count in SPEED_SIZES:
            yield median(lambda by: by[count]["per_second"][path]), 0


if __name__ == "__main__":
    try:
        import _interpreters
    except ImportError:
        raise SystemExit("CPython 3.13 or newer is needed") from None
    main()
