#!/usr/bin/env python
"""A steady load on a server that is reloaded, killed, recycled, scaled and broken; every request's fate is told.

Needs the wheel and the native program (`make build`); with nginx installed, it stands in front as well. Exits with 1
when a request has failed that was in no killed worker, or when no answer came for longer than the limit while one was due.
"""

import argparse
import json
import os
import resource
import select
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "python")]

import disturb  # noqa: E402
import endurance  # noqa: E402
import overload  # noqa: E402
import report  # noqa: E402
from judge import judge  # noqa: E402
from sites import Site  # noqa: E402

# At each door. `connections` are opened in advance and used in turn; more are opened when these are busy. The second
# leaves connections idle for longer than a worker that leaves waits for them.
STREAMS = [
    {"name": "kept GET", "method": "GET", "rate": 50, "kept": True, "connections": 8},
    {"name": "rare GET", "method": "GET", "rate": 1, "kept": True, "connections": 4},
    {"name": "closing GET", "method": "GET", "rate": 20, "kept": False, "connections": 0},
    {"name": "kept POST", "method": "POST", "rate": 20, "kept": True, "connections": 4, "size": 1024},
    {"name": "closing POST", "method": "POST", "rate": 8, "kept": False, "connections": 0, "size": 200},
    {"name": "halves", "method": "POST", "rate": 4, "kept": True, "connections": 2, "size": 65536, "halves": True},
]
# Of Python alone: an app that takes its time.
SLOW = {"name": "slow GET", "method": "GET", "path": "/slow", "rate": 6, "kept": True, "connections": 2}
DEFAULTS = {"path": "/", "size": 0, "halves": False}
REQUEST_TIMEOUT_SECONDS = 10
DEADLINE_SECONDS = 60


def streams(app, factor):
    """The load at each door."""
    kinds = STREAMS if app == "native" else [*STREAMS, SLOW]
    return [{**DEFAULTS, **kind, "rate": kind["rate"] * factor} for kind in kinds]


