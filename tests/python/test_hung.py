"""Requests that hang, workers that die: what the log says, and what becomes of everybody else."""

import http.client
import os
import re
import signal
import subprocess
import sys

import pytest

from support.client import Client, ask
from support.server import DEADLINE, clean_environment

LIMITS = {"FERRICORN_TIMEOUTS_REQUEST": "300ms", "FERRICORN_TIMEOUTS_GRACEFUL": "1s"}
TOO_LONG = r"the app took too long; .*: GET (\S+) \(id ([0-9a-f]{16}), client \S+, \d\S*s, in app\)"
# How many interruptions are tried; `make stress` tries more.
ROUNDS = int(os.environ.get("TEST_INTERRUPTIONS", "3000"))


@pytest.fixture
def hanging(serve, gates, transport):
    """Workers with a short time limit."""

    def start(workers=1, **environment):
        environment = {**gates.environment, **LIMITS, **environment}
        return serve("hanging", "-w", str(workers), transport=transport, environment=environment).ready()

    return start


def entered(server, gates, target="/gated"):
    """A connection whose request is in the app."""
    connection = server.connect()
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    gates.expect("entered")
    return connection


def test_a_killed_workers_request_is_named(serve, gates, transport):
    server = serve("responses", "-w", "1", transport=transport, environment=gates.environment).ready()
    with entered(server, gates, "/gated?a=%20b"):
        os.kill(server.workers()[1], signal.SIGKILL)
        line = r"worker was serving GET /gated\?a=%20b \(id [0-9a-f]{16}, client (\S+), \d.*, in app\)"
        client = server.log.wait_for(line)[0][1]
        assert client.startswith("127.0.0.1:" if transport == "tcp" else "unix")
        server.log.wait_for("worker ready", count=2)
    assert ask(server, "GET", "/plain").status == 200


def stack_below(server, line):
    """The block of lines below a line of the log."""
    server.log.wait_for(line)
    lines = iter(server.log.text().split("\n"))
    next(found for found in lines if re.search(line, found))
    block = []
    for each in lines:
        if not each.startswith("    | "):
            break
        block.append(each)
    return "\n".join(block)


@pytest.mark.parametrize("path", ["spins", "sleeps", "waits"])
def test_a_request_past_its_limit_is_interrupted_and_its_worker_recycled(hanging, gates, path):
    server = hanging()
    first = server.workers()[1]
    with entered(server, gates, f"/{path}?x=1") as connection:
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert (response.status, response.read()) == (504, b"The application took too long.\n")
    target, request = server.log.wait_for(TOO_LONG)[0].groups()
    assert target == f"/{path}?x=1" and f"request={request}" in server.log.text()
    # The thread that serves it, and no other.
    stack = stack_below(server, TOO_LONG)
    assert f" in {path}" in stack and stack.count("most recent call first") == 1, stack
    if path != "sleeps":
        gates.expect("RequestInterrupted")
    server.log.wait_for("the interrupted call has ended")
    server.log.wait_for("worker retires: a request was past its time limit")
    server.log.wait_for(rf"worker left .*pid={first}\b")
    assert ask(server, "GET", "/quick").content != str(first).encode()
    assert "worker killed" not in server.log.text() and "goes on" not in server.log.text()


def test_a_worker_can_be_kept_whose_request_was_interrupted(hanging, gates):
    server = hanging(FERRICORN_WORKERS_RECYCLE_AFTER_TIMEOUT="false", FERRICORN_TIMEOUTS_GRACEFUL="1s")
    first = server.workers()[1]
    with entered(server, gates, "/spins") as connection:
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert (response.status, response.read()) == (504, b"The application took too long.\n")
    gates.expect("RequestInterrupted")
    server.log.wait_for("the interrupted call has ended")
    assert ask(server, "GET", "/quick").content == str(first).encode()
    assert "retires" not in server.log.text()
    # What cannot be interrupted costs the worker all the same.
    entered(server, gates, "/sits_in_c").close()
    server.log.wait_for("the interrupted call goes on")
    server.log.wait_for("worker ready", count=2)
    server.log.wait_for(rf"worker killed: it had not left in time .*pid={first}\b")


@pytest.mark.parametrize("path", ["gated", "sits_in_c"])
def test_a_call_that_blocks_does_not_stop_the_event_loop(hanging, gates, path):
    server = hanging(FERRICORN_TIMEOUTS_REQUEST="3s", FERRICORN_TIMEOUTS_HEARTBEAT="400ms")
    with entered(server, gates, f"/{path}") as connection:
        # Several times as long as the event loop may stand still.
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 504
    assert "stands still" not in server.log.text()
    gates.release()


