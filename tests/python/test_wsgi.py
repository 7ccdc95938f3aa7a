"""PEP 3333: reading content, responding in every permitted way, failing in every wrong one."""

import hashlib
import http.client
import re

import pytest

from support.client import Client, answer_to, ask, exchange

READERS = ["read_at_once", "read_in_pieces", "read_lines", "read_line_list", "iterate", "read_exactly"]


@pytest.fixture
def server(serve, gates):
    """One worker with the app of many responses."""
    return serve("responses", "-w", "1", environment=gates.environment).ready()


def test_server_passes_the_validator_of_wsgiref(serve, transport):
    server = serve("validated", "-w", "1", transport=transport).ready()
    client = Client(server)
    for reader in READERS:
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            for content in (b"", b"x", b"one\ntwo\n\nthree", b"\r\n" * 5000):
                answer = client.ask(method, f"/{reader}?q=1", content, {"Content-Type": "text/plain", "X-Empty": ""})
                assert (answer.status, answer.content) == (200, content), (reader, method, content[:20])
        assert client.ask("HEAD", f"/{reader}").status == 200
        chunked = f"POST /{reader} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        assert answer_to(server, chunked.encode()).content == b"abc"
        old = exchange(server, f"GET /{reader} HTTP/1.0\r\n\r\n".encode())
        assert old.startswith(b"HTTP/1.1 200 ") or old.startswith(b"HTTP/1.0 200 ")
    client.close()
    assert "AssertionError" not in server.log.text()
    assert "WSGIWarning" not in server.log.text()


@pytest.mark.parametrize(
    ("path", "status", "content"),
    [
        ("plain", 200, b"plain"),
        ("written", 200, b"one two three"),
        ("generator", 200, b"lazy"),
        ("empty_pieces", 200, b"ab"),
        ("no_content", 204, b""),
        ("replaces_response", 503, b"replaced"),
        ("long", 200, b"long"),
        ("written_last", 200, b"pieces, then written"),
        ("file_in_the_middle", 200, b"3456789"),
        ("file_declared_short", 200, b"0123"),
        ("file_written", 200, b"before 0123456789"),
        ("file_unflushed", 200, b"ered"),
        ("file_in_memory", 200, b"in memory"),
        ("file_compressed", 200, b"what was compressed"),
        ("file_pipe", 200, b"through a pipe"),
    ],
)
def test_response_arrives_as_the_app_gave_it(server, path, status, content):
    client = Client(server)
    for _ in range(2):  # Twice, so that the first has left the connection usable or closed it openly.
        answer = client.ask("GET", f"/{path}")
        assert (answer.status, answer.content) == (status, content)
        assert "X-First" not in answer.fields
    client.close()


def test_head_has_the_fields_and_no_content(server):
    raw = exchange(server, b"HEAD /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 200 ")
    assert raw.endswith(b"\r\n\r\n") and raw.count(b"\r\n\r\n") == 1


def test_repeated_response_fields_stay_apart(server):
    assert ask(server, "GET", "/cookies").fields.get_all("Set-Cookie") == ["a=1", "b=2"]


def test_pieces_are_sent_as_they_are_made(server, gates):
    with server.connect() as connection:
        connection.sendall(b"GET /gated_stream HTTP/1.1\r\nHost: a\r\n\r\n")
        received = b""
        while b"first" not in received:
            received += connection.recv(4096)
        assert b"second" not in received
        gates.release()
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.recv(4096)
        assert b"second" in received
    gates.expect("closed")


def test_stream_to_an_http_1_0_client_ends_with_the_connection(server, gates):
    gates.release()
    raw = exchange(server, b"GET /gated_stream HTTP/1.0\r\n\r\n")
    assert b"transfer-encoding" not in raw.lower()
    assert raw.endswith(b"\r\n\r\nfirstsecond")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["closed", "file_own_read", "file_own_close"])
def test_iterable_is_closed_after_its_last_piece(server, gates, method, path):
    assert ask(server, method, f"/{path}").status == 200
    gates.expect("closed")
    assert gates.silent()


def test_iterable_is_closed_when_it_fails(server, gates):
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(server, "GET", "/closed_after_error")
    gates.expect("closed")
    # As a block of its own, below a line that names the request.
    server.log.wait_for("failed after its response had begun.*request=[0-9a-f]{16}")
    server.log.wait_for(r"^[ |]+Traceback \(most recent call last\):")
    server.log.wait_for(r"^[ |]+RuntimeError: fails on purpose after its first piece")
    assert ask(server, "GET", "/plain").status == 200


def test_iterable_is_closed_when_the_client_has_gone(server, gates):
    with server.connect() as connection:
        connection.sendall(b"GET /gated_stream HTTP/1.1\r\nHost: a\r\n\r\n")
        received = b""
        while b"first" not in received:
            received += connection.recv(4096)
    gates.release()
    gates.expect("closed")
    assert ask(server, "GET", "/plain").status == 200


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("raises", "fails on purpose before it starts"),
        ("starts_then_raises", "fails on purpose after start_response"),
        ("never_starts", "start_response"),
        ("starts_twice", "start_response"),
        ("splits_response", "control character"),
        ("bad_status", "abc"),
        ("too_many_fields", "ValueError: there are too many fields"),
        ("text_piece", "this one gave <class 'str'>"),
        ("returns_nothing", "this one returned <class 'NoneType'>"),
        ("file_closed_before", "closed file"),
    ],
)
def test_wrong_app_costs_one_500_and_is_named_in_the_log(server, path, logged):
    answer = ask(server, "GET", f"/{path}")
    assert answer.status == 500
    assert "Set-Cookie" not in answer.fields
    assert b"on purpose" not in answer.content, "the client is told nothing of the app's inside"
    server.log.wait_for(re.escape(logged))
    assert ask(server, "GET", "/plain").content == b"plain"


