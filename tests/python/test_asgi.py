"""ASGI 3: scope, receive and send in every permitted way, and in every wrong one; lifespan; a real loop and task."""

import hashlib
import http.client
import json
import re
import socket
import subprocess

import pytest
from apps.asgi_wrong import WRONG

from support.client import Client, answer_to, ask, exchange
from support.server import DEADLINE, FERRICORN, clean_environment


LOOPS = ["asyncio", "uvloop"]
# For what the event loop has a part in.
in_each_loop = pytest.mark.parametrize("server", LOOPS, indirect=True)


@pytest.fixture
def server(serve, gates, request):
    """One worker with the app of many responses."""
    environment = {**gates.environment, "FERRICORN_PYTHON_LOOP": getattr(request, "param", "auto")}
    return serve("asgi_responses:app", "-w", "1", environment=environment).ready()


@in_each_loop
@pytest.mark.parametrize(
    ("path", "status", "content"),
    [
        ("plain", 200, b"plain"),
        ("pieces", 200, b"one two three"),
        ("declared", 200, b"abcdef"),
        ("declared_twice", 200, b"twice"),
        ("no_content", 204, b""),
        ("async", 200, b"real"),
        ("context", 200, b"unset"),
        ("state", 200, b'["of this request", "started"]'),
    ],
)
def test_response_arrives_as_the_app_gave_it(server, path, status, content):
    client = Client(server)
    for _ in range(3):
        answer = client.ask("GET", f"/{path}")
        assert (answer.status, answer.content) == (status, content)
    client.close()
    assert "Traceback" not in server.log.text()


def test_scope_says_what_the_client_asked(serve, transport):
    server = serve("asgi_responses:app", "-w", "1", transport=transport).ready()
    raw = (
        b"PUT /scope/caf%C3%A9/%ff/x%2Fy?q=%20&r HTTP/1.1\r\nHost: a.example\r\nX-One: 1\r\nx-two: \xe9\r\nX-One: 2\r\n"
        b"Content-Length: 2\r\n\r\nab"
    )
    scope = json.loads(answer_to(server, raw).content)
    headers = [tuple(pair) for pair in scope.pop("headers")]
    assert sorted(headers) == [
        ("content-length", "2"),
        ("host", "a.example"),
        ("x-one", "1"),
        ("x-one", "2"),
        ("x-two", "\xe9"),
    ]
    client, where, asgi = scope.pop("client"), scope.pop("server"), scope.pop("asgi")
    if transport == "tcp":
        assert client[0] == "127.0.0.1" and isinstance(client[1], int)
        assert where == ["127.0.0.1", server.port]
    else:
        assert client is None and where == [str(server.path), None]
    assert asgi["version"] == "3.0"
    assert scope.pop("state")["started"]
    assert set(scope.pop("extensions")) >= {"http.response.pathsend", "http.response.trailers"}
    assert scope == {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": "PUT",
        "root_path": "",
        "path": "/scope/caf\xe9/\ufffd/x/y",
        "raw_path": "/scope/caf%C3%A9/%ff/x%2Fy",
        "query_string": "q=%20&r",
    }
    old = exchange(server, b"GET /scope HTTP/1.0\r\n\r\n")
    assert b'"http_version": "1.0"' in old


def test_mounted_app_has_a_root_path(serve, tmp_path):
    (tmp_path / "ferricorn.toml").write_text('[[app]]\nmount = "/api"\ntarget = "asgi_responses:app"\n')
    server = serve("-w", "1").ready()
    scope = json.loads(ask(server, "GET", "/api/scope").content)
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/api", "/api/scope", "/api/scope")


@pytest.mark.parametrize("size", [0, 1, 70_000, (1 << 20) + 1, 5 << 20])
def test_content_arrives_whole(server, size):
    content = bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    answer = ask(server, "POST", "/digest", content)
    pieces, digest = answer.content.split()
    assert digest.decode() == hashlib.sha256(content).hexdigest()
    assert (int(pieces) > 1) == (size > 1 << 20)


def test_head_has_the_fields_and_no_content(server):
    raw = exchange(server, b"HEAD /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 200 ") and b"content-length: 5\r\n" in raw
    assert raw.endswith(b"\r\n\r\n") and raw.count(b"\r\n\r\n") == 1


