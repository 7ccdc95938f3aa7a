"""PEP 3333 at its edges: write(), close(), what an app raises and leaves behind, lengths and fields that do not agree."""

import http.client
import time

import pytest

from support.client import Client, ask, exchange
from support.server import DEADLINE


@pytest.fixture
def server(serve, gates):
    """One worker, so that a dead one is seen by its successor's id."""
    return serve("edges", "-w", "1", environment=gates.environment).ready()


def raw(server, target, method="GET", version="1.1"):
    """Head and content as they are on the wire."""
    request = f"{method} {target} HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n"
    head, _, content = exchange(server, request.encode()).partition(b"\r\n\r\n")
    return head, content


def receive_until(connection, end):
    """What arrives until this does."""
    received = b""
    while end not in received:
        piece = connection.recv(4096)
        assert piece, received
        received += piece
    return received


def test_what_is_written_is_sent_before_the_app_goes_on(server, gates):
    with server.connect() as connection:
        connection.sendall(b"GET /write_gated HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"second" not in receive_until(connection, b"first")
        gates.release()
        rest = receive_until(connection, b"0\r\n\r\n")
        assert rest.index(b"second") < rest.index(b"third")
    gates.expect("closed")


def test_who_writes_for_ever_is_told_that_the_client_has_gone(server, gates):
    with server.connect() as connection:
        connection.sendall(b"GET /write_for_ever HTTP/1.1\r\nHost: a\r\n\r\n")
        receive_until(connection, b"xxx")
    gates.expect("told")
    assert ask(server, "GET", "/plain").content == b"plain"
    # The client's leaving is no failure of the app.
    assert "ClientGone" not in server.log.text()


def test_what_is_written_for_head_goes_nowhere(server):
    for _ in range(2):
        answer = ask(server, "HEAD", "/write_head")
        assert (answer.status, answer.content) == (200, b"")
    assert raw(server, "/write_head", "HEAD")[1] == b""
    assert "failed" not in server.log.text()


def test_write_of_a_response_that_has_ended_is_an_error(server):
    assert ask(server, "GET", "/write_late").content == b"kept"
    assert b"after the response had ended" in ask(server, "GET", "/write_late").content


def test_write_and_then_an_exception_never_looks_complete(server):
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(server, "GET", "/write_then_raise")
    server.log.wait_for("failed after its response had begun")
    assert ask(server, "GET", "/plain").status == 200


def test_whoever_looks_an_exception_up_may_write(server):
    assert b"looked up" in exchange(server, b"GET /write_in_exc_info HTTP/1.1\r\nHost: a\r\n\r\n")
    server.log.wait_for("fails on purpose in exc_info")


def test_a_thread_of_the_app_may_write(server):
    assert ask(server, "GET", "/write_in_thread").content == b"0123456789"


@pytest.mark.parametrize("path", ["closed_list", "status?200%20OK", "status?204%20No%20Content", "status?304%20Not%20Modified"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_everything_that_can_be_closed_is_closed(server, gates, path, method):
    ask(server, method, f"/{path}")
    gates.expect("closed")
    assert gates.silent()


@pytest.mark.parametrize("status", ["204%20No%20Content", "304%20Not%20Modified"])
def test_a_stream_without_content_leaves_the_connection_usable(server, gates, status):
    client = Client(server)
    for _ in range(2):
        answer = client.ask("GET", f"/status?{status}")
        assert (answer.content, answer.fields["X-Kept"]) == (b"", "1")
        assert "Transfer-Encoding" not in answer.fields
        gates.expect("closed")
    assert client.ask("GET", "/plain").content == b"plain"
    client.close()


def test_a_list_with_an_iterator_of_its_own_is_iterated(server):
    assert ask(server, "GET", "/odd_list").content == b"made anew"


def test_more_than_was_declared_is_left_out_and_said(server, gates):
    client = Client(server)
    assert client.ask("GET", "/endless").content == b"ababa"
    gates.expect("closed")
    server.log.wait_for("more content than its Content-Length says.*declared=5")
    assert client.ask("GET", "/plain").content == b"plain"
    client.close()


def test_a_whole_answer_does_not_wait_for_what_the_app_does_after_it(server, gates):
    assert ask(server, "GET", "/whole_then_waits").content == b"whole"
    gates.release()
    assert ask(server, "GET", "/plain").content == b"plain"


def test_the_response_buffer_counts_bytes_and_not_pieces(serve, gates):
    """400 KB in pieces of 16 bytes are made while the client reads nothing of them."""
    server = serve("edges", "-w", "1", environment=gates.environment).ready()
    with server.connect() as connection:
        connection.sendall(b"GET /many_small?25000 HTTP/1.1\r\nHost: a\r\n\r\n")
        gates.expect("made")
        assert len(receive_until(connection, b"0\r\n\r\n")) > 400_000


def test_an_exception_in_close_is_logged_and_costs_nothing_else(server, gates):
    answer = ask(server, "GET", "/fails_in_close")
    assert (answer.status, answer.content) == (200, b"whole")
    gates.expect("closed")
    server.log.wait_for("fails on purpose in close")


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("exits", "SystemExit: on purpose"),
        ("interrupts", "KeyboardInterrupt: on purpose"),
        ("ends", "GeneratorExit: on purpose"),
        ("recurses", "RecursionError"),
        ("raises_undecodable", "in raises_undecodable"),
    ],
)
def test_whatever_an_app_raises_is_a_500_and_the_worker_lives(server, path, logged):
    worker = ask(server, "GET", "/worker").content
    assert ask(server, "GET", f"/{path}").status == 500
    server.log.wait_for(logged)
    assert ask(server, "GET", "/worker").content == worker


def test_an_exit_in_the_middle_of_a_response_never_looks_complete(server):
    worker = ask(server, "GET", "/worker").content
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(server, "GET", "/exits_late")
    server.log.wait_for("SystemExit: on purpose")
    assert ask(server, "GET", "/worker").content == worker


def test_environ_is_the_apps_own(server):
    for _ in range(2):
        assert ask(server, "GET", "/deletes").content == b"nothing is left"
    assert ask(server, "GET", "/plain").content == b"plain"


def test_threads_that_outlive_a_request_harm_nobody(server):
    client = Client(server)
    for _ in range(5):
        assert client.ask("GET", "/threads").content == b"plain"
    client.close()
    assert server.stop() == 0


def test_fields_of_the_connection_are_the_servers(server):
    head, content = raw(server, "/fields")
    lines = [line.lower() for line in head.split(b"\r\n")]
    assert content == b"content"
    assert b"date: thu, 01 jan 1970 00:00:00 gmt" in lines and b"server: the app's" in lines and b"x-app: 1" in lines
    assert [line for line in lines if line.startswith((b"connection", b"date", b"content-length"))] == [
        b"date: thu, 01 jan 1970 00:00:00 gmt",
        b"content-length: 7",
        b"connection: close",
    ]
    assert not [line for line in lines if line.startswith((b"keep-alive", b"transfer-encoding", b"upgrade"))]


@pytest.mark.parametrize("length", ["", "x", "-3", "+3", "3.0", "0x3", "3,4", "3,x", "18446744073709551616"])
def test_a_length_that_is_none_is_a_500(server, length):
    assert ask(server, "GET", f"/length?{length}").status == 500
    server.log.wait_for("Content-Length")


@pytest.mark.parametrize("length", ["3", "%203", "3%20", "003", "3,3"])
def test_a_length_is_sent_once_and_plain(server, length):
    head, content = raw(server, f"/length?{length}")
    assert head.lower().count(b"content-length: 3\r\n") + head.lower().endswith(b"content-length: 3") == 1, head
    assert head.lower().count(b"content-length") == 1
    assert content == b"abc"


def test_content_that_is_missing_ends_the_connection(server):
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(server, "GET", "/nothing")
    server.log.wait_for(r"sent less content than it declared: GET /nothing request=[0-9a-f]{16} declared=")


def test_errors_of_the_app_are_in_the_log(serve, gates, tmp_path):
    log = tmp_path / "error.log"
    server = serve("edges", "-w", "1", "--error-logfile", str(log), environment=gates.environment)
    limit = time.monotonic() + DEADLINE
    while not log.exists() or "ready:" not in log.read_text():
        assert server.process.poll() is None and time.monotonic() < limit
    server.port = int(log.read_text().split("listening at http://127.0.0.1:")[1].split()[0])
    assert ask(server, "GET", "/errors").content == b"plain"
    lines = log.read_text().splitlines()
    for text in ("one line of the app", "two parts", "printed with its end apart", "first of several"):
        assert [line for line in lines if line.split(" [", 1)[0].endswith("ERROR") and text in line], text
    assert [line for line in lines if line.startswith("    | ") and "second" in line]


def test_errors_of_the_app_are_standard_error_where_that_is_the_log(server):
    ask(server, "GET", "/errors")
    server.log.wait_for("^one line of the app$")
    server.log.wait_for("^  second$")


def test_early_hints_are_sent_before_the_answer_is_made(server, gates):
    with server.connect() as connection:
        connection.sendall(b"GET /hints HTTP/1.1\r\nHost: a\r\n\r\n")
        received = b""
        while received.count(b"\r\n\r\n") < 2:
            received += connection.recv(4096)
        first, second, _ = received.split(b"\r\n\r\n")
        assert first.split(b"\r\n") == [
            b"HTTP/1.1 103 Early Hints", b"link: </style.css>; rel=preload; as=style", b"x-bytes: \xe4",
        ]
        assert second.split(b"\r\n") == [b"HTTP/1.1 103 Early Hints", b"link: </more.js>"]
        gates.release()
        assert receive_until(connection, b"answer").startswith(b"HTTP/1.1 200 OK\r\n")
        # The connection goes on.
        connection.sendall(b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
        assert receive_until(connection, b"plain").startswith(b"HTTP/1.1 200 OK\r\n")


def test_early_hints_are_not_for_clients_that_would_take_them_for_the_answer(server, gates):
    gates.release()
    head, content = raw(server, "/hints", version="1.0")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and content == b"answer"


def test_early_hints_that_forge_a_field_are_a_500(server):
    assert ask(server, "GET", "/hints_wrong").status == 500
    server.log.wait_for("a field value holds a control character")


def test_early_hints_of_a_response_that_has_begun_are_left_out(server):
    head, content = raw(server, "/hints_late")
    assert b"103" not in head + content and b"begun " in content and b"and ended" in content