class Load:
    """The load as a process."""

    def __init__(self, doors, kinds, seed):
        plan = {"doors": doors, "streams": kinds, "timeout": REQUEST_TIMEOUT_SECONDS, "seed": seed}
        self.process = subprocess.Popen(
            [sys.executable, HERE / "load.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._say(json.dumps(plan))

    def __enter__(self):
        if not select.select([self.process.stdout], [], [], DEADLINE_SECONDS)[0]:
            raise AssertionError("the load does not become steady")
        assert self.process.stdout.readline() == "steady\n", "the load has ended"
        return self

    def _say(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def outcome(self):
        """Ends it: what became of all requests."""
        text, _ = self.process.communicate("\n", timeout=DEADLINE_SECONDS)
        return json.loads(text)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def play(site, doors, kinds, function, options):
    """One disturbance under load: its row, and the outcome behind it."""
    disturbed = disturb.Disturbed(options.seconds)
    rate = sum(kind["rate"] for kind in kinds) * len(doors)
    disturbed.recycle_after = max(20, int(rate * options.seconds / site.count / 3))
    with Load(doors, kinds, options.seed) as load:
        disturbed.until = time.monotonic() + options.seconds
        function(site, disturbed)
        outcome = load.outcome()
    row = {"times": disturbed.times, **judge(outcome, disturbed.kills, options.stall_ms)}
    row["broken"] += disturbed.trouble
    row["kills"] = disturbed.kills
    return {**row, **outcome}


def stages(options):
    """Every app with its own sockets and nginx, and with handed ones."""
    for app in options.app or ["native", "wsgi"]:
        for sockets in options.sockets or ["own", "handed"]:
            yield app, sockets


def program(app, options):
    """What serves it."""
    return options.native if app == "native" else options.wheel


def disturb_all(options):
    """Every chosen disturbance of every stage; prints as it goes."""
    results = []
    for app, sockets in stages(options):
        site = Site(program(app, options), app, sockets, options.workers)
        try:
            doors, kinds = site.doors(sockets == "own" and not options.without_nginx), streams(app, options.rate)
            rate = sum(kind["rate"] for kind in kinds) * len(doors)
            stage = f"{app} app, {options.workers} workers, {sockets} sockets"
            say(options, report.heading(stage, [door["name"] for door in doors], rate))
            for name, function in disturb.chosen(app, options.disturbance).items():
                about = {"app": app, "sockets": sockets, "disturbance": name}
                row = {**about, **play(site, doors, kinds, function, options)}
                say(options, report.line(name, row))
                results.append(row)
                if row["broken"] and options.log:
                    say(options, site.log.text())
            say(options, "")
        finally:
            site.close()
    say(options, report.FOOT)
    return results


def run_long(options):
    """The long runs of every stage; prints as it goes."""
    rows = []
    for app, sockets in stages(options):
        for row in endurance.run(app, sockets, program(app, options), options):
            say(options, endurance.line(row))
            rows.append(row)
    return rows


def play_all(options):
    """What was asked for, as rows."""
    if options.overload:
        return overload.run(options, say)
    if options.reloads or options.closes:
        return run_long(options)
    return disturb_all(options)


def say(options, text):
    """To standard output, unless JSON goes there."""
    print(text, file=sys.stderr if options.json == "-" else sys.stdout, flush=True)


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(prog="stress", description=__doc__.splitlines()[0])
    parser.add_argument("--app", action="append", choices=["native", "wsgi"], help="only this app (repeatable)")
    parser.add_argument("--sockets", action="append", choices=["own", "handed"], help="only these sockets")
    parser.add_argument("--disturbance", action="append", help="only those whose name begins so (repeatable)")
    parser.add_argument("--seconds", type=float, default=4, help="of each disturbance, at least")
    parser.add_argument("--rate", type=float, default=1, help="factor of all rates")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--without-nginx", action="store_true")
    parser.add_argument("--stall-ms", type=float, default=50, help="limit of the time without an answer; 0 = none")
    parser.add_argument("--json", metavar="FILE", help="everything, failures one by one; - is standard output")
    parser.add_argument("--log", action="store_true", help="show the server's log beside a broken expectation")
    parser.add_argument("--seed", type=int, default=1, help="of the times at which requests begin")
    parser.add_argument("--realtime", action="store_true", help="run all of it ahead of whatever else the machine does")
    parser.add_argument("--native", type=Path, default=ROOT / "target" / "release" / "ferricorn")
    parser.add_argument("--wheel", type=Path, default=Path(sysconfig.get_path("scripts")) / "ferricorn")
    parser.add_argument("--reloads", type=int, help="instead of all that: so many reloads, and what has grown")
    parser.add_argument("--overload", action="store_true", help="instead of all that: three times what the server can do")
    parser.add_argument("--deadline-ms", type=float, default=1000, help="how long clients of --overload wait")
    parser.add_argument("--overload-config", metavar="TOML", default="", help="appended to the configuration of --overload")
    parser.add_argument("--closes", type=int, help="instead of all that: so many abrupt closes, and what has grown")
    return parser.parse_args()


def main():
    """Plays what was asked for; the exit code."""
    options = arguments()
    # Workers that are killed on purpose leave no core.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if options.realtime:
        # sched(7): inherited by everything that is started.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    apps = ["wsgi"] if options.overload else [app for app, _ in stages(options)]
    for app in apps:
        if not os.access(program(app, options), os.X_OK):
            raise SystemExit(f"{program(app, options)} is missing: run `make build`")
    rows = play_all(options)
    if options.json == "-":
        print(json.dumps(rows))
    elif options.json:
        Path(options.json).write_text(json.dumps(rows))
    broken = [row for row in rows if row["broken"]]
    say(options, f"\n{len(broken)} of {len(rows)} rows break the expectation" if broken else "\nas expected")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
