"""Request content that an ASGI app has while it arrives (app.request_content = "stream")."""

import hashlib

import pytest

from support.client import Client, ask
from support.server import DEADLINE

# Pages of this origin may read what the server answers in place of an app.
PAGES = """
[auth]
cors.allowed_origins = ["https://app.example"]
[[auth.provider]]
name = "local"
[[auth.provider.key]]
alg = "HS256"
secret = "a secret of more than thirty-two bytes"
[[auth.route]]
prefix = "/"
require = "none"
"""
CHUNKED = b"Host: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def server(serve, gates, tmp_path, request):
    """One worker whose app is entered at once; further settings as they are needed."""
    (tmp_path / "ferricorn.toml").write_text(
        '[[app]]\ntarget = "asgi_responses:app"\nrequest_content = "stream"\n' + getattr(request, "param", "")
    )
    return serve("-w", "1", environment=gates.environment).ready()


def read_until(connection, end, received=b""):
    """Everything up to these bytes."""
    connection.settimeout(DEADLINE)
    while end not in received:
        piece = connection.recv(65536)
        assert piece, received
        received += piece
    return received


def test_pieces_reach_the_app_and_its_answers_the_client_while_the_rest_is_unsent(server):
    with server.connect() as connection:
        connection.sendall(b"POST /mirror HTTP/1.1\r\n" + CHUNKED + b"3\r\none\r\n")
        received = read_until(connection, b"\r\none\r\n")
        assert received.startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"3\r\ntwo\r\n")
        received = read_until(connection, b"\r\ntwo\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert read_until(connection, b"0\r\n\r\n") == b"0\r\n\r\n"


@pytest.mark.parametrize("size", [0, 1, 70_000, 5 << 20])
def test_content_arrives_whole(server, size):
    content = bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    client = Client(server)
    for kind in ("sized", "chunked"):
        body = content if kind == "sized" else iter([content[:9], content[9:]])
        answer = client.ask("POST", "/digest", body)
        assert answer.content.split()[1].decode() == hashlib.sha256(content).hexdigest()
    assert client.ask("GET", "/plain").content == b"plain"
    client.close()


def test_client_that_leaves_while_it_uploads_is_told_to_the_app(server, gates):
    with server.connect() as connection:
        connection.sendall(b"POST /listens_to_upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome")
        gates.expect("some")
    gates.expect("http.disconnect")
    with server.connect() as connection:
        connection.sendall(b"POST /waits HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome")
        gates.expect("entered")
    gates.expect("cancelled")
    assert ask(server, "GET", "/plain").content == b"plain"


def test_app_that_takes_nothing_holds_its_client_up(server, gates):
    content = bytes(32 << 20)
    with server.connect() as connection:
        connection.sendall(f"POST /takes_later HTTP/1.1\r\nHost: a\r\nContent-Length: {len(content)}\r\n\r\n".encode())
        gates.expect("entered")
        connection.setblocking(False)
        sent, full = 0, False
        while not full:
            try:
                sent += connection.send(content[sent : sent + (1 << 20)])
            except BlockingIOError:
                # The kernel has what it holds, and the server what it does: no more goes.
                full = sent > 0
            assert sent < len(content), "all of it was taken from the client"
        gates.release()
        connection.settimeout(DEADLINE)
        connection.sendall(content[sent:])
        received = read_until(connection, hashlib.sha256(content).hexdigest().encode())
        assert received.startswith(b"HTTP/1.1 200 ")


def test_answer_before_the_end_of_the_content_ends_the_connection(server):
    with server.connect() as connection:
        connection.sendall(b"POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome")
        received = read_until(connection, b"plain")
        assert b"\r\nconnection: close\r\n" in received
        assert connection.recv(1) == b""


@pytest.mark.parametrize(
    ("rest", "status"),
    [(b"zz\r\n", 400), (b"40\r\n" + bytes(64) + b"\r\n", 413)],
    ids=["malformed", "too-large"],
)
@pytest.mark.parametrize("server", [f'{PAGES}[limits]\nbody = "32 B"\n'], indirect=True, ids=["short"])
def test_what_turns_out_to_be_no_content_is_refused_and_its_page_reads_why(server, gates, rest, status):
    with server.connect() as connection:
        connection.sendall(b"POST /listens_to_upload HTTP/1.1\r\nOrigin: https://app.example\r\n" + CHUNKED + b"4\r\nsome\r\n")
        gates.expect("some")
        connection.sendall(rest)
        head = read_until(connection, b"\r\n\r\n").lower()
        assert head.startswith(f"http/1.1 {status} ".encode())
        assert b"\r\naccess-control-allow-origin: https://app.example\r\n" in head
        assert b"\r\ncache-control: no-store\r\n" in head
    gates.expect("http.disconnect")


@pytest.mark.parametrize("server", ['[timeouts]\nbody = "200ms"\nrequest = "100ms"\n'], indirect=True, ids=["hasty"])
def test_time_of_the_client_is_limited_and_is_not_the_apps(server, gates):
    with server.connect() as connection:
        connection.sendall(b"POST /listens_to_upload HTTP/1.1\r\n" + CHUNKED + b"4\r\nsome\r\n")
        gates.expect("some")
        assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 408 ")
    gates.expect("http.disconnect")
    assert "the app took too long" not in server.log.text()


def test_expectation_is_met(server):
    with server.connect() as connection:
        connection.sendall(b"POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert read_until(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"some")
        read_until(connection, hashlib.sha256(b"some").hexdigest().encode())


def test_it_is_for_asgi_apps_alone(serve, tmp_path):
    (tmp_path / "ferricorn.toml").write_text('[[app]]\ntarget = "echo_app:app"\nrequest_content = "stream"\n')
    (tmp_path / "echo_app.py").write_text("def app(environ, start_response):\n    return []\n")
    server = serve("-w", "1")
    assert server.wait() == 3
    server.log.wait_for('is a WSGI app, and app.request_content = "stream" is for ASGI apps')
