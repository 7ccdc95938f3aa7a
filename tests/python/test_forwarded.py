"""What a proxy says of its client: believed from trusted peers, removed from others, in apps and in the access log."""

import json
import os
import re

import pytest

from support.client import answer_to
from support.gunicorn import Gunicorn

FORWARDED = (
    "X-Forwarded-For: 6.6.6.6, 192.0.2.7, 127.0.0.1\r\nX-Forwarded-Proto: https\r\n"
    "X-Forwarded-Host: site.example\r\nX-Forwarded-Port: 8443\r\n"
)
# Other ways to write a name that an app may read as one of those above.
SPELLINGS = [
    "X-Forwarded-For",
    "x-forwarded-for",
    "X-FORWARDED-FOR",
    "X_Forwarded_For",
    "X-Forwarded_For",
    "x_forwarded-FOR",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Ssl",
    "X-Forwarded-Protocol",
    "X-Forwarded-Prefix",
    "X-Real-IP",
    "Forwarded",
]


def environ_of(server, fields, target="/"):
    """The environ that the app was called with."""
    answer = answer_to(server, f"GET {target} HTTP/1.1\r\nHost: inside\r\n{fields}\r\n".encode("latin-1"))
    assert answer.status == 200, answer
    return json.loads(answer.content)


def test_trusted_peer_sets_scheme_host_and_address(serve, transport):
    environ = environ_of(serve("environ_app", "-w", "1", transport=transport).ready(), FORWARDED)
    assert environ["REMOTE_ADDR"] == "192.0.2.7"
    assert "REMOTE_PORT" not in environ
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["HTTP_HOST"] == environ["SERVER_NAME"] == "site.example"
    assert environ["SERVER_PORT"] == "8443"
    # And the fields themselves are still there.
    assert environ["HTTP_X_FORWARDED_FOR"] == "6.6.6.6, 192.0.2.7, 127.0.0.1"
    assert environ["HTTP_X_FORWARDED_PROTO"] == "https"


def test_port_follows_from_the_scheme_where_nobody_names_it(serve, transport):
    server = serve("environ_app", "-w", "1", transport=transport).ready()
    environ = environ_of(server, "X-Forwarded-Proto: https\r\nX-Forwarded-Host: site.example\r\n")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("site.example", "443")
    environ = environ_of(server, "X-Forwarded-Host: site.example:81\r\n")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("site.example", "81")


def test_fields_of_other_peers_are_removed_in_every_spelling(serve):
    server = serve("environ_app", "-w", "1", "--forwarded-allow-ips", "203.0.113.1").ready()
    for name in SPELLINGS:
        environ = environ_of(server, f"{name}: 127.0.0.1\r\n{name}: https\r\nX-Kept: 1\r\n")
        found = [key for key in environ if "FORWARDED" in key or "REAL_IP" in key]
        assert found == [], name
        assert environ["HTTP_X_KEPT"] == "1"
    environ = environ_of(server, FORWARDED)
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("127.0.0.1", "http")
    assert (environ["HTTP_HOST"], environ["SERVER_PORT"]) == ("inside", str(server.port))
    assert server.stop() == 0
    said = [line for line in server.log.lines if "server.forwarded_allow_ips" in line]
    assert len(said) == 1 and "x-forwarded-for" in said[0], said


def test_native_apps_see_the_same(serve):
    server = serve("echo", "-w", "1").ready()
    text = answer_to(server, f"GET / HTTP/1.1\r\nHost: inside\r\n{FORWARDED}\r\n".encode()).content.decode()
    assert "host: site.example\n" in text and "x-forwarded-proto: https\n" in text
    stranger = serve("echo", "-w", "1", "--forwarded-allow-ips", "203.0.113.1").ready()
    text = answer_to(stranger, f"GET / HTTP/1.1\r\nHost: inside\r\n{FORWARDED}\r\n".encode()).content.decode()
    assert "host: inside\n" in text and "forwarded" not in text


