#!/usr/bin/env python
"""Python apps under Ferricorn and under other servers, on the same interpreter with the same packages; `make bench` prepares it.

Each server is one worker on one processor, without an access log; the load comes from another processor. All servers of an app
run at once and are loaded in turns. CPU per request is that of a server's whole process tree; memory that of all its processes
after the load. Figures are the medians of the rounds.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import echo
import figures
from run import HERE, Target, free_port, load, medians, processors

# A virtual environment that has all servers, Ferricorn's wheel among them: what apps find there decides what they do (PyJWT is
# busier where `cryptography` is). `make bench` makes it.
PEERS = Path(os.environ.get("PEERS", HERE.parent / "target" / "peers")) / "bin"

POST = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.body = string.rep("x", 64 * 1024)
"""

# Of each server its command; with `{port}`, and `{app}` as it wants to be told.
WSGI = {
    "ferricorn": f"{PEERS}/ferricorn serve {{app}} -b 127.0.0.1:0 -w 1",
    "granian": f"{PEERS}/granian --interface wsgi --no-access-log --host 127.0.0.1 --port {{port}} --workers 1 --blocking-threads 1 {{app}}",
    "uwsgi": f"{PEERS}/uwsgi --http11-socket 127.0.0.1:{{port}} --master --processes 1 --disable-logging --wsgi {{app}}",
    "gunicorn sync": f"{PEERS}/gunicorn -w 1 -k sync -b 127.0.0.1:{{port}} {{app}}",
    "gunicorn gthread": f"{PEERS}/gunicorn -w 1 -k gthread --threads 4 -b 127.0.0.1:{{port}} {{app}}",
}
ASGI = {
    "ferricorn": f"{PEERS}/ferricorn serve {{app}} -b 127.0.0.1:0 -w 1",
    "granian": f"{PEERS}/granian --interface asgi --no-access-log --host 127.0.0.1 --port {{port}} --workers 1 --loop uvloop {{app}}",
    "uvicorn": f"{PEERS}/uvicorn --no-access-log --log-level warning --host 127.0.0.1 --port {{port}} --loop uvloop --http httptools {{app}}",
    "gunicorn asgi": f"{PEERS}/gunicorn -w 1 -k asgi -b 127.0.0.1:{{port}} {{app}}",
    "hypercorn": f"{PEERS}/hypercorn -w 1 -k uvloop -b 127.0.0.1:{{port}} {{app}}",
}

# (name, servers, app, rows); a row is (name, path, what is special).
SITES = (
    ("WSGI", WSGI, "site:wsgi", (("hello", "/", ""), ("10 KB", "/10k", ""), ("1 MB", "/1m", ""), ("64 KB POST", "/", "post"))),
    ("ASGI", ASGI, "site:asgi", (("hello", "/", ""), ("10 KB", "/10k", ""), ("1 MB", "/1m", ""), ("64 KB POST", "/", "post"), ("WebSocket echo", "", "echo"))),
    ("Django", WSGI, "django_site:application", (("JSON view", "/json", ""), ("DRF, simplejwt", "/me", "token"))),
)


