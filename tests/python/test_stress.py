"""`make stress` tells every request's fate: of a real server, and of one that does all that a server must not do."""

import contextlib
import json
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from support.server import DEADLINE, FERRICORN, clean_environment

STRESS = Path(__file__).resolve().parents[2] / "benches" / "stress"
sys.path.insert(0, str(STRESS))

import load  # noqa: E402
from judge import is_excused, judge  # noqa: E402

KIND = {"name": "GET", "method": "GET", "path": "/", "size": 0, "halves": False}
STREAM = {**KIND, "rate": 400, "kept": False, "connections": 0}
TIMES = 10


def test_a_killed_worker_costs_only_what_it_had():
    arguments = ["--app", "wsgi", "--sockets", "own", "--without-nginx", "--disturbance", "crash: kill"]
    # Of time nothing is judged: the machine that tests run on is seldom quiet.
    arguments += ["--seconds", "1", "--stall-ms", "0", "--wheel", FERRICORN, "--json", "-"]
    command = [sys.executable, STRESS, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * DEADLINE, env=clean_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    undisturbed, killed = json.loads(done.stdout)
    assert undisturbed["disturbance"] == "undisturbed" and undisturbed["answered"] == undisturbed["requests"] > 0
    assert killed["times"] == len(killed["kills"]) > 0 and killed["failed"] == {}
    assert killed["answered"] == killed["requests"] - killed["in_a_killed_worker"]
    assert "crash: kill -9" in done.stderr


class Misbehaving:
    """A server that answers well, except for some requests in a row, from when it is given a sign."""

    def __init__(self, name, sign, wrongs):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.door = {"name": name, "address": self.listener.getsockname()}
        self.sign, self.acts, self.done = sign, wrongs * TIMES, threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):  # Closed.
            while True:
                connection, _ = self.listener.accept()
                with connection:
                    target = connection.recv(4096).split(b" ")[1]
                    wrong = self.sign.is_set() and self.acts
                    getattr(self, self.acts.pop() if wrong else "well")(connection, target)
                if not self.acts:
                    self.done.set()

    def close(self):
        """Whoever comes now is refused."""
        with contextlib.suppress(OSError):  # It was closed before.
            self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()

    def well(self, connection, target):
        self.other(connection, target, b"200")

    def other(self, connection, target, status=b"503"):
        content = b"GET " + target + b"\n"
        connection.sendall(b"HTTP/1.1 %b x\r\nContent-Length: %d\r\n\r\n%b" % (status, len(content), content))

    def foreign(self, connection, target):
        self.well(connection, target + b"0")

    def cut(self, connection, _target):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nGET")

    def closed(self, _connection, _target):
        pass

    def reset(self, connection, _target):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_fates_are_told_apart():
    sign = threading.Event()
    gone = Misbehaving("gone", sign, [])
    wrong = Misbehaving("wrong", sign, ["other", "foreign", "cut", "closed", "reset"])
    plan = {"doors": [gone.door, wrong.door], "streams": [STREAM], "timeout": 10, "seed": 1}
    process = subprocess.Popen(
        [sys.executable, STRESS / "load.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        process.stdin.write(json.dumps(plan) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "steady\n"
        gone.close()
        # The other door is asked as often, so that some have been refused when it has done its part.
        sign.set()
        assert wrong.done.wait(DEADLINE)
        outcome = json.loads(process.communicate("\n", timeout=DEADLINE)[0])
    finally:
        process.kill()
        process.wait()
        gone.close()
        wrong.close()
    assert outcome["doors"]["gone"]["fates"][load.REFUSED] > 0
    fates = outcome["doors"]["wrong"]["fates"]
    wrongs = [load.STATUS, load.WRONG, load.CUT, load.CLOSED, load.RESET]
    assert fates == dict.fromkeys(wrongs, TIMES)
    row = judge(outcome, [], 0)
    assert row["requests"] == row["answered"] + sum(row["failed"].values())
    assert f"{TIMES} wrong answer" in row["broken"]


def failure(fate, sent, ended, door="TCP", detail=None):
    """What the load tells of a failure."""
    return {"door": door, "fate": fate, "detail": detail, "sent": sent, "ended": ended}


@pytest.mark.parametrize(
    ("told", "excused"),
    [
        (failure(load.RESET, 1.0, 2.1), True),
        (failure(load.CLOSED, 2.05, 2.15), True),
        (failure(load.CUT, 1.0, 2.1), True),
        (failure(load.STATUS, 1.0, 2.1, "nginx over TCP", 502), True),
        # It had failed before the worker was killed, or was sent when its death could be seen.
        (failure(load.RESET, 1.0, 1.9), False),
        (failure(load.RESET, 2.2, 2.3), False),
        # No death of a worker explains these.
        (failure(load.REFUSED, None, 2.1), False),
        (failure(load.RESET_UNSENT, None, 2.1), False),
        (failure(load.TIMEOUT, 1.0, 2.1), False),
        (failure(load.WRONG, 1.0, 2.1), False),
        (failure(load.STATUS, 1.0, 2.1, "TCP", 502), False),
        (failure(load.STATUS, 1.0, 2.1, "nginx over TCP", 503), False),
    ],
)
def test_only_requests_in_a_killed_worker_are_excused(told, excused):
    assert is_excused(told, [(2.0, 2.1)]) is excused


def test_a_wait_past_the_limit_breaks_the_expectation():
    door = {"answered": 1, "requests": 1, "fates": {}, "stall_ms": 51.0, "times_ms": {"GET": [60.0]}}
    outcome = {"doors": {"TCP": door}, "failures": []}
    assert judge(outcome, [], 50)["broken"] == ["no answer for 51 ms at TCP"]
    assert judge(outcome, [], 52)["broken"] == []
