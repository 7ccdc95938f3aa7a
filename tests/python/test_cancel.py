"""Requests that an operator looks into and ends."""

import http.client
import json
import os
import re
import subprocess

import pytest

from support.client import Client, ask
from support.server import DEADLINE, FERRICORN, clean_environment


@pytest.fixture
def hanging(serve, gates, transport):
    """One worker, without a time limit."""

    def start(app="hanging", **environment):
        environment = {**gates.environment, "FERRICORN_TIMEOUTS_REQUEST": "0s", **environment}
        return serve(app, "-w", "1", transport=transport, environment=environment).ready()

    return start


def ctl(server, *arguments):
    """`ferricorn ctl` for this server: exit code, output, complaint."""
    done = subprocess.run(
        [FERRICORN, "ctl", "--pid", str(server.process.pid), *arguments],
        env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE, check=False,
    )
    return done.returncode, done.stdout, done.stderr


def begin(server, target):
    """A connection that has asked for something."""
    connection = server.connect()
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return connection


def answer(connection):
    """Status and content."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read()


def request_id(server, target):
    """The id of the request for this target, by the table of requests."""
    code, output, _ = ctl(server, "requests", "--json")
    assert code == 0
    found = [request for request in json.loads(output)["requests"] if request["request"] == f"GET {target}"]
    assert len(found) == 1, output
    return found[0]["id"]


CANCELLED = (503, b"The request was cancelled by the operator.\n")


def test_a_cancelled_request_is_interrupted_and_its_worker_lives(hanging, gates):
    server = hanging()
    worker = server.workers()[1]
    with begin(server, "/spins?x=1") as connection:
        gates.expect("entered")
        name = request_id(server, "/spins?x=1")
        code, output, _ = ctl(server, "cancel", name)
        assert code == 0 and output.startswith(f"cancelled: GET /spins?x=1 (id {name}, client "), output
        assert answer(connection) == CANCELLED
        gates.expect("RequestInterrupted")
        # The connection goes on, and so does the worker.
        connection.sendall(b"GET /quick HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer(connection) == (200, str(worker).encode())
    server.log.wait_for(rf"request cancelled: GET /spins\?x=1 \(id {name}")
    assert "retires" not in server.log.text()
    code, _, complaint = ctl(server, "cancel", name)
    assert (code, complaint) == (1, f"error: no such request: {name}; it may have ended\n")


def test_a_request_that_waits_for_a_thread_is_never_made(hanging, gates):
    server = hanging()
    with begin(server, "/gated") as first, begin(server, "/spins") as second:
        gates.expect("entered")
        name = until_listed(server, "/spins", "queued")
        assert ctl(server, "stack", name)[1].endswith("no stack: it waits for an app thread\n")
        assert ctl(server, "cancel", name)[0] == 0
        assert answer(second) == CANCELLED
        gates.release()
        assert answer(first)[0] == 200


def until_listed(server, target, state):
    """The id of the request for this target, once it is in this state."""
    for _ in range(200):
        requests = json.loads(ctl(server, "requests", "--json")[1])["requests"]
        for request in requests:
            if request["request"] == f"GET {target}" and request["state"] == state:
                return request["id"]
    raise AssertionError(f"{target} is not {state}: {requests}")


def test_a_request_that_ignores_its_cancellation_is_told_of(hanging, gates):
    server = hanging()
    worker = server.workers()[1]
    with begin(server, "/swallows") as connection:
        gates.expect("entered")
        name = request_id(server, "/swallows")
        code, output, complaint = ctl(server, "cancel", name)
        assert (code, output) == (1, "")
        assert complaint.startswith("error: the client has been answered, but the app goes on"), complaint
        assert " in swallows" in complaint
        assert answer(connection) == CANCELLED
    server.log.wait_for("the cancelled call goes on")
    gates.release()
    gates.expect("swallowed")
    gates.release()
    server.log.wait_for("the interrupted call has ended")
    assert ask(server, "GET", "/quick").content == str(worker).encode()


def test_the_time_limit_holds_for_what_ignores_its_cancellation(hanging, gates):
    # Longer than a cancellation is given time, so that it is the first to come.
    server = hanging(FERRICORN_TIMEOUTS_REQUEST="5s", FERRICORN_TIMEOUTS_GRACEFUL="1s")
    worker = server.workers()[1]
    with begin(server, "/sits_in_c"):
        gates.expect("entered")
        assert ctl(server, "cancel", request_id(server, "/sits_in_c"))[0] == 1
        server.log.wait_for("the app took too long")
        server.log.wait_for("worker ready", count=2)
        server.log.wait_for(rf"worker killed: it had not left in time .*pid={worker}\b")


def test_a_response_that_has_begun_is_cut(hanging):
    server = hanging()
    client = Client(server)
    client.request("GET", "/stalls")
    response = client.getresponse()
    assert response.status == 200
    name = request_id(server, "/stalls")
    assert ctl(server, "cancel", name)[0] == 0
    with pytest.raises(http.client.IncompleteRead) as cut:
        response.read()
    assert cut.value.partial == b"beginning"
    client.close()


@pytest.mark.parametrize("app", ["hanging", "asgi_hanging:app"])
def test_a_response_that_its_client_does_not_read_is_cut(hanging, app):
    """What has been made of it waits for the client, and ends with it."""
    server = hanging(app)
    with begin(server, "/large") as connection:
        received = len(connection.recv(1024))
        code, output, complaint = ctl(server, "cancel", request_id(server, "/large"))
        assert code == 0, (output, complaint)
        assert json.loads(ctl(server, "requests", "--json")[1])["requests"] == []
        while piece := connection.recv(1 << 20):
            received += len(piece)
    assert received < 100 * (256 << 10)
    assert ask(server, "GET", "/quick").status == 200


def test_a_task_that_ignores_its_cancellation_is_told_of(hanging, gates):
    server = hanging("asgi_hanging:app")
    with begin(server, "/swallows") as connection:
        gates.expect("entered")
        code, output, complaint = ctl(server, "cancel", request_id(server, "/swallows"))
        assert (code, output) == (1, "")
        assert complaint.startswith("error: the client has been answered, but the app goes on"), complaint
        assert "in swallows" in complaint
        gates.expect("swallowed")
        assert answer(connection) == CANCELLED
    server.log.wait_for("the cancelled task goes on: it ignores its cancellation")
    assert "retires" not in server.log.text()


def test_a_websocket_whose_task_ignores_its_cancellation_has_the_time_limit(hanging, gates):
    server = hanging("asgi_hanging:app", FERRICORN_TIMEOUTS_REQUEST="1s", FERRICORN_TIMEOUTS_GRACEFUL="1s")
    with server.connect() as connection:
        connection.sendall(
            b"GET /swallows_when_open HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        gates.expect("entered")
        # It has had none while it was open.
        assert ctl(server, "cancel", request_id(server, "/swallows_when_open"))[0] == 1
        server.log.wait_for("worker ready", count=2)


@pytest.mark.parametrize("path", ["spins", "sits_in_c"])
def test_the_stack_is_that_of_the_thread_that_serves_the_request(hanging, gates, path):
    server = hanging(FERRICORN_TIMEOUTS_GRACEFUL="1s")
    with begin(server, f"/{path}?y=2"):
        gates.expect("entered")
        name = request_id(server, f"/{path}?y=2")
        code, output, _ = ctl(server, "stack", name)
        assert code == 0 and re.match(rf"GET /{path}\?y=2 \(id {name}, client \S+, \d\S*s, in app\)\n", output), output
        assert f" in {path}" in output and output.count("most recent call first") == 1
        result = json.loads(ctl(server, "stack", name, "--json")[1])["result"]
        assert f" in {path}" in result
        # That it was looked into has not disturbed it.
        assert request_id(server, f"/{path}?y=2") == name


def test_a_request_whose_client_has_left_can_be_cancelled(hanging, gates):
    server = hanging()
    begin(server, "/spins").close()
    gates.expect("entered")
    assert ctl(server, "cancel", request_id(server, "/spins"))[0] == 0
    gates.expect("RequestInterrupted")
    assert os.path.exists(f"/proc/{server.workers()[1]}")
