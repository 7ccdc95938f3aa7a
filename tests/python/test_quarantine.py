"""A request that has ended workers is refused for a while: `workers.quarantine`."""

import http.client

import pytest

from support.client import Client, Load, ask

APP = """
import os
import signal
import threading


def application(environ, start_response):
    armed = os.path.exists("armed")
    if armed:
        os.remove("armed")
    if armed or environ["PATH_INFO"] == "/segv":
        # At this thread, as a fault is: sent to the process it might meet another first, and this one would go on meanwhile.
        signal.pthread_kill(threading.get_ident(), signal.SIGSEGV)
    if environ["PATH_INFO"] == "/exit" and environ["REQUEST_METHOD"] == "POST":
        os._exit(7)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"well\\n"]
"""

CONFIG = """
[workers]
count = {workers}
quarantine = 3
quarantine_time = "{time}"
"""


@pytest.fixture(name="start")
def start_fixture(serve, tmp_path):
    """Starts a site with two requests that end a worker."""

    def start(workers=2, time="10m"):
        (tmp_path / "site_app.py").write_text(APP)
        (tmp_path / "ferricorn.toml").write_text(CONFIG.format(workers=workers, time=time))
        return serve("site_app", "-c", "ferricorn.toml").ready()

    return start


def outcome(server, method, target):
    """The status, or that the worker has died of it."""
    try:
        return ask(server, method, target).status
    except (OSError, http.client.HTTPException):
        return "died"


@pytest.mark.parametrize("workers", [1, 4])
def test_a_hundred_times_the_same_end_three_workers(start, workers):
    """All others are refused, and no other request is."""
    server = start(workers)
    outcomes = [outcome(server, "GET", "/segv") for _ in range(100)]
    assert (outcomes.count("died"), outcomes.count(503)) == (3, 97), outcomes
    quarantined = server.log.wait_for(r"request quarantined: .* refused for 600s: GET /segv \(id ([0-9a-f]{16}), client 127")
    assert f"worker was serving GET /segv (id {quarantined[0][1]}" in server.log.text()
    assert 'id="FC-Q01"' in server.log.text() or "id=FC-Q01" in server.log.text()
    server.log.wait_for(r"request refused: it has ended workers \(workers.quarantine\)")
    server.log.wait_for(r"worker ready", count=workers + 3)
    with Load(server) as load:
        load.more()
    assert load.failures == []
    for target in ("/segv/", "/exit", "/"):
        assert ask(server, "GET", target).status == 200
    refused = ask(server, "GET", "/segv")
    assert refused.status == 503 and 0 < int(refused.fields["Retry-After"]) <= 601


def test_the_culprit_is_known_among_many(start):
    """Others that have just been answered, or wait, are not taken for it."""
    server = start()
    with Load(server):
        outcomes = [outcome(server, "GET", "/segv") for _ in range(20)]
    assert outcomes.count("died") >= 3 and outcomes[-10:] == [503] * 10, outcomes


def test_a_kept_connection_goes_on(start):
    """Only the request is refused."""
    server = start()
    while outcome(server, "POST", "/exit") == "died":
        pass
    client = Client(server)
    assert client.ask("GET", "/").status == 200
    connection = client.sock
    assert client.ask("POST", "/exit").status == 503
    assert client.ask("GET", "/exit").status == 200
    assert client.sock is connection
    client.close()


def test_once_the_time_is_over_one_more_is_enough(start):
    """So that what was mended is answered again."""
    server = start(1, time="1ms")
    since = 0
    for deaths in (3, 1, 1):
        assert [outcome(server, "GET", "/segv") for _ in range(deaths)] == ["died"] * deaths
        server.log.wait_for(r"request quarantined: .* GET /segv ", since)
        since = server.log.position()


def test_whoever_is_answered_is_no_suspect(start, tmp_path):
    """What crashes now and then for another reason is never refused."""
    server = start(1)
    for _ in range(4):
        (tmp_path / "armed").touch()
        assert outcome(server, "GET", "/") == "died"
        assert [ask(server, "GET", "/").status for _ in range(3)] == [200] * 3
    assert "quarantined" not in server.log.text()