def test_what_an_app_keeps_of_a_request_is_its_own(server):
    kept = [ask(server, "POST", "/keeps", content).content for content in (b"one", b"two", b"three")]
    assert kept == [b"False ", b"False one", b"False two"]


def test_requests_leave_nothing_behind(server):
    before = int(ask(server, "GET", "/starters").content)
    for path in ("raises", "starts_then_raises", "written", "plain", "generator") * 10:
        ask(server, "GET", f"/{path}")
    assert int(ask(server, "GET", "/starters").content) <= before


@pytest.mark.parametrize("path", ["closed_after_error", "short", "file_declared_long", "replaces_too_late"])
def test_response_that_fails_midway_never_looks_complete(server, path):
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(server, "GET", f"/{path}")
    assert ask(server, "GET", "/plain").status == 200


def test_response_that_fails_midway_is_reset_where_its_end_would_be_the_connections(server):
    with server.connect() as connection:
        connection.sendall(b"GET /closed_after_error HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            while connection.recv(4096):
                pass


@pytest.mark.parametrize("size", [0, 1, 65_536, 1 << 20, (1 << 20) + 1, 24 << 20])
def test_upload_arrives_whole(server, size):
    content = bytes(range(256)) * (size // 256) + b"!" * (size % 256)
    expected = f"{size} {hashlib.sha256(content).hexdigest()}".encode()
    assert ask(server, "POST", "/digest", content).content == expected
    pieces = (content[at : at + 100_000] for at in range(0, size, 100_000))
    # http.client sends content of unknown length chunked.
    assert ask(server, "POST", "/digest", pieces).content == expected


def test_download_arrives_whole(server):
    content = ask(server, "GET", "/big").content
    assert len(content) == 32 << 20
    assert all(content[number << 20] == content[((number + 1) << 20) - 1] == number for number in range(32))
    file = ask(server, "GET", "/file")
    assert file.content == b"0123456789" * 100_000
    # Known beforehand: it is sent as the file that it is.
    assert file.fields["Content-Length"] == "1000000"
    cmdline = ask(server, "GET", "/file_of_the_kernel").content
    assert b"ferricorn: worker 1" in cmdline


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_files_of_django_arrive_whole_and_are_closed(serve, gates, tmp_path, method):
    file = tmp_path / "served"
    file.write_bytes(b"0123456789" * 100_000)
    environment = {**gates.environment, "TEST_FILE": str(file)}
    server = serve("django_files", "-w", "1", environment=environment).ready()
    client = Client(server)
    for path, content in (("on_disk", file.read_bytes()), ("of_django", file.read_bytes()), ("in_memory", b"in memory")):
        answer = client.ask(method, f"/{path}")
        assert (answer.status, answer.content) == (200, content if method == "GET" else b""), path
        assert answer.fields["Content-Length"] == str(len(content))
        gates.expect("request finished")
        gates.expect("response closed")
    client.close()
    assert gates.silent()


def test_files_of_django_are_sent_without_reading_them_in_python(serve, gates, tmp_path):
    file = tmp_path / "sparse"
    with open(file, "wb") as sparse:
        sparse.truncate(1 << 30)
    environment = {**gates.environment, "TEST_FILE": str(file)}
    server = serve("django_files", "-w", "1", environment=environment).ready()
    with server.connect() as connection:
        connection.sendall(b"GET /on_disk HTTP/1.1\r\nHost: a\r\n\r\n")
        # Over for Django while the client has not read a byte of a GiB.
        gates.expect("request finished")
        gates.expect("response closed")


def test_idle_siblings_answer_what_a_blocked_worker_holds(serve, gates, transport):
    """Eight workers of one thread; one is blocked until the test lets it go on.

    Nothing here is timed: the call ends only after every other connection has been answered.
    """
    server = serve("responses", "-w", "8", transport=transport, environment=gates.environment).ready()
    clients = [Client(server) for _ in range(32)]
    for client in clients:
        assert client.ask("GET", "/worker").status == 200
    blocked, *others = clients
    blocked.request("GET", "/gated")
    gates.expect("entered")
    for client in others + [Client(server) for _ in range(32)]:
        assert client.ask("GET", "/worker").status == 200
    gates.release()
    assert blocked.getresponse().read() == b"released"
    for client in clients:
        client.close()


def test_uploads_of_any_size_move_to_idle_siblings(serve, gates, transport):
    """Two workers; one is blocked. Small content travels in the message, large content as a file beside it."""
    server = serve("responses", "-w", "2", transport=transport, environment=gates.environment).ready()
    clients = [Client(server) for _ in range(12)]
    blocked, *others = clients
    blocked.request("GET", "/gated")
    gates.expect("entered")
    for number, client in enumerate(others):
        size = [10, 63_000, 70_000, 1 << 20, 3 << 20][number % 5]
        content = bytes([number]) * size
        expected = f"{size} {hashlib.sha256(content).hexdigest()}".encode()
        assert client.ask("POST", "/digest", content).content == expected
        pieces = (content[at : at + 50_000] for at in range(0, size, 50_000))
        assert client.ask("POST", "/digest", pieces).content == expected
        assert client.ask("GET", "/worker").status == 200
    gates.release()
    assert blocked.getresponse().read() == b"released"
    for client in clients:
        client.close()
