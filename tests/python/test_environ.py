"""What a WSGI app is told of a request: as Gunicorn tells it, unless a case here says otherwise."""

import json
import re

import pytest

from support.client import answer_to
from support.gunicorn import Gunicorn

# Each is the target of a GET.
TARGETS = [
    "/",
    "/plain/path",
    "/a%20b",
    "/a//b",
    "//leading//slashes",
    "/trailing/",
    "/caf%C3%A9",
    "/latin-1-%e9",
    "/encoded%2Fslash",
    "/encoded%3Fquestion",
    "/encoded%25percent",
    "/semi;colon=1",
    "/dots/../up/./here",
    "/plus+and%2Bplus",
    "/colon:at@sign",
    "/?",
    "/?a=1&b=%20",
    "/path?with?question",
    "/path?%C3%A9=%ff",
    "http://elsewhere.example/absolute?x=1",
]

# Each is the fields of a request, without Host.
FIELDS = [
    "",
    "Accept: */*\r\nUser-Agent: test\r\n",
    "X-Lower-UPPER: mixed Case\r\n",
    "X-Empty:\r\n",
    "X-Spaces:    around   \r\n",
    "X-Tab:\tbefore\r\n",
    "X-Twice: 1\r\nX-Twice: 2\r\n",
    "X-Apart: 1\r\nX-Between: 2\r\nX-Apart: 3\r\nCookie: a=1\r\nX-Apart: 4\r\n",
    "X_Under_Score: dropped\r\nX-Kept: 1\r\n",
    "Cookie: a=1; b=caf\u00c3\u00a9\r\n",
    "Content-Type: text/plain; charset=utf-8\r\n",
    "Authorization: Basic dGVzdDp0ZXN0\r\n",
    "Connection: keep-alive\r\n",
    "If-Modified-Since: Mon, 23 Nov 2026 00:00:00 GMT\r\n",
    "X-Forwarded-Proto: https\r\n",
    "X-Forwarded-Proto: http\r\n",
    "X-Forwarded-Port: 8443\r\nX-Real-IP: 192.0.2.1\r\nForwarded: for=192.0.2.1;proto=https\r\n",
]

# What the two servers may differ in without any app noticing a change of meaning.
OWN = {"SERVER_SOFTWARE", "SERVER_NAME", "SERVER_PORT", "REMOTE_PORT", "HTTP_HOST"}
COMPARED = re.compile(
    "REQUEST_METHOD|SCRIPT_NAME|PATH_INFO|QUERY_STRING|RAW_URI|REMOTE_ADDR|SERVER_PROTOCOL|CONTENT_|HTTP_|wsgi.url_scheme"
)


@pytest.fixture
def both(serve, tmp_path, request):
    """Ferricorn and Gunicorn with the app that shows its environ."""
    apps = request.config.rootpath / "tests" / "python" / "apps"
    gunicorn = Gunicorn(tmp_path, apps, "environ_app:application")
    try:
        yield serve("environ_app", "-w", "1").ready(), gunicorn
    finally:
        gunicorn.close()


def environ_of(server, raw):
    """The environ that the app was called with."""
    answer = answer_to(server, raw.encode("latin-1"))
    assert answer.status == 200, (raw, answer)
    return json.loads(answer.content)


def compared(environ):
    """The part that both servers must agree on; an empty CONTENT_TYPE or _LENGTH is as good as none."""
    return {
        name: value
        for name, value in environ.items()
        if COMPARED.match(name) and name not in OWN and not (name.startswith("CONTENT_") and not value)
    }


