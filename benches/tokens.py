#!/usr/bin/env python
"""What tokens cost: each row as a ratio to the same native app on an open route; needs `wrk` and `make build`.

Every server is one worker on one processor, and the load comes from another. All run at once and are loaded in turns, so that a
change of the machine's mood meets everybody. CPU per request decides: it is that of the server's whole process tree. An uncached
token is compared with the cached one and what the verification costs in the library below (`benches/bare.rs`): by itself, and where an
app calls it in each request. The latter tells what a server's answer costs when the load has gone to sleep meanwhile, which it does in
the time of a verification and does not in that of a hello: each answer then has to wake it.
Logins are asked for as fast as they are answered, while somebody else asks for a page every few milliseconds.
"""

import argparse
import http.client
import json
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import figures
from run import BUILD, HERE, NATIVE, Target, load, medians, processors

ALGORITHMS = ("RS256", "ES256", "EdDSA")
OPEN = "open route"
IDLE_APP = "an app"
BARE = BUILD / "examples" / "bare"
USER, PASSWORD = "demo", "correct horse"

# What a row may cost: a multiple of the open route's CPU.
HOLD_TOKEN = 1.6
HOLD_CACHED = 1.3
# Of an uncached token beyond a cached one: a multiple of the bare verification.
HOLD_VERIFICATION = 1.1

CONFIGURATION = """
[[app]]
target = "native:hello"

[auth]
cache_entries = {cache}

[[auth.provider]]
name = "local"

[[auth.provider.key]]
alg = "{algorithm}"
{source} = "{key}"

[[auth.route]]
prefix = "/"
require = "local"
"""

LOGINS = """
[[app]]
target = "native:hello"

[auth.issue]
enabled = true
hash_threads = 1

[auth.store]
url = "sqlite:///{folder}/auth.db"

[[auth.provider]]
name = "local"

[[auth.provider.key]]
alg = "HS256"
use = "sign+verify"
secret_file = "{key}"

[[auth.route]]
prefix = "/"
require = "none"
"""

