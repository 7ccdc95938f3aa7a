"""A panic in the server's own code under a Python app costs one request, and is counted; its worker lives."""

import os
import signal

import pytest

from support.client import ask, exchange
from support.figures import AT_ANY_PORT, admin_page, parsed

PATHS = {"wsgi": ["before", "written", "pieces"], "asgi": ["before", "pieces", "ends_at_once", "ends_at_once_beside", "ends_later"]}
WEBSOCKET = b"".join(
    field + b"\r\n"
    for field in [
        b"GET / HTTP/1.1",
        b"Host: a",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"",
    ]
)
# 1011: an internal error; masked, in the answer of a client (RFC 6455 5.1, 7.4.1).
INTERNAL_ERROR = b"\x88\x02\x03\xf3"
AGREED = b"\x88\x82\0\0\0\0\x03\xf3"


def close_of_websocket(server):
    """What the server sends up to its close frame, and behind it; answered, since it waits for that."""
    with server.connect() as connection:
        connection.sendall(WEBSOCKET)
        received = b""
        while not received.endswith(INTERNAL_ERROR):
            piece = connection.recv(65536)
            assert piece, received
            received += piece
        connection.sendall(AGREED)
        return connection.recv(65536)


@pytest.mark.parametrize("interface", PATHS)
def test_panic_costs_one_request_and_is_counted(serve, interface):
    environment = {**AT_ANY_PORT, "RUST_BACKTRACE": "0"}
    server = serve(f"panicking:{interface}", "-w", "1", environment=environment).ready()
    worker = server.workers()
    for path in PATHS[interface]:
        raw = exchange(server, f"GET /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        if path not in ("written", "pieces"):
            assert raw.startswith(b"HTTP/1.1 500 "), raw
        else:
            # Nobody takes what has come for the whole.
            assert raw.startswith(b"HTTP/1.1 200 ") and b"some" in raw and not raw.endswith(b"0\r\n\r\n"), raw
    panics = len(PATHS[interface])
    if interface == "asgi":
        server.log.wait_for("beside it: .*http.disconnect")
        assert close_of_websocket(server) == b""
        panics += 1
    assert parsed(admin_page(server))["ferricorn_panics_total"] == panics
    # PEP 3333: close() is called however the iteration ended.
    assert ask(server, "GET", "/").content == {"wsgi": b"1 closed", "asgi": b"fine"}[interface]
    assert server.workers() == worker


@pytest.mark.parametrize(("interface", "loop"), [("wsgi", "auto"), ("asgi", "asyncio"), ("asgi", "uvloop")])
def test_panic_in_a_signal_handler_of_the_app_leaves_its_worker_as_it_was(serve, interface, loop):
    environment = {**AT_ANY_PORT, "RUST_BACKTRACE": "0", "FERRICORN_PYTHON_LOOP": loop}
    server = serve(f"panicking:{interface}", "-w", "1", environment=environment).ready()
    worker = server.workers()
    os.kill(worker[1], signal.SIGALRM)
    server.log.wait_for("told to panic")
    assert ask(server, "GET", "/").status == 200
    if loop != "uvloop":
        # uvloop may run the handler itself, and what it raises is then an exception like any other.
        assert parsed(admin_page(server))["ferricorn_panics_total"] == 1
    assert server.workers() == worker


def test_panic_where_an_overdue_request_is_looked_into_leaves_its_client_the_answer(serve):
    environment = {**AT_ANY_PORT, "RUST_BACKTRACE": "0", "FERRICORN_TIMEOUTS_REQUEST": "300ms"}
    server = serve("panicking:asgi", "-w", "1", environment=environment).ready()
    assert ask(server, "GET", "/overdue").status == 504
    server.log.wait_for("no stack: PanicException: told to panic")
    assert parsed(admin_page(server))["ferricorn_panics_total"] == 1
