"""App threads: as many calls at once as `threads` says, none waits behind a blocked one, and none meets a slow client."""

import json

import pytest

from support.client import Client, ask


@pytest.fixture
def server(serve, gates):
    """One worker of four threads."""
    return serve("responses", "-w", "1", "--threads", "4", environment=gates.environment).ready()


def test_as_many_calls_are_made_at_once_as_there_are_threads(server, gates):
    blocked = [Client(server) for _ in range(4)]
    for client in blocked:
        client.request("GET", "/gated")
        gates.expect("entered")
    # The fifth waits for a thread, and no longer than that.
    fifth = Client(server)
    fifth.request("GET", "/worker")
    gates.release()
    answered = fifth.getresponse()
    assert (answered.status, answered.read()) == (200, str(server.workers()[1]).encode())
    for _ in blocked[1:]:
        gates.release()
    for client in blocked:
        assert client.getresponse().read() == b"released"
        client.close()
    fifth.close()


def test_quick_calls_pass_by_blocked_ones(server, gates):
    blocked = [Client(server) for _ in range(3)]
    for client in blocked:
        client.request("GET", "/gated")
        gates.expect("entered")
    quick = Client(server)
    for _ in range(100):
        assert quick.ask("GET", "/plain").content == b"plain"
    for _ in blocked:
        gates.release()
    for client in blocked:
        assert client.getresponse().read() == b"released"


def test_slow_clients_occupy_no_thread(server):
    """More of them than threads: half send their content byte by byte, half do not read their answer."""
    slow = [server.connect() for _ in range(16)]
    for number, connection in enumerate(slow):
        if number % 2:
            connection.sendall(b"POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")
        else:
            connection.sendall(b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n")
    for _ in range(20):
        for connection in slow[1::2]:
            connection.sendall(b"x")
        assert ask(server, "GET", "/plain").content == b"plain"
    for connection in slow:
        connection.close()


def test_an_app_is_told_that_it_has_threads(serve):
    for threads, expected in (("4", True), ("1", False)):
        server = serve("environ_app", "-w", "1", "--threads", threads).ready()
        assert json.loads(ask(server, "GET", "/").content)["wsgi.multithread"] is expected