def test_a_request_in_c_code_is_answered_seen_and_killed_in_the_end(hanging, gates):
    server = hanging()
    first = server.workers()[1]
    with entered(server, gates, "/sits_in_c") as connection:
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 504
    stack = stack_below(server, TOO_LONG)
    assert " in match" in stack and " in sits_in_c" in stack, stack
    server.log.wait_for("worker ready", count=2)
    assert ask(server, "GET", "/quick").status == 200
    server.log.wait_for(rf"worker killed: it had not left in time .*pid={first}\b")
    server.log.wait_for(r"worker was serving GET /sits_in_c \(id [0-9a-f]{16}, client \S+, \d\S*s, in app\)")


def test_a_request_that_ignores_its_interruption_is_waited_for(hanging, gates):
    server = hanging(FERRICORN_TIMEOUTS_GRACEFUL="30s")
    first = server.workers()[1]
    with entered(server, gates, "/swallows") as connection:
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 504
    assert " in wait" in stack_below(server, "the interrupted call goes on")
    server.log.wait_for("worker ready", count=2)
    gates.expect("swallowed")
    gates.release()
    server.log.wait_for(rf"worker left .*pid={first}\b")


def test_a_task_that_ignores_its_cancellation_costs_its_worker(serve, gates):
    environment = {**gates.environment, **LIMITS, "FERRICORN_WORKERS_RECYCLE_AFTER_TIMEOUT": "false"}
    server = serve("asgi_hanging:app", "-w", "1", environment=environment).ready()
    first = server.workers()[1]
    with entered(server, gates, "/swallows") as connection:
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 504
    gates.expect("swallowed")
    assert "in swallows" in stack_below(server, "the cancelled task goes on: it ignores its cancellation; its worker is replaced")
    server.log.wait_for("worker retires: a request was past its time limit")
    server.log.wait_for("worker ready", count=2)
    # It serves until it is told to leave.
    while ask(server, "GET", "/quick").content == str(first).encode():
        pass


def test_a_response_that_stalls_is_cut_and_one_that_goes_on_is_not(hanging):
    server = hanging()
    client = Client(server)
    assert ask(server, "GET", "/steady").content == b"piece" * 8
    client.request("GET", "/stalls")
    response = client.getresponse()
    assert response.status == 200
    with pytest.raises(http.client.IncompleteRead) as cut:
        response.read()
    assert cut.value.partial == b"beginning"
    client.close()
    assert " in stalls" in stack_below(server, "the app took too long")
    server.log.wait_for("the interrupted call has ended")


def test_a_slow_client_is_not_the_apps_time(hanging):
    server = hanging(workers=2)
    with server.connect() as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        response = http.client.HTTPResponse(connection)
        response.begin()
        # While this client reads nothing, others pass their limit: that much time has gone by for it as well.
        client = Client(server)
        for _ in range(3):
            client.ask("GET", "/steady")
        client.close()
        assert len(response.read()) == 100 * (256 << 10)
    assert "took too long" not in server.log.text()


def test_a_request_whose_client_has_left_is_interrupted_too(hanging, gates):
    server = hanging()
    entered(server, gates, "/spins").close()
    gates.expect("RequestInterrupted")
    server.log.wait_for(TOO_LONG)


TRY = """
import sys
from functools import partial
from time import sleep
from ferricorn._ferricorn import try_interruptions

def notices():
    # Lets go of the lock at every step there is, and runs on.
    global calls
    calls += 1
    for step in range(calls % 20):
        if step == calls % 7:
            sleep(0)

calls = 0
# Lets go of the lock and returns without another step of Python code.
returns = partial(sleep, 0)
sys.setswitchinterval(1e-6)
print(*try_interruptions({"notices": notices, "returns": returns}[sys.argv[1]], int(sys.argv[2])))
"""


@pytest.mark.parametrize("app", ["notices", "returns"])
def test_an_interruption_reaches_its_own_request_or_nobody(app):
    arguments = [sys.executable, "-c", TRY, app, str(ROUNDS)]
    tried = subprocess.run(
        arguments, env=clean_environment(), capture_output=True, text=True, timeout=20 * DEADLINE, check=True
    )
    sent, arrived, escaped = map(int, tried.stdout.split())
    # One of the two runs Python code after the interruption was sent; the other has it withdrawn.
    assert escaped == 0 and 0 < sent <= ROUNDS, tried.stdout
    assert arrived > 0 if app == "notices" else arrived == 0, tried.stdout