def test_standard_field_is_read_where_it_is_asked_for(serve, tmp_path):
    (tmp_path / "ferricorn.toml").write_text('[server]\nforwarded_fields = ["forwarded"]\n')
    server = serve("environ_app", "-w", "1").ready()
    fields = FORWARDED + 'Forwarded: for=6.6.6.6, for="[2001:db8::7]:4711";proto=http;host=other.example\r\n'
    environ = environ_of(server, fields)
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("2001:db8::7", "4711")
    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == ("http", "other.example")


@pytest.fixture
def gunicorn(tmp_path, request):
    """Starts Gunicorn with arguments, and ends it."""
    started = []

    def start(*arguments):
        apps = request.config.rootpath / "tests" / "python" / "apps"
        started.append(Gunicorn(tmp_path, apps, "environ_app:application", *arguments))
        return started[-1]

    yield start
    for server in started:
        server.close()


def test_differences_from_gunicorn_are_these(serve, gunicorn):
    ours = environ_of(serve("environ_app", "-w", "1").ready(), FORWARDED)
    theirs = environ_of(gunicorn(), FORWARDED)
    assert ours["wsgi.url_scheme"] == theirs["wsgi.url_scheme"] == "https"
    # Gunicorn leaves the client to the app, and so do all its fields to who writes them.
    assert (theirs["REMOTE_ADDR"], ours["REMOTE_ADDR"]) == ("127.0.0.1", "192.0.2.7")
    assert (theirs["HTTP_HOST"], ours["HTTP_HOST"]) == ("inside", "site.example")
    # Gunicorn acts on two more fields, which a proxy that does not set them passes on from clients.
    for field in ("X-Forwarded-Ssl: on\r\n", "X-Forwarded-Protocol: ssl\r\n"):
        assert environ_of(serve("environ_app", "-w", "1").ready(), field)["wsgi.url_scheme"] == "http"
        assert environ_of(gunicorn(), field)["wsgi.url_scheme"] == "https"


# Everything but times, and the version that differs by design.
PATTERN = (
    "LINE %(h)s|%(l)s|%(u)s|%(r)s|%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(B)s|%(f)s|%(a)s|%({X-One}i)s|%({nothing}i)s"
    '|%({Content-Type}o)s|%({nothing}o)s|%({RAW_URI}e)s|%({wsgi.url_scheme}e)s|%({HTTP_X_ONE}e)s|100%%|"%(a)s"'
)
LOGGED = [
    ("/", ""),
    ("/a%20b?c=d", "X-One: 1\r\n"),
    ("/?q=%22", 'User-Agent: says "hello"\r\nReferer: http://a.example/\r\n'),
    ("/a//b", "X-Forwarded-Proto: https\r\nX-One: a, b\r\n"),
]


def test_access_log_pattern_is_filled_in_as_gunicorn_does_it(serve, gunicorn):
    arguments = ["--access-logfile", "-", "--access-logformat", PATTERN]
    servers = [serve("environ_app", "-w", "1", *arguments).ready(), gunicorn(*arguments)]
    for number, (target, fields) in enumerate(LOGGED, 1):
        lines = []
        for server in servers:
            environ_of(server, fields, target)
            server.log.wait_for(r"^LINE ", count=number)
            lines.append([line for line in server.log.lines if line.startswith("LINE ")][-1])
        ours, theirs = (re.sub(r"\|200\|\d+\|", "|200|N|", line) for line in lines)
        assert ours == theirs


def test_access_log_names_the_forwarded_client_and_no_client_forges_a_line(serve):
    pattern = '%(h)s "%(U)s" "%({x-evil}i)s" %(s)s %(p)s %(D)s %(L)s'
    server = serve("environ_app", "-w", "1", "--access-logfile", "-", "--access-logformat", pattern).ready()
    environ_of(server, 'X-Forwarded-For: 192.0.2.7\r\nX-Evil: " 200\\\r\n', "/a%0a192.0.2.9%20%22")
    found = server.log.wait_for(r"^192\.0\.2\.7 .*$")[0][0]
    pid = server.workers()[1]
    assert re.fullmatch(
        rf'192\.0\.2\.7 "/a\\u000a192\.0\.2\.9 \\"" "\\" 200\\\\" 200 <{pid}> \d+ \d+\.\d{{6}}', found
    ), found
    assert not [line for line in server.log.lines if line.startswith("192.0.2.9")]
    assert os.path.exists(f"/proc/{pid}")
