"""Tasks that a request's task has begun are told of its end, however it comes to it: none waits for ever."""

import pytest

from support.client import answer_to, ask, exchange
from support.figures import AT_ANY_PORT, admin_page, parsed

SETTINGS = '[[app]]\ntarget = "asgi_children:app"\ninterface = "asgi"\nrequest_content = "stream"\n'
WEBSOCKET = (
    b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
UPLOAD = b"POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
# A masked text of one letter, and the answer to a close frame of status 1011 (RFC 6455 5.2, 5.5.1).
LETTER = b"\x81\x81\0\0\0\0a"
CLOSED = b"\x88\x82\0\0\0\0\x03\xf3"


@pytest.fixture(params=["asyncio", "uvloop"])
def start(serve, gates, tmp_path, request):
    """Starts one worker in each of the event loops."""
    (tmp_path / "ferricorn.toml").write_text(SETTINGS)
    environment = {**gates.environment, **AT_ANY_PORT, "FERRICORN_PYTHON_LOOP": request.param}
    return lambda **more: serve("-w", "1", environment={**environment, **more}).ready()


@pytest.mark.parametrize("path", ["raises", "returns", "breaks_off", "has_no_coroutine"])
def test_children_of_a_task_that_fails_are_told(start, gates, path):
    server = start()
    raw = exchange(server, f"GET /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert raw.startswith(b"HTTP/1.1 200 " if path == "breaks_off" else b"HTTP/1.1 500 "), raw
    gates.expect("child http.disconnect")


def test_child_that_waits_for_room_is_told(start, gates):
    assert exchange(start(), b"GET /fails_beside_a_sender HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    gates.expect("child ConnectionResetError")


def test_task_whose_child_alone_hears_of_the_clients_leaving_has_its_time_limit(start, gates):
    server = start(FERRICORN_TIMEOUTS_REQUEST="300ms")
    with server.connect() as connection:
        connection.sendall(UPLOAD % b"/overlooks")
        gates.expect("waits")
    gates.expect("child http.disconnect")
    gates.expect("cancelled")


@pytest.mark.parametrize("scope", ["http", "websocket"])
def test_who_asks_without_waiting_leaves_nothing_behind(start, gates, scope):
    server = start(FERRICORN_TIMEOUTS_REQUEST="0s")
    with server.connect() as connection:
        connection.sendall((UPLOAD if scope == "http" else WEBSOCKET) % b"/polls")
        gates.expect("keeps few")
        gates.expect("waits")
    if scope == "http":
        # Nobody waits who could be told.
        gates.expect("cancelled")


def test_time_of_who_waits_no_longer_for_the_client_is_the_apps(start, gates):
    with start(FERRICORN_TIMEOUTS_REQUEST="300ms").connect() as connection:
        connection.sendall(UPLOAD % b"/polls")
        gates.expect("keeps few")
        gates.expect("waits")
        connection.sendall(b"ab")
        gates.expect("cancelled")


def test_children_of_a_request_past_its_time_are_told(start, gates):
    server = start(FERRICORN_TIMEOUTS_REQUEST="300ms")
    assert ask(server, "GET", "/passes_its_time").status == 504
    gates.expect("child http.disconnect")


@pytest.mark.parametrize(
    ("path", "status"), [("raises", 500), ("returns", 500), ("refuses", 403), ("denies", 401), ("has_no_coroutine", 500)]
)
def test_children_of_a_handshake_that_fails_are_told(start, gates, path, status):
    server = start()
    assert answer_to(server, WEBSOCKET % f"/{path}".encode()).status == status
    gates.expect("child websocket.disconnect")
    gates.release()


@pytest.mark.parametrize("path", ["waits_before_it_fails", "waits_before_it_panics"])
@pytest.mark.parametrize("head", [UPLOAD, WEBSOCKET], ids=["http", "websocket"])
def test_who_waits_beside_an_app_that_fails_before_its_task_is_told(start, gates, head, path):
    server = start()
    assert answer_to(server, head % f"/{path}".encode()).status == 500
    gates.expect(f"child {'http' if head == UPLOAD else 'websocket'}.disconnect")
    assert parsed(admin_page(server))["ferricorn_panics_total"] == (path == "waits_before_it_panics")


@pytest.mark.parametrize("path", ["cannot_be_told", "panics"])
@pytest.mark.parametrize("scope", ["http", "websocket"])
def test_one_that_cannot_be_told_costs_the_others_nothing_but_the_request(start, gates, scope, path):
    server = start()
    worker = server.workers()
    with server.connect() as connection:
        head = UPLOAD if scope == "http" else WEBSOCKET
        connection.sendall(head % f"/{path}".encode())
        gates.expect("waits")
        connection.sendall(b"a" if scope == "http" else LETTER)
        # Its future is cancelled, before the task is.
        gates.expect("first cancelled")
        gates.expect("cancelled")
        gates.expect(f"second {scope}.disconnect")
        if scope == "websocket":
            connection.sendall(CLOSED)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert received.startswith(b"HTTP/1.1 500 ") if scope == "http" else received.endswith(b"\x88\x02\x03\xf3")
    server.log.wait_for("could not be told; the request is given up")
    # Which is no fault of the app's.
    assert "CancelledError" not in server.log.text()
    assert parsed(admin_page(server))["ferricorn_panics_total"] == (path == "panics")
    assert server.workers() == worker


@pytest.mark.parametrize("head", [UPLOAD, WEBSOCKET], ids=["http", "websocket"])
def test_those_behind_two_that_cannot_be_told_are_told(start, gates, head):
    # Which tells them, too.
    server = start(FERRICORN_TIMEOUTS_REQUEST="0s")
    with server.connect() as connection:
        connection.sendall(head % b"/neither_can_be_told")
        gates.expect("waits")
        connection.sendall(b"a" if head == UPLOAD else LETTER)
        for word in ("first cancelled", "cancelled", "second cancelled"):
            gates.expect(word)
        gates.expect(f"third {'http' if head == UPLOAD else 'websocket'}.disconnect")
        gates.release()


def test_task_that_was_given_up_and_ignores_it_has_its_time_limit(start, gates):
    server = start(FERRICORN_TIMEOUTS_REQUEST="300ms")
    with server.connect() as connection:
        connection.sendall(WEBSOCKET % b"/ignores_all")
        gates.expect("waits")
        connection.sendall(LETTER)
        gates.expect("swallowed")
        # As after any request that has passed its limit.
        server.log.wait_for("worker ready", count=2)
