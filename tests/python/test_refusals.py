"""What the server answers in place of an app is for its page to read, and for nobody on the way to keep."""

import http.client

import pytest

from support.client import Answer, ask

APP = """
import os
import gates


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/ends":
        os._exit(7)
    if path == "/fails":
        raise RuntimeError("told to")
    while path == "/slow":
        pass
    if path == "/gated":
        gates.say("entered")
        gates.wait()
    status = "101 Switching Protocols" if path == "/switches" else "200 OK"
    start_response(status, [("Content-Type", "text/plain")])
    return [b"well\\n"]
"""

CONFIG = """
[workers]
count = 1
quarantine = 2
[limits]
body = "20 B"
[timeouts]
body = "100ms"
[[app]]
target = "refusals_app"
mount = "/app"
[[route]]
prefix = "/app/measured"
length_required = true
[[route]]
prefix = "/app/hurried"
queue = "5ms"
[[route]]
prefix = "/app/slow"
timeout = "100ms"

[auth]
cors.allowed_origins = ["https://app.example"]
extract.cookies = ["token"]
[[auth.provider]]
name = "local"
[[auth.provider.key]]
alg = "HS256"
secret = "a secret of more than thirty-two bytes"
[[auth.route]]
prefix = "/app/closed"
require = "local"
[[auth.route]]
prefix = "/"
require = "none"
"""

CHUNKED = "Transfer-Encoding: chunked\r\n\r\n"
# Method and path, what follows the fields that all have, and the status.
REFUSED = {
    "no-token": ("GET /app/closed", "\r\n", 401),
    "bad-token": ("GET /app/closed", "Authorization: Bearer x.y.z\r\n\r\n", 401),
    "two-tokens": ("GET /app/closed", "Authorization: Bearer x\r\nAuthorization: Bearer y\r\n\r\n", 400),
    "cookie-of-another-site": ("POST /app/closed", "Cookie: token=x\r\nContent-Length: 0\r\n\r\n", 403),
    "ambiguous-path": ("GET /app//closed", "\r\n", 400),
    "not-mounted": ("GET /elsewhere", "\r\n", 404),
    "too-large": ("POST /app/", "Content-Length: 21\r\n\r\n", 413),
    "turns-out-too-large": ("POST /app/", f"{CHUNKED}15\r\n{21 * 'x'}\r\n", 413),
    "no-chunk": ("POST /app/", f"{CHUNKED}zz\r\n", 400),
    "too-slow-a-client": ("POST /app/", "Content-Length: 5\r\n\r\nhel", 408),
    "no-length": ("POST /app/measured", f"{CHUNKED}0\r\n\r\n", 411),
    "app-fails": ("GET /app/fails", "\r\n", 500),
    "too-slow-an-app": ("GET /app/slow", "\r\n", 504),
    "101-unasked": ("GET /app/switches", "\r\n", 500),
}


@pytest.fixture(name="server")
def server_fixture(serve, gates, tmp_path):
    """One worker with little patience."""
    (tmp_path / "refusals_app.py").write_text(APP)
    (tmp_path / "ferricorn.toml").write_text(CONFIG)
    return serve("-c", "ferricorn.toml", environment=gates.environment).ready()


def begin(server, line, rest="\r\n", origin="https://app.example"):
    """A connection on which a page of that origin has asked."""
    connection = server.connect()
    connection.sendall(f"{line} HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n{rest}".encode())
    return connection


def answer(connection, method="GET"):
    """The answer on it."""
    with connection:
        response = http.client.HTTPResponse(connection, method=method)
        response.begin()
        return Answer(response.status, response.headers, response.read())


def is_for_its_page(refusal, status, name):
    """Whether that page may read it, and no cache keeps it."""
    fields = refusal.fields
    assert refusal.status == status, name
    assert fields["Access-Control-Allow-Origin"] == "https://app.example", name
    assert fields["Access-Control-Expose-Headers"] == "WWW-Authenticate, Retry-After", name
    assert (fields["Cache-Control"], fields.get_all("Vary")) == ("no-store", ["Origin"]), name


def test_every_refusal_is_for_its_page_alone(server, gates):
    for name, (line, rest, status) in REFUSED.items():
        is_for_its_page(answer(begin(server, line, rest)), status, name)
        other = answer(begin(server, line, rest, origin="https://evil.example")).fields
        assert "Access-Control-Allow-Origin" not in other, name
        assert (other["Cache-Control"], other["Vary"]) == ("no-store", "Origin"), name
    assert "Access-Control-Allow-Origin" not in ask(server, "GET", "/app/").fields, "an app answers for itself"
    with begin(server, "GET /app/gated") as first:
        gates.expect("entered")
        is_for_its_page(answer(begin(server, "GET /app/hurried")), 503, "too much to do")
        gates.release()
        assert answer(first).status == 200
    for ended in (1, 2):
        with pytest.raises((OSError, http.client.HTTPException)):
            answer(begin(server, "GET /app/ends"))
        server.log.wait_for("worker ready", count=ended + 1)
    refusal = answer(begin(server, "GET /app/ends"))
    is_for_its_page(refusal, 503, "quarantined")
    assert int(refusal.fields["Retry-After"]) > 0
