"""Behind a real nginx: what apps are told, uploads, redirects to TLS, and faults that no client notices."""

import hashlib
import json
import os
import signal
import threading

import pytest

from support.client import Load, ask
from support.nginx import CLIENT, documented_sites

SITE = """
upstream app {
    SERVERS
    KEEPALIVE
}
server {
    listen 127.0.0.1:{port};
    listen 127.0.0.1:{secure_port} ssl;
    {certificate}
    client_max_body_size 100m;
    location / {
        proxy_pass http://app;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        VERSION
    }
}
"""
# As nginx is without a word about it; and as its documentation has it for kept connections. nginx asks once more
# for each further server: with connections of its own that is enough once, and with kept ones it may find each of
# them closed by the same dead worker.
UPSTREAMS = {
    "http-1.0": (2, "", ""),
    "kept": (5, "keepalive 4;", 'proxy_http_version 1.1; proxy_set_header Connection "";'),
}
# What a client may write to pass for somebody else.
FORGED = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X_Forwarded_For": "6.6.6.6"}


@pytest.fixture(params=sorted(UPSTREAMS))
def site(request):
    """A usual site, with each way to speak to the server behind it."""
    servers, keepalive, version = UPSTREAMS[request.param]
    text = SITE.replace("SERVERS", "server {upstream} max_fails=0; " * servers)
    return text.replace("KEEPALIVE", keepalive).replace("VERSION", version)


@pytest.fixture
def prepared(prepared_site):
    """The Django example with settings for a site that is only reached over TLS."""
    (prepared_site / "secure_settings.py").write_text(
        "from demo.settings import *\n"
        'SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")\n'
        "SECURE_SSL_REDIRECT = True\n"
        "SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True\n"
    )
    return prepared_site


def test_app_is_told_of_the_client_and_not_of_nginx(serve, nginx, site, transport):
    server = serve("environ_app", "-w", "2", transport=transport).ready()
    front = nginx(site, server)
    for fields in ({}, FORGED):
        environ = json.loads(ask(front, "GET", "/a%20b?c=d", fields=fields).content)
        assert environ["REMOTE_ADDR"] == CLIENT
        assert environ["wsgi.url_scheme"] == "http"
        assert environ["HTTP_HOST"] == "localhost"
        assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/a b", "c=d")
    client = front.secure()
    client.request("GET", "/")
    environ = json.loads(client.getresponse().read())
    client.close()
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == (CLIENT, "https")


def test_uploads_arrive_whole(serve, nginx, site, transport):
    server = serve("responses", "-w", "2", transport=transport).ready()
    front = nginx(site, server)
    # In memory here and there, in files here and there, and with no length told beforehand.
    for size in (0, 1000, 300 << 10, 5 << 20):
        content = os.urandom(size)
        expected = f"{size} {hashlib.sha256(content).hexdigest()}".encode()
        assert ask(front, "POST", "/digest", content).content == expected
        # http.client sends what has no length in chunks.
        pieces = (content[at : at + 65536] for at in range(0, size, 65536))
        assert ask(front, "POST", "/digest", pieces).content == expected


def test_answers_arrive_whole(serve, nginx, site, transport):
    server = serve("responses", "-w", "2", transport=transport).ready()
    front = nginx(site, server)
    content = ask(front, "GET", "/big").content
    assert len(content) == 32 << 20 and all(content[at << 20] == at for at in range(32))
    assert ask(front, "HEAD", "/plain").content == b""
    assert ask(front, "GET", "/no_content").status == 204
    assert ask(front, "GET", "/plain").content == b"plain"


def test_redirect_to_tls_ends_there(serve, nginx, site, transport, prepared):
    arguments = ["-c", "ferricorn.toml", "-e", "DJANGO_SETTINGS_MODULE=secure_settings"]
    server = serve(*arguments, directory=prepared, transport=transport).ready()
    front = nginx(site, server)
    for fields in ({}, FORGED):
        plain = ask(front, "GET", "/?a=b", fields=fields)
        assert (plain.status, plain.fields["Location"]) == (301, "https://localhost/?a=b")
    client = front.secure()
    client.request("GET", "/")
    page = client.getresponse()
    assert page.status == 200 and b"<h1>Notes</h1>" in page.read()
    # The admin's form wants the cookie back, and the scheme in the Referer to be the one of its own request.
    client.request("GET", "/admin/login/")
    form = client.getresponse()
    assert form.status == 200
    form.read()
    cookie = form.headers["Set-Cookie"].split(";")[0]
    body = f"csrfmiddlewaretoken={cookie.split('=')[1]}&username=demo&password=wrong"
    own = f"https://localhost:{front.secure_port}/admin/login/"
    fields = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie, "Referer": own}
    client.request("POST", "/admin/login/", body, fields)
    answer = client.getresponse()
    assert (answer.status, b"enter the correct username" in answer.read()) == (200, True)
    client.close()


def test_five_reloads_under_load_lose_nothing(serve, nginx, site, transport):
    server = serve("environ_app", "-w", "2", transport=transport).ready()
    with Load(nginx(site, server)) as load:
        for generation in range(2, 7):
            server.reload(rf"reload done: generation {generation}\b")
            load.more()
    assert load.failures == []


def test_three_killed_workers_are_noticed_by_no_client(serve, nginx, site, transport):
    server = serve("environ_app", "-w", "2", transport=transport).ready()
    with Load(nginx(site, server), clients=8) as load:
        for _ in range(3):
            since = server.log.position()
            os.kill(server.workers()[1], signal.SIGKILL)
            server.log.wait_for("worker ready", since)
            load.more()
    assert load.failures == []


def test_graceful_stop_answers_what_has_begun(serve, nginx, site, transport, gates):
    server = serve("responses", "-w", "2", transport=transport, environment=gates.environment).ready()
    front = nginx(site, server)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(ask(front, "GET", "/gated")))
    asking.start()
    gates.expect("entered")
    since = server.log.position()
    server.signal(signal.SIGTERM)
    server.log.wait_for("stop", since)
    gates.release()
    asking.join(30)
    assert [(answer.status, answer.content) for answer in answers] == [(200, b"released")]
    assert server.wait() == 0


@pytest.mark.parametrize("name", sorted(documented_sites()))
def test_documented_sites_work_as_they_stand(serve, nginx, transport, name):
    server = serve("environ_app", "-w", "2", transport=transport).ready()
    front = nginx(documented_sites()[name], server)
    forged = {**FORGED, "X-Forwarded-Host": "evil.example", "X-Forwarded-Port": "1", "Forwarded": "for=6.6.6.6"}
    for fields in ({}, forged):
        environ = json.loads(ask(front, "GET", "/", fields=fields).content)
        assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == (CLIENT, "http")
        assert (environ["HTTP_HOST"], environ["SERVER_PORT"]) == ("localhost", str(front.port))
        assert "HTTP_FORWARDED" not in environ