def test_field_names_of_any_case_and_repeated_fields_arrive(server):
    assert ask(server, "GET", "/cookies").fields.get_all("Set-Cookie") == ["a=1", "b=\xe9"]


@in_each_loop
def test_pieces_are_sent_as_they_are_made(server, gates):
    with server.connect() as connection:
        connection.sendall(b"GET /gated HTTP/1.1\r\nHost: a\r\n\r\n")
        received = b""
        while b"first" not in received:
            received += connection.recv(65536)
        assert b"second" not in received
        gates.release()
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.recv(65536)
        assert b"second" in received


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("raises", "raised at once"),
        ("raises_later", "raised later"),
        ("nothing", "returned without a response"),
        ("head_only", "returned without the content"),
        ("exits", "SystemExit"),
        ("exits_later", "SystemExit"),
        ("cancels_itself", "CancelledError"),
    ],
)
def test_failure_before_the_response_is_a_500_and_in_the_log(server, path, said):
    client = Client(server)
    answer = client.ask("GET", f"/{path}")
    assert answer.status == 500 and b"raised" not in answer.content
    server.log.wait_for(said)
    assert client.ask("GET", "/plain").status == 200
    client.close()
    assert len(server.workers()) == 1
    assert server.stop() == 0
    # asyncio's own words for an exception that nobody has asked a task for.
    assert "never retrieved" not in server.log.text()