class Bench:
    """The apps' place, and how they are loaded."""

    def __init__(self, folder, arguments):
        self.folder, self.arguments = folder, arguments
        self.server_processor, self.load_processor = processors()
        self.script = Path(folder, "post.lua")
        self.script.write_text(POST + (HERE / "report.lua").read_text())
        for app in ("site.py", "django_site.py"):
            # Not beside our own modules, one of which an app could import by mistake; and not named as one of Python's.
            shutil.copy(HERE / app, Path(folder, "bench_" + app))
        self.environment = {"PYTHONPATH": folder, "BENCH_DATABASE": str(Path(folder, "bench.sqlite3"))}
        self.token = None

    def start(self, name, command, app):
        """One server."""
        port = free_port()
        ready, url = ("ready:", None) if name == "ferricorn" else (None, f"http://127.0.0.1:{port}")
        words = command.format(port=port, app="bench_" + app).split()
        return Target(name, words, ready, self.server_processor, url, self.environment)

    def login(self):
        """A token of the Django project's own."""
        command = [PEERS / "python", Path(self.folder, "bench_django_site.py")]
        environment = {**os.environ, **self.environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"the Django project cannot be prepared:\n{done.stderr}")
        self.token = done.stdout.strip()

    def ask(self, target, path, special, seconds):
        """One round of one row."""
        connections = self.arguments.connections
        if special == "echo":
            return echo.load(target, seconds, connections, self.load_processor)
        fields = (f"Authorization: Bearer {self.token}",) if special == "token" else ()
        script = self.script if special == "post" else None
        result = load(target, seconds, connections, self.load_processor, path, fields, script)
        if result["failed"] > result["per_second"] * seconds / 100:
            raise SystemExit(f"{target.name} failed at {path}: {result}\n" + "".join(target.log[-20:]))
        return result

    def site(self, servers, app, rows):
        """The medians of each row and server."""
        targets, rounds = [], {}
        try:
            for name, command in servers.items():
                targets.append(self.start(name, command, app))
            for name, path, special in rows:
                for number in range(self.arguments.rounds + 1):
                    for target in targets:
                        # The first round warms up.
                        result = self.ask(target, path, special, self.arguments.seconds if number else 1)
                        if number:
                            rounds.setdefault(name, {}).setdefault(target.name, []).append(result)
            memory = {target.name: target.memory_mib() for target in targets}
        finally:
            for target in targets:
                target.stop()
        return {
            row: {name: medians(of_one) | {"memory_mib": memory[name]} for name, of_one in by_server.items()}
            for row, by_server in rounds.items()
        }


def lines(results):
    """The rows of the table, the first its head."""
    yield ["", "server", "req/s", "CPU µs/req", "ratio", "p50 ms", "p99 ms", "p99.9 ms", "MiB", "failed"]
    for row, servers in results.items():
        ours = servers["ferricorn"]["cpu_us"]
        for name, result in servers.items():
            yield [
                row if name == "ferricorn" else "",
                name,
                f"{result['per_second']:.0f}",
                f"{result['cpu_us']:.1f}",
                f"{result['cpu_us'] / ours:.2f}",
                f"{result['p50_ms']:.2f}",
                f"{result['p99_ms']:.2f}",
                f"{result['p999_ms']:.2f}",
                f"{result['memory_mib']:.0f}",
                f"{result['failed']:.0f}",
            ]


def main():
    """Measures, prints, and writes where it is asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="length of one round")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--only", default="", help="rows to measure, by a part of their names: --only 'ASGI hello'")
    parser.add_argument("--write", action="store_true", help="write table, plot and JSON to docs/measured")
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed (on Debian: apt install wrk)")
    if not (PEERS / "ferricorn").exists():
        raise SystemExit(f"there is no {PEERS}/ferricorn; `make bench BENCH=peers` installs all servers there")
    results = {}
    with tempfile.TemporaryDirectory(prefix="ferricorn-bench-") as folder:
        bench = Bench(folder, arguments)
        bench.login()
        for site, servers, app, rows in SITES:
            wanted = [row for row in rows if arguments.only in f"{site} {row[0]}"]
            if wanted:
                found = bench.site(servers, app, wanted)
                results |= {f"{site} {row}": of_row for row, of_row in found.items()}
    table = list(lines(results))
    print(figures.text(table))
    if arguments.write:
        # Rows that were not measured now stay as they are.
        results = figures.kept("peers").get("rows", {}) | results
        table = list(lines(results))
        groups = [(row, [(name, result["cpu_us"]) for name, result in servers.items()]) for row, servers in results.items()]
        plot = figures.bars("CPU per request, one worker", "µs, less is better; bars of one row are in proportion", groups)
        figures.write("peers", table, {"rows": results}, arguments, plot)


if __name__ == "__main__":
    main()
