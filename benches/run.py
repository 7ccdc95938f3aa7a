#!/usr/bin/env python
"""Load on hello, native, axum (also under its own server) and WSGI, from `wrk`; needs `wrk` and `make build`.

`ferricorn bench` compares with other servers. What this adds is a load generator of somebody else's, and
figures of one worker that shares its processor with nobody. All servers run at once and are loaded in
turns, so that a change of the machine's mood meets everybody. CPU per request is the figure to look at: it
is that of the server's whole process tree, from /proc, and the steadiest. Figures are the medians of the
rounds.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sysconfig
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# BENCH_BUILD names another build to measure.
BUILD = Path(os.environ.get("BENCH_BUILD", HERE.parent / "target" / "release"))
NATIVE = BUILD / "ferricorn"
AXUM = BUILD / "examples" / "axum_hello"
WHEEL = Path(sysconfig.get_path("scripts")) / "ferricorn"
START_SECONDS = 30
TICKS = os.sysconf("SC_CLK_TCK")


class Target:
    """A server as a process group of its own.

    It is there once it has logged ``ready``; without such a word, once its port takes a connection.
    """

    def __init__(self, name, command, ready, processor, url=None, environment=()):
        self.name, self.ready = name, ready
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("FERRICORN_")}
        environment = inherited | dict(environment)
        if processor is not None:
            command = ["taskset", "--cpu-list", str(processor), *command]
        self.process = subprocess.Popen(
            command,
            cwd=HERE,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.log, self.url = [], url
        self.started = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        if ready is None:
            self._connect()
        if not self.started.wait(START_SECONDS) or self.url is None or self.process.poll() is not None:
            self.stop()
            raise SystemExit(f"{name} did not start:\n" + "".join(self.log))

    def _read(self):
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r"listening at (http://127\.0\.0\.1:\d+)", line):
                self.url = found[1]
            if self.ready and self.ready in line:
                self.started.set()
        self.started.set()

    def _connect(self):
        until = time.monotonic() + START_SECONDS
        while not self.started.is_set() and time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", int(self.url.rpartition(":")[2])), 1).close()
                self.started.set()
            except OSError:
                self.started.wait(0.05)

    def _processes(self):
        """The folder of each of the group's processes, and the fields of its ``stat`` from the state on (proc_pid_stat(5))."""
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            try:
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # Ended meanwhile.
            if int(fields[2]) == self.process.pid:
                yield Path(entry.path), fields

    def cpu_seconds(self):
        """CPU time of the group's processes, ended children included."""
        return sum(sum(map(int, fields[11:15])) for _, fields in self._processes()) / TICKS

    def memory_mib(self):
        """Memory of the group's processes, what they share counted once (PSS, proc_pid_smaps(5))."""
        kib = 0
        for folder, _ in self._processes():
            try:
                kib += int(re.search(r"^Pss:\s+(\d+) kB", (folder / "smaps_rollup").read_text(), re.MULTILINE)[1])
            except OSError:
                continue  # Ended meanwhile.
        return kib / 1024

    def stop(self):
        """Ends the whole group."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            try:
                self.process.wait(10)
                break
            except subprocess.TimeoutExpired:
                continue


def load(target, seconds, connections, processor, path="/", fields=(), script=None):
    """One round of load on one target: what wrk counted, and the server's CPU.

    ``fields`` are lines of the request's head; ``script`` is Lua that makes the request.
    """
    script = script or HERE / "report.lua"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script)]
    command += [argument for field in fields for argument in ("-H", field)] + [target.url + path]
    if processor is not None:
        command = ["taskset", "--cpu-list", str(processor), *command]
    before = target.cpu_seconds()
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    found = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        raise SystemExit(f"wrk failed on {target.name}:\n{done.stdout}{done.stderr}")
    result = json.loads(found[1])
    if not result["requests"]:
        raise SystemExit(f"{target.name} answered nothing:\n" + "".join(target.log))
    return {
        "requests": result["requests"],
        "per_second": result["requests"] / result["seconds"],
        "cpu_us": (target.cpu_seconds() - before) / result["requests"] * 1e6,
        "p50_ms": result["p50"],
        "p99_ms": result["p99"],
        "p999_ms": result["p999"],
        # Answers that are no 2xx or 3xx; they have failed, too, unless that is what is measured.
        "refused": result["refused"],
        "failed": result["failed"],
    }


def free_port():
    """A port that nobody listens on now; for servers that cannot be asked for one of the kernel's choice."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def processors():
    """One processor for the server and one for the load; with a single one, they share it."""
    here = sorted(os.sched_getaffinity(0)) if shutil.which("taskset") else []
    return (here[0], here[1]) if len(here) > 1 else (None, None)


def medians(rounds):
    """The medians of several results of one kind."""
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


def commands(workers):
    """The servers, each with what it logs once it serves."""
    serve = ["--bind", "127.0.0.1:0", "--workers", str(workers)]
    return {
        "ferricorn native": ([str(NATIVE), "serve", "hello", *serve], "ready:"),
        "ferricorn axum": ([str(AXUM), "ferricorn", *serve], "ready:"),
        "axum::serve": ([str(AXUM), "axum", "127.0.0.1:0"], "ready:"),
        "ferricorn WSGI": ([str(WHEEL), "serve", "hello:application", *serve], "ready:"),
    }


def table(results):
    """The medians as text."""
    lines = [f"{'':18}{'req/s':>10}{'CPU µs/req':>12}{'p50 ms':>9}{'p99 ms':>9}{'failed':>8}"]
    for name, result in results.items():
        lines.append(
            f"{name:18}{result['per_second']:10.0f}{result['cpu_us']:12.1f}"
            f"{result['p50_ms']:9.2f}{result['p99_ms']:9.2f}{result['failed']:8.0f}"
        )
    return "\n".join(lines)


def main():
    """Starts all, loads them in turns, prints medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="length of one round")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed (on Debian: apt install wrk)")
    server_processor, load_processor = processors() if arguments.workers == 1 else (None, None)

    targets, rounds = [], {}
    try:
        for name, (command, ready) in commands(arguments.workers).items():
            targets.append(Target(name, command, ready, server_processor))
        for target in targets:
            load(target, 1, arguments.connections, load_processor)  # Warms up.
        for _ in range(arguments.rounds):
            for target in targets:
                result = load(target, arguments.seconds, arguments.connections, load_processor)
                rounds.setdefault(target.name, []).append(result)
    finally:
        for target in targets:
            target.stop()
    results = {name: medians(of_one) for name, of_one in rounds.items()}
    print(json.dumps(results, indent=2) if arguments.json else table(results))


if __name__ == "__main__":
    main()
