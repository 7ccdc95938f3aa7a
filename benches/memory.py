#!/usr/bin/env python
"""Memory per further worker of the Django + DRF example, without and with `workers.preload`; needs `make build`.

Servers of 2 and of 6 workers are loaded until each worker has answered so many requests. The figure is the slope of the
proportional set size of all their processes (PSS, proc_pid_smaps(5): a page that n processes share counts a nth in each)
from 2 to 6 workers, so that what every server has once, such as the master and the mold, does not count.
"""

import argparse
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FERRICORN = Path(sysconfig.get_path("scripts")) / "ferricorn"
DEADLINE = 120
SIZES = (2, 6)
PATHS = ("/", "/whoami", "/api/notes/", "/api/me", "/admin/login/")


class Server:
    """The example as a process group of its own."""

    def __init__(self, site, workers, preload):
        self.socket = site / "control.sock"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("FERRICORN_")}
        environment |= {"FERRICORN_ADMIN_SOCKET": str(self.socket), "FERRICORN_WORKERS_PRELOAD": preload}
        began = time.monotonic()
        self.process = subprocess.Popen(
            [FERRICORN, "serve", "-b", "127.0.0.1:0", "-w", str(workers)],
            cwd=site,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.port = None
        for line in self.process.stderr:
            if found := re.search(r"listening at http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
            if re.search(r"ready: \d+ worker", line):
                break
        else:
            raise SystemExit("the server did not start")
        self.start_seconds = time.monotonic() - began
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def requests(self):
        """How many requests each worker has answered."""
        output = subprocess.run(
            [FERRICORN, "ctl", "--socket", self.socket, "--json", "workers"], capture_output=True, text=True, check=True
        ).stdout
        told = json.loads(output)
        return [worker["requests"] for worker in (told["workers"] if isinstance(told, dict) else told)]

    def pss_kib(self):
        """PSS of all its processes."""
        total = 0
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            try:
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == self.process.pid:
                    rollup = Path(entry.path, "smaps_rollup").read_text()
                    total += int(re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[1])
            except OSError:
                continue  # Ended meanwhile.
        return total

    def load(self, goal, token, workers):
        """Asks on many connections, which the kernel spreads over the workers, until each worker has answered enough."""
        over = threading.Event()
        clients = [threading.Thread(target=self._ask, args=(over, token), daemon=True) for _ in range(4)]
        for client in clients:
            client.start()
        limit = time.monotonic() + DEADLINE
        while len(told := self.requests()) < workers or min(told) < goal:
            if over.wait(0.5) or time.monotonic() > limit:
                over.set()
                raise SystemExit(f"not every worker has answered {goal} requests in {DEADLINE} s: {told}")
        over.set()
        for client in clients:
            client.join()
        return told

    def _ask(self, over, token):
        fields = {"Authorization": f"Bearer {token}"}
        while not over.is_set():
            # A new connection each round: another worker's.
            client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            for path in PATHS * 2:
                client.request("GET", path, headers=fields if path.startswith("/api/") else {})
                response = client.getresponse()
                response.read()
                if response.status != 200:
                    print(f"{path}: {response.status}", file=sys.stderr)
                    over.set()
            client.close()

    def stop(self):
        """Ends it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(DEADLINE)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)


def token_of(site):
    """A token of the example's own user, as its own view would issue it."""
    code = (
        "import django; django.setup()\n"
        "from django.contrib.auth import get_user_model\n"
        "from rest_framework_simplejwt.tokens import RefreshToken\n"
        "print(RefreshToken.for_user(get_user_model().objects.get(username='demo')).access_token)"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "demo.settings"}
    run = [sys.executable, "-c", code]
    return subprocess.run(run, cwd=site, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def measure(site, preload, goal, token):
    """KiB per further worker, and the seconds that the larger server needs to be ready."""
    totals, seconds = [], 0
    for workers in SIZES:
        server = Server(site, workers, preload)
        try:
            told = server.load(goal, token, workers)
            totals.append(server.pss_kib())
            seconds = server.start_seconds
        finally:
            server.stop()
        shown = ", ".join(map(str, told))
        print(f"preload {preload}, {workers} workers: {totals[-1] / 1024:.1f} MiB PSS (requests: {shown})", flush=True)
    return (totals[1] - totals[0]) / (SIZES[1] - SIZES[0]), seconds


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1000, help="requests that each worker has answered [%(default)s]")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ferricorn-memory-") as directory:
        site = Path(directory) / "django"
        ignored = shutil.ignore_patterns("db.sqlite3*", "collected", "secret", "__pycache__")
        shutil.copytree(ROOT / "examples" / "django", site, ignore=ignored)
        subprocess.run([sys.executable, site / "prepare.py"], check=True, stdout=subprocess.DEVNULL)
        token = token_of(site)
        rows = [(preload, *measure(site, preload, arguments.requests, token)) for preload in ("false", "true")]
    print(f"\n{'preload':8} {'MiB per further worker':>24} {f'{SIZES[1]} workers ready after':>24}")
    for preload, kib, seconds in rows:
        print(f"{preload:8} {kib / 1024:24.1f} {seconds:22.2f} s")
    print(f"\nwith preload: {rows[1][1] / rows[0][1]:.0%} of the memory per further worker")


if __name__ == "__main__":
    main()
