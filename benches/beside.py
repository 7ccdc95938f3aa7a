#!/usr/bin/env python
"""What quick requests notice of slow ones, and what a busy app notices of slow clients; needs `wrk` and `make build`.

Slow ones: eight workers of one thread each. Requests begin at fixed rates, whatever becomes of those before them (an open
loop): 400 a second at a view that answers at once, over 32 kept connections used in turn, and 6 a second at one that takes
300 ms.

Slow clients: one worker with a processor of its own, loaded by wrk. In every other round there are a thousand clients
more, half of which send a byte of a request's head each second, the other half a byte of its content.
"""

import argparse
import contextlib
import json
import os
import select
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time

import figures
from run import HERE, WHEEL, Target, load, processors

WORKERS = 8
STREAM = {"method": "GET", "size": 0, "halves": False, "kept": True}
QUICK = {**STREAM, "name": "quick", "path": "/", "rate": 400, "connections": 32}
SLOW = {**STREAM, "name": "slow", "path": "/slow", "rate": 6, "connections": 0}
TIMEOUT_SECONDS = 10
HOLD_P99_MS = 3
HOLD_CLOSED = 0.01
HOLD_THROUGHPUT = 0.95
# Longer than any run: neither its end nor the server's time for a head comes first.
HEAD = b"POST /read HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
ENDLESS_FIELD = b"X-Slow: "
TURNS_PER_SECOND = 20


def start(app, workers, processor):
    """A server of one of the apps beside this file, with all settings as they are by default."""
    command = [str(WHEEL), "serve", app, "--bind", "127.0.0.1:0", "--workers", str(workers)]
    return Target(app, command, "ready:", processor)


def port_of(target):
    """Where it listens."""
    return int(target.url.rpartition(":")[2])


def beside_slow_requests(seconds):
    """What became of the quick requests."""
    target = start("waiting:application", WORKERS, None)
    plan = {
        "doors": [{"name": "TCP", "address": ["127.0.0.1", port_of(target)]}],
        "streams": [QUICK, SLOW],
        "timeout": TIMEOUT_SECONDS,
        "seed": 1,
    }
    command = [sys.executable, HERE / "stress" / "load.py"]
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            process.stdin.write(json.dumps(plan) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "steady\n", "the load has ended"
            time.sleep(seconds)
            outcome, _ = process.communicate("\n", timeout=2 * TIMEOUT_SECONDS)
    finally:
        target.stop()
    door = json.loads(outcome)["doors"]["TCP"]
    quick = door["times_ms"]["quick"]
    return {
        "quick": len(quick),
        "slow": len(door["times_ms"]["slow"]),
        "p50_ms": statistics.median(quick),
        "p99_ms": statistics.quantiles(quick, n=100)[98],
        "max_ms": max(quick),
        "lost": door["requests"] - door["answered"],
        "closed": door["closing"] / door["answered"],
    }


class SlowClients(threading.Thread):
    """Clients that send a byte each second, on the load's processor."""

    def __init__(self, target, number, processor):
        super().__init__()
        self.address, self.processor = ("127.0.0.1", port_of(target)), processor
        self.clients = [self.client(at) for at in range(number)]
        self.over, self.sent, self.ended = threading.Event(), 0, 0

    def client(self, at):
        """One that has sent all but the end of its head, or its whole head."""
        client = socket.create_connection(self.address, TIMEOUT_SECONDS)
        client.sendall(HEAD + (ENDLESS_FIELD if at % 2 else b"\r\n"))
        return client

    def run(self):
        if self.processor is not None:
            # sched_setaffinity(2): of this thread.
            os.sched_setaffinity(0, {self.processor})
        turn = 0
        while not self.over.wait(1 / TURNS_PER_SECOND):
            for client in self.clients[turn % TURNS_PER_SECOND :: TURNS_PER_SECOND]:
                with contextlib.suppress(OSError):
                    self.sent += client.send(b"x")
            turn += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()
        poller = select.poll()
        for client in self.clients:
            poller.register(client, select.POLLIN)
        # Whoever was answered, or let go, has not been slow to its end.
        self.ended = len(poller.poll(0))
        for client in self.clients:
            client.close()


def beside_slow_clients(arguments):
    """Throughput without and with them, in turns."""
    server_processor, load_processor = processors()
    target = start("hello:application", 1, server_processor)
    without, beside, bytes_sent = [], [], 0
    try:
        load(target, 1, arguments.connections, load_processor)  # Warms up.
        for _ in range(arguments.rounds):
            without.append(load(target, arguments.seconds, arguments.connections, load_processor))
            with SlowClients(target, arguments.clients, load_processor) as slow:
                beside.append(load(target, arguments.seconds, arguments.connections, load_processor))
            bytes_sent += slow.sent
            if slow.ended:
                raise SystemExit(f"{slow.ended} of the slow clients were let go:\n" + "".join(target.log[-20:]))
    finally:
        target.stop()
    rounds = [with_them["per_second"] / alone["per_second"] for alone, with_them in zip(without, beside)]
    return {
        "per_second": statistics.median(result["per_second"] for result in without),
        "per_second_beside": statistics.median(result["per_second"] for result in beside),
        "share": statistics.median(rounds),
        "bytes_each_second": bytes_sent / arguments.rounds / arguments.seconds,
        "failed": sum(result["failed"] for result in without + beside),
    }


def lines(requests, clients, arguments):
    """The rows of the table, the first its head."""

    def row(name, value, limit, holds, more):
        return [name, value, limit + ("" if holds else " (not held)"), more]

    yield ["", "measured", "to hold", ""]
    p99, lost, closed, share = requests["p99_ms"], requests["lost"], requests["closed"], clients["share"]
    about = f"p50 {requests['p50_ms']:.2f} ms, max {requests['max_ms']:.2f} ms, {requests['quick']} quick, {requests['slow']} slow"
    yield row("p99 of quick requests beside slow ones", f"{p99:.2f} ms", f"≤ {HOLD_P99_MS} ms", p99 <= HOLD_P99_MS, about)
    yield row("of those lost", str(lost), "0", not lost, "")
    yield row("of those closing their connection", f"{closed:.2%}", f"≤ {HOLD_CLOSED:.0%}", closed <= HOLD_CLOSED, "")
    about = f"{clients['per_second_beside']:.0f} of {clients['per_second']:.0f} requests/s, {clients['bytes_each_second']:.0f} bytes/s"
    name = f"throughput beside {arguments.clients} slow clients"
    yield row(name, f"{share:.1%}", f"> {HOLD_THROUGHPUT:.0%}", share > HOLD_THROUGHPUT, about)


def main():
    """Measures, prints, and writes where it is asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="of slow clients [%(default)s]")
    parser.add_argument("--seconds", type=int, default=4, help="length of one round [%(default)s]")
    parser.add_argument("--connections", type=int, default=32, help="of wrk [%(default)s]")
    parser.add_argument("--clients", type=int, default=1000, help="that are slow [%(default)s]")
    parser.add_argument("--slow-requests", type=int, default=30, metavar="SECONDS", help="of quick requests beside slow ones [%(default)s]")
    parser.add_argument("--write", action="store_true", help="write table and JSON to docs/measured")
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed (on Debian: apt install wrk)")
    requests = beside_slow_requests(arguments.slow_requests)
    clients = beside_slow_clients(arguments)
    table = list(lines(requests, clients, arguments))
    print(figures.text(table))
    if arguments.write:
        figures.write("beside", table, {"slow requests": requests, "slow clients": clients}, arguments)


if __name__ == "__main__":
    main()