@pytest.mark.parametrize("path", ["raises_within", "half"])
def test_failure_within_the_response_ends_the_connection(server, path):
    raw = exchange(server, f"GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert raw.startswith(b"HTTP/1.1 200 ") and not raw.endswith(b"0\r\n\r\n")
    server.log.wait_for("after its response had begun|before the end of its response")
    assert ask(server, "GET", "/plain").status == 200


def test_failure_after_the_response_is_in_the_log_alone(server):
    assert ask(server, "GET", "/raises_after").content == b"complete"
    server.log.wait_for("raised after")


def test_what_is_wrong_with_a_message_is_told_where_sending_is_awaited(server):
    assert ask(server, "GET", "/gathers_a_wrong_message").content == b"RuntimeError"


@in_each_loop
@pytest.mark.parametrize("path", ["stops_the_loop", "closes_the_loop", "exits_in_a_callback"])
def test_an_app_cannot_end_the_event_loop(server, path):
    assert ask(server, "GET", f"/{path}").status == (500 if path == "closes_the_loop" else 200)
    server.log.wait_for("left the event loop, which goes on|Cannot close a running event loop")
    assert ask(server, "GET", "/plain").content == b"plain"


def test_wrong_messages_are_refused_where_they_are_sent(server):
    client = Client(server)
    for number, messages in enumerate(WRONG):
        try:
            answer = client.ask("GET", f"/wrong?{number}")
            assert answer.status == (200 if len(messages) == 3 else 500), messages
        finally:
            client.close()
        server.log.wait_for(rf"wrong {number}: (TypeError|ValueError|RuntimeError|FileNotFoundError)")
    assert ask(server, "GET", "/plain").status == 200
    assert len(set(re.findall(r"pid=(\d+) generation", server.log.text()))) <= 1


@pytest.mark.parametrize("loop", LOOPS)
def test_lifespan_begins_before_and_ends_after_the_requests(serve, loop):
    server = serve("asgi_responses:app", "-w", "2", environment={"FERRICORN_PYTHON_LOOP": loop}).ready()
    assert ask(server, "GET", "/plain").status == 200
    assert server.stop() == 0
    assert server.log.text().count("lifespan.shutdown seen") == 2


@in_each_loop
@pytest.mark.parametrize("path", ["waits", "endless"])
def test_request_whose_client_leaves_is_cancelled(server, gates, path):
    with server.connect() as connection:
        connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        gates.expect("entered" if path == "waits" else "full True")
    gates.expect("cancelled")
    assert ask(server, "GET", "/plain").status == 200
    assert "Traceback" not in server.log.text()


@in_each_loop
def test_app_that_listens_is_told_that_the_client_has_left(server, gates):
    with server.connect() as connection:
        connection.sendall(b"GET /listens HTTP/1.1\r\nHost: a\r\n\r\n")
        gates.expect("entered")
    gates.expect("http.disconnect")
    gates.expect("ConnectionResetError")


@in_each_loop
@pytest.mark.parametrize("path", ["listens", "listens_within"])
def test_app_that_ends_with_its_client_is_no_error(server, gates, path):
    with server.connect() as connection:
        connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        gates.expect("entered")
    gates.expect("http.disconnect")
    assert server.stop() == 0
    assert "ERROR" not in server.log.text()


@in_each_loop
def test_what_follows_the_response_goes_on(server, gates):
    with server.connect() as connection:
        connection.sendall(b"GET /background HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert connection.recv(65536).endswith(b"answered")
    gates.expect("background")
    assert ask(server, "GET", "/listens_after").content == b"answered"
    gates.expect("http.disconnect")


@in_each_loop
def test_a_message_is_taken_by_who_awaits_it(server):
    assert ask(server, "POST", "/receives_again", b"content").content == b"content"


@pytest.mark.parametrize("path", ["ends_late", "declared_path_and_trailers"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@in_each_loop
def test_an_app_may_end_a_response_that_its_client_has_in_whole(server, gates, tmp_path, method, path):
    """The client has not left: it has all that was declared, be it a file, and asks for something else."""
    (tmp_path / "file").write_bytes(b"declared")
    client = Client(server)
    assert client.ask(method, f"/{path}?{tmp_path / 'file'}").fields["Content-Length"] == "8"
    assert client.ask("GET", "/plain").content == b"plain"
    gates.release()
    gates.expect("ended")
    client.close()


@pytest.mark.parametrize("messages", [1, 4])
def test_more_and_less_than_was_declared_is_said(server, messages):
    assert ask(server, "GET", f"/declares?5&{messages}").content == b"12345"
    server.log.wait_for("more content than its Content-Length says.*declared=5")
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(server, "GET", f"/declares?9&{messages}")
    server.log.wait_for(f"sent less content than it declared: GET /declares.9&{messages} request=[0-9a-f]{{16}} declared=9 sent=8")
    assert server.log.text().count("more content") == 1


@in_each_loop
def test_who_asks_for_more_learns_that_its_client_has_the_whole_response(server, gates):
    assert ask(server, "GET", "/listens_late").content == b"declared"
    gates.expect("http.disconnect")
    gates.expect("ended")


@in_each_loop
def test_an_app_sends_all_of_much_content_to_who_asks_for_the_head(server, gates):
    assert ask(server, "HEAD", "/declares_much").fields["Content-Length"] == str(4 << 20)
    gates.expect("ended")
    assert server.stop() == 0
    assert "ERROR" not in server.log.text()


@pytest.mark.parametrize("loop", LOOPS)
def test_request_past_its_limit_is_cancelled(serve, gates, loop):
    server = serve("asgi_responses:app", "-w", "1", "-t", "300ms", environment={**gates.environment, "FERRICORN_PYTHON_LOOP": loop}).ready()
    client = Client(server)
    assert client.ask("GET", "/waits").status == 504
    gates.expect("entered")
    gates.expect("cancelled")
    server.log.wait_for("the app took too long")
    server.log.wait_for("asgi_responses.py.*in answer_waits")
    server.log.wait_for("worker retires: a request was past its time limit")
    client.close()
    assert ask(server, "GET", "/plain").status == 200


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("path", ["blocks", "blocks_later"])
def test_what_would_wait_behind_a_blocked_loop_goes_to_an_idle_worker(serve, gates, path, loop):
    server = serve("asgi_responses:app", "-w", "2", environment={**gates.environment, "FERRICORN_PYTHON_LOOP": loop}).ready()
    blocked = Client(server)
    blocked.request("GET", f"/{path}")
    gates.expect("entered")
    clients = [Client(server) for _ in range(8)]
    for client in clients * 3:
        assert client.ask("GET", "/plain").content == b"plain"
    gates.release()
    assert blocked.getresponse().read() == b"released"
    for client in [blocked, *clients]:
        client.close()


def test_trailers_and_files_and_hints(server, gates, tmp_path):
    raw = exchange(server, b"GET /trailers HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert raw.endswith(b"7\r\ncontent\r\n0\r\nx-sum: 1\r\nx-sum: 3\r\nx-end: 2\r\n\r\n")
    (tmp_path / "file").write_bytes(b"of a file" * 9999)
    assert ask(server, "GET", f"/path?{tmp_path / 'file'}").content == b"of a file" * 9999
    target = f"/path_and_trailers?{tmp_path / 'file'}"
    assert ask(server, "GET", target).content == b"of a file" * 9999
    assert exchange(server, f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()).endswith(b"\r\n0\r\nx-sum: 1\r\n\r\n")
    with server.connect() as connection:
        connection.sendall(b"GET /hint HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        hints = connection.recv(65536)
        assert hints == b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nlink: </b.js>; rel=preload\r\n\r\n"
        gates.release()
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_more_trailers_than_there_can_be_are_the_apps_error(server):
    exchange(server, b"GET /many_trailers HTTP/1.1\r\nHost: a\r\n\r\n")
    server.log.wait_for("ValueError: .*fields")
    assert ask(server, "GET", "/plain").status == 200


AWAITABLES = """
import asyncio


async def answer(scope, receive, send):
    if scope["type"] == "http":
        # Not over with its first step.
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": scope["path"].encode()})


class Awaitable:
    def __init__(self, *arguments):
        self.coroutine = answer(*arguments)

    def __await__(self):
        return self.coroutine.__await__()


KINDS = {
    "/task": lambda *arguments: asyncio.ensure_future(answer(*arguments)),
    "/object": Awaitable,
    "/nothing": lambda *arguments: None,
}


def app(scope, receive, send):
    return KINDS[scope.get("path", "/object")](scope, receive, send)
"""


@pytest.mark.parametrize("loop", LOOPS)
def test_app_gives_anything_that_can_be_awaited(serve, tmp_path, loop):
    (tmp_path / "site_app.py").write_text(AWAITABLES)
    environment = {"FERRICORN_PYTHON_LOOP": loop, "FERRICORN_PYTHON_LIFESPAN": "off"}
    server = serve("site_app:app", "-w", "1", "--interface", "asgi", environment=environment).ready()
    for path in ("/task", "/object"):
        answer = ask(server, "GET", path)
        assert (answer.status, answer.content.decode()) == (200, path)
    assert "Traceback" not in server.log.text()
    assert ask(server, "GET", "/nothing").status == 500
    server.log.wait_for("TypeError: a coroutine was expected, got None")


def test_failed_start_up_is_no_worker(serve, tmp_path):
    (tmp_path / "fails.py").write_text(
        "async def app(scope, receive, send):\n"
        "    assert scope['type'] == 'lifespan'\n"
        "    await receive()\n"
        "    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n"
    )
    server = serve("fails:app", "-w", "1")
    assert server.wait() == 3
    server.log.wait_for("did not start: no database")
    (tmp_path / "silent.py").write_text("async def app(scope, receive, send):\n    raise ValueError(scope['type'])\n")
    server = serve("silent:app", "-w", "1").ready()
    assert ask(server, "GET", "/").status == 500
    server = serve("silent:app", "-w", "1", environment={"FERRICORN_PYTHON_LIFESPAN": "on"})
    assert server.wait() == 3
    server.log.wait_for("ValueError: lifespan")


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("await receive()", "failed at lifespan.startup, and is served"),
        ("await receive(); await send({'type': 'lifespan.startup.complete'})", "the lifespan of the app has ended by an exception"),
    ],
)
def test_what_breaks_a_lifespan_off_is_told(serve, tmp_path, steps, said):
    lifespan = "    if scope['type'] == 'lifespan':\n        " + steps + "; raise OSError('no database')\n"
    answer = "    await send({'type': 'http.response.start', 'status': 204})\n    await send({'type': 'http.response.body'})\n"
    (tmp_path / "breaks.py").write_text("async def app(scope, receive, send):\n" + lifespan + answer)
    server = serve("breaks:app", "-w", "1").ready()
    assert ask(server, "GET", "/").status == 204
    server.log.wait_for(said)
    server.log.wait_for("OSError: no database")


@pytest.mark.parametrize(
    ("app", "speaks"),
    [
        ("function", b"asgi"),
        ("Object()", b"asgi"),
        ("Double", b"asgi"),
        ("functools.partial(function)", b"asgi"),
        ("decorated", b"asgi"),
        # What a partial has been given already does not count.
        ("functools.partial(configured, {})", b"wsgi"),
    ],
)
def test_interface_is_told_by_the_looks(serve, tmp_path, app, speaks):
    (tmp_path / "looks.py").write_text(
        "import functools\n"
        "async def function(scope, receive, send):\n"
        "    if scope['type'] == 'lifespan': raise ValueError\n"
        "    await send({'type': 'http.response.start', 'status': 200})\n"
        "    await send({'type': 'http.response.body', 'body': b'asgi'})\n"
        "class Object:\n"
        "    async def __call__(self, scope, receive, send): await function(scope, receive, send)\n"
        "class Double:\n"
        "    def __init__(self, scope): self.scope = scope\n"
        "    async def __call__(self, receive, send): await function(self.scope, receive, send)\n"
        "def decorated(scope, receive, send): return function(scope, receive, send)\n"
        "def configured(settings, environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'wsgi']\n"
        f"app = {app}\n"
    )
    server = serve("looks:app", "-w", "1").ready()
    assert ask(server, "GET", "/").content == speaks


@pytest.mark.parametrize(
    ("loop", "installed", "found"),
    [
        ("auto", "", b"uvloop"),
        ("uvloop", "", b"uvloop"),
        ("asyncio", "", b"ferricorn.event_loop"),
        ("auto", "raise ModuleNotFoundError", b"ferricorn.event_loop"),
        ("auto", "raise ImportError('of another time')", b"ferricorn.event_loop"),
        ("uvloop", "raise ModuleNotFoundError('not there')", None),
    ],
)
def test_event_loop_is_the_one_that_is_asked_for(serve, tmp_path, loop, installed, found):
    (tmp_path / "asks.py").write_text(
        "import asyncio\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'lifespan': raise ValueError\n"
        "    await send({'type': 'http.response.start', 'status': 200})\n"
        "    body = type(asyncio.get_running_loop()).__module__.encode()\n"
        "    await send({'type': 'http.response.body', 'body': body})\n"
    )
    if installed:
        (tmp_path / "uvloop.py").write_text(installed)
    server = serve("asks:app", "-w", "1", "--asgi-loop", loop)
    if found is None:
        assert server.wait() == 3
        server.log.wait_for("python.loop is uvloop, which cannot be used: .*not there.*pip install 'ferricorn")
        return
    assert ask(server.ready(), "GET", "/").content == found
    assert ("uvloop is installed but cannot be used" in server.log.text()) == ("ImportError" in installed)


@in_each_loop
def test_what_a_finished_request_has_begun_is_done_without_another_one(server):
    for path in ["writes", "writes_later", "calls_later"]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(DEADLINE)
            assert ask(server, "GET", f"/connects?{listener.getsockname()[1]}").content == b"connected"
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(DEADLINE)
                assert ask(server, "GET", f"/{path}").content == b"answered"
                assert connection.recv(64) == path.encode()


def test_cancelled_by_the_operator(serve, gates, tmp_path):
    options = ["-w", "1"]
    environment = {**gates.environment, "FERRICORN_ADMIN_SOCKET": str(tmp_path / "ctl.sock")}
    server = serve("asgi_responses:app", *options, environment=environment).ready()
    client = Client(server)
    client.request("GET", "/waits")
    gates.expect("entered")

    def ctl(*arguments):
        command = [FERRICORN, "ctl", "--socket", str(tmp_path / "ctl.sock"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, env=clean_environment())

    listed = json.loads(ctl("requests", "--json").stdout)
    request = re.search(r"[0-9a-f]{16}", json.dumps(listed))[0]
    stack = ctl("stack", request)
    assert "answer_waits" in stack.stdout, stack
    assert ctl("cancel", request).returncode == 0
    gates.expect("cancelled")
    assert client.getresponse().status == 503
    client.close()


@pytest.mark.parametrize("loop", LOOPS)
def test_blocked_loop_is_interrupted_at_the_limit(serve, gates, tmp_path, loop):
    (tmp_path / "spins.py").write_text(
        "import asyncio, time\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'lifespan': raise ValueError\n"
        "    if scope['path'] == '/spin':\n"
        "        await asyncio.sleep(0.001)\n"
        "        while True: time.sleep(0.001)\n"
        "    await send({'type': 'http.response.start', 'status': 200})\n"
        "    await send({'type': 'http.response.body', 'body': b'served'})\n"
    )
    server = serve("spins:app", "-w", "1", "-t", "300ms", environment={"FERRICORN_PYTHON_LOOP": loop}).ready()
    client = Client(server)
    assert client.ask("GET", "/spin").status == 504
    server.log.wait_for("the app took too long")
    assert client.ask("GET", "/").content == b"served"
    client.close()
    assert "stands still" not in server.log.text()