def test_environ_is_as_gunicorn_makes_it(both):
    ferricorn, gunicorn = both
    requests = [f"GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n" for target in TARGETS]
    requests += [f"GET / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n" for fields in FIELDS]
    requests += [
        "POST /p HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nContent-Type: a/b\r\n\r\nabc",
        "GET / HTTP/1.0\r\n\r\n",
        "DELETE /d HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "PROPFIND /d HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ]
    differences = {}
    for raw in requests:
        ours, theirs = (compared(environ_of(server, raw)) for server in (ferricorn, gunicorn))
        if ours != theirs:
            differences[raw] = {
                name: {"ferricorn": ours.get(name), "gunicorn": theirs.get(name)}
                for name in sorted({*ours, *theirs})
                if ours.get(name) != theirs.get(name)
            }
    assert not differences, json.dumps(differences, indent=2)


def test_absolute_target_without_a_path_means_the_root(serve):
    # RFC 9112 3.2.1: an empty path is sent, and so read, as "/". Gunicorn has "" here.
    raw = "GET http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n"
    environ = environ_of(serve("environ_app", "-w", "1").ready(), raw)
    assert environ["PATH_INFO"] == "/"


@pytest.mark.parametrize("target", TARGETS)
def test_target_as_it_was_sent_has_the_name_that_uwsgi_gives_it_too(serve, tmp_path, target):
    (tmp_path / "ferricorn.toml").write_text(MOUNTS)
    environ = environ_of(serve("-w", "1").ready(), f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
    assert environ["REQUEST_URI"] == environ["RAW_URI"] == target


def test_environ_has_what_pep_3333_demands(serve, transport):
    server = serve("environ_app", "-w", "1", transport=transport).ready()
    environ = environ_of(server, "GET /x?y HTTP/1.1\r\nHost: a.example:81\r\n\r\n")
    assert environ["wsgi.version"] == [1, 0]
    assert environ["wsgi.url_scheme"] == "http"
    assert (environ["wsgi.multithread"], environ["wsgi.multiprocess"]) == (False, False)
    assert environ["wsgi.run_once"] is False
    assert environ["HTTP_HOST"] == "a.example:81"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["SERVER_NAME"] and isinstance(environ["SERVER_NAME"], str)
    assert isinstance(environ["SERVER_PORT"], str)
    if transport == "tcp":
        assert environ["SERVER_PORT"] == str(server.port)
        assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert "ferricorn.jwt" not in environ or environ["ferricorn.jwt"] is None


def test_several_workers_or_threads_are_announced(serve):
    environ = environ_of(
        serve("environ_app", "-w", "2", "--threads", "2").ready(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    assert (environ["wsgi.multithread"], environ["wsgi.multiprocess"]) == (True, True)


def test_chunked_content_has_its_length_known_or_its_end_marked(serve):
    environ = environ_of(
        serve("environ_app", "-w", "1").ready(),
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nchun\r\n3\r\nked\r\n0\r\n\r\n",
    )
    assert environ["test.content"] == "chunked"
    assert environ.get("CONTENT_LENGTH") == "7" or environ.get("wsgi.input_terminated") is True


MOUNTS = """
[[app]]
mount = "/"
target = "environ_app"

[[app]]
mount = "/shop"
target = "environ_app:application"

[[app]]
mount = "/shop/admin"
target = "environ_app:application"
"""


@pytest.mark.parametrize(
    ("target", "script_name", "path_info"),
    [
        ("/", "", "/"),
        ("/other", "", "/other"),
        ("/shop", "/shop", ""),
        ("/shop/", "/shop", "/"),
        ("/shop/a%20b", "/shop", "/a b"),
        ("/shop//a", "/shop", "//a"),
        ("/shopping", "", "/shopping"),
        ("/shop/admin", "/shop/admin", ""),
        ("/shop/admin/x", "/shop/admin", "/x"),
        ("/shop/administrator", "/shop", "/administrator"),
    ],
)
def test_mounts_split_the_path_at_segment_boundaries(serve, tmp_path, target, script_name, path_info):
    (tmp_path / "ferricorn.toml").write_text(MOUNTS)
    environ = environ_of(serve("-w", "1").ready(), f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script_name, path_info)