LOGIN_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"username": "%s", "password": "%s"}'
"""


def ferricorn(*arguments, **options):
    """What a subcommand prints."""
    done = subprocess.run([NATIVE, *arguments], capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise SystemExit(f"ferricorn {' '.join(map(str, arguments))} failed:\n{done.stderr}")
    return done.stdout.strip()


def served(name, text, folder, processor):
    """A server of this configuration."""
    file = Path(folder, name.replace(" ", "-") + ".toml")
    file.write_text(text)
    command = [str(NATIVE), "serve", "--config", str(file), "--bind", "127.0.0.1:0", "--workers", "1"]
    return Target(name, command, "ready:", processor)


class Rows:
    """Which request goes to which server."""

    def __init__(self, folder, processor):
        self.folder, self.processor = folder, processor
        self.targets, self.rows = [], []

    def start(self, name, text=None):
        """A server; without a configuration that of the open route."""
        if text is None:
            command = [str(NATIVE), "serve", "hello", "--bind", "127.0.0.1:0", "--workers", "1"]
            self.targets.append(Target(name, command, "ready:", self.processor))
        else:
            self.targets.append(served(name, text, self.folder, self.processor))
        return self.targets[-1]

    def keys(self, algorithm):
        """A key of its own making, and a token by it."""
        key = Path(self.folder, algorithm + ".key")
        if not key.exists():
            ferricorn("jwt", "keygen", "--alg", algorithm, "--out", key)
        source = "secret_file" if algorithm == "HS256" else "pem_file"
        flag = "--secret-file" if algorithm == "HS256" else "--pem"
        claims = ("--claim", "user_id=7", "--claim", "token_type=access", "--expires", "1h")
        return source, key, ferricorn("jwt", "sign", flag, key, "--alg", algorithm, *claims)

    def fill(self):
        """All rows, each (name, server, lines of the head, whether it is to be refused)."""
        bearer = "Authorization: Bearer {}".format
        self.rows.append((OPEN, self.start(OPEN), (), False))
        source, key, token = self.keys("HS256")
        server = self.start("HS256", CONFIGURATION.format(cache=10000, algorithm="HS256", source=source, key=key))
        # As long as a good one, and of the right form.
        head, payload, signature = token.split(".")
        forged = ".".join((head, payload, signature[::-1].translate(str.maketrans("-_", "ab"))[1:] + "A"))
        self.rows += [
            ("HS256, good", server, (bearer(token),), False),
            ("HS256, badly signed", server, (bearer(forged),), True),
            ("malformed", server, (bearer("not.a-token"),), True),
        ]
        for algorithm in ALGORITHMS:
            source, key, token = self.keys(algorithm)
            for cache, entries in (("cached", 10000), ("uncached", 0)):
                name = f"{algorithm}, {cache}"
                text = CONFIGURATION.format(cache=entries, algorithm=algorithm, source=source, key=key)
                self.rows.append((name, self.start(name, text), (bearer(token),), False))
        for algorithm in ("nothing", *ALGORITHMS):
            name = IDLE_APP if algorithm == "nothing" else verifying(algorithm)
            command = [str(BARE), "app", algorithm, "--bind", "127.0.0.1:0", "--workers", "1"]
            self.targets.append(Target(name, command, "ready:", self.processor))
            self.rows.append((name, self.targets[-1], (), False))


def verifying(algorithm):
    """The name of the row of an app that verifies a signature in each request."""
    return f"{IDLE_APP} that verifies {algorithm}"


def tokens(folder, arguments):
    """The medians of each row, loaded in turns."""
    server_processor, load_processor = processors()
    rows = Rows(folder, server_processor)
    rounds = {}
    try:
        rows.fill()
        for number in range(arguments.rounds + 1):
            for name, target, fields, is_refused in rows.rows:
                seconds = arguments.seconds if number else 1  # The first round warms up.
                result = load(target, seconds, arguments.connections, load_processor, "/", fields)
                wrong = result["failed"] - (result["refused"] if is_refused else 0)
                answers = result["per_second"] * seconds
                if wrong or (is_refused and result["refused"] < answers / 2):
                    raise SystemExit(f"{name}: {wrong} answers are not what they should be: {result}")
                if number:
                    rounds.setdefault(name, []).append(result)
    finally:
        for target in rows.targets:
            target.stop()
    return {name: medians(of_one) for name, of_one in rounds.items()}


def judged(results, bare):
    """What each row costs beside the open route, what it may cost, and whether that holds."""
    base = results[OPEN]["cpu_us"]
    for name, result in results.items():
        result["ratio"] = result["cpu_us"] / base
        algorithm = name.partition(",")[0]
        if name == OPEN:
            continue
        if name.endswith(", uncached"):
            cached = results[f"{algorithm}, cached"]["cpu_us"]
            in_app = results[verifying(algorithm)]["cpu_us"] - results[IDLE_APP]["cpu_us"]
            result["to_hold"] = (cached + in_app + (HOLD_VERIFICATION - 1) * bare[algorithm]) / base
            result["to_hold_by_itself"] = (cached + HOLD_VERIFICATION * bare[algorithm]) / base
        elif name.startswith(IDLE_APP):
            continue
        else:
            result["to_hold"] = HOLD_CACHED if name.endswith(", cached") else HOLD_TOKEN
        result["holds"] = result["ratio"] <= result["to_hold"]
    return results


class Visitor(threading.Thread):
    """Somebody who asks for a page every few milliseconds, on a kept connection."""

    def __init__(self, target, pause):
        super().__init__()
        self.target, self.pause = target, pause
        self.over = threading.Event()
        self.waits = []

    def run(self):
        client = http.client.HTTPConnection("127.0.0.1", int(self.target.url.rpartition(":")[2]), timeout=30)
        while not self.over.wait(self.pause):
            began = time.perf_counter()
            client.request("GET", "/")
            response = client.getresponse()
            response.read()
            if response.status == 200:
                self.waits.append((time.perf_counter() - began) * 1e3)
        client.close()

    def p99(self):
        """In milliseconds, once it has left."""
        self.over.set()
        self.join()
        return statistics.quantiles(self.waits, n=100)[98]


def logins(folder, arguments, bare):
    """Logins per second against what the hash alone allows, and the p99 of somebody else without and with them."""
    key = Path(folder, "HS256.key")
    file = Path(folder, "logins.toml")
    text = LOGINS.format(folder=folder, key=key)
    file.write_text(text)
    ferricorn("user", "add", USER, "--config", file, input=PASSWORD + "\n")
    script = Path(folder, "login.lua")
    script.write_text(LOGIN_SCRIPT % (USER, PASSWORD) + (HERE / "report.lua").read_text())
    # Hashes have a processor, and who answers others has one: only waiting for each other would be seen.
    target = served("logins", text, folder, None)
    try:
        load(target, arguments.seconds, 4, None, "/api/token/", script=script)
        quiet = Visitor(target, arguments.pause)
        quiet.start()
        time.sleep(arguments.seconds)
        quiet = quiet.p99()
        busy = Visitor(target, arguments.pause)
        busy.start()
        result = load(target, arguments.seconds, 4, None, "/api/token/", script=script)
        busy = busy.p99()
    finally:
        target.stop()
    if result["failed"]:
        raise SystemExit(f"{result['failed']} logins failed:\n" + "".join(target.log))
    return {
        "per_second": result["per_second"],
        "hash_per_second": 1e6 / bare["argon2id"],
        "cpu_us": result["cpu_us"],
        "hash_us": bare["argon2id"],
        "other_p99_ms": quiet,
        "other_p99_ms_beside": busy,
    }


def lines(results, login):
    """The rows of the table, the first its head."""
    yield ["", "CPU µs/req", "ratio", "to hold", "req/s", "p99 ms"]
    for name, result in results.items():
        bounds = [result[name] for name in ("to_hold", "to_hold_by_itself") if name in result]
        held = "; ".join(f"≤ {bound:.2f}{'' if result['ratio'] <= bound else ' (not held)'}" for bound in bounds)
        figures_of_row = f"{result['cpu_us']:.1f}", f"{result['ratio']:.2f} ×", held
        yield [name, *figures_of_row, f"{result['per_second']:.0f}", f"{result['p99_ms']:.2f}"]
    share = login["per_second"] / login["hash_per_second"]
    yield ["login, one hash thread", f"{login['cpu_us']:.0f}", "", f"{share:.2f} of the hash alone", f"{login['per_second']:.1f}", ""]
    yield ["another route, no logins", "", "", "", "", f"{login['other_p99_ms']:.2f}"]
    yield ["another route, logins beside", "", "", "", "", f"{login['other_p99_ms_beside']:.2f}"]


def main():
    """Measures, prints, and writes where it is asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="length of one round")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--pause", type=float, default=0.004, help="seconds between requests of the one beside logins")
    parser.add_argument("--write", action="store_true", help="write table and JSON to docs/measured")
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed (on Debian: apt install wrk)")
    pinned = ["taskset", "--cpu-list", str(processors()[0])] if processors()[0] is not None else []
    done = subprocess.run([*pinned, BARE], capture_output=True, text=True, check=True)
    bare = json.loads(done.stdout)
    with tempfile.TemporaryDirectory(prefix="ferricorn-bench-") as folder:
        results = judged(tokens(folder, arguments), bare)
        login = logins(folder, arguments, bare)
    table = list(lines(results, login))
    print(figures.text(table))
    if arguments.write:
        figures.write("tokens", table, {"rows": results, "bare_us": bare, "logins": login}, arguments)


if __name__ == "__main__":
    main()
