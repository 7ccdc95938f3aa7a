"""More requests than can be served."""

import json
import re
import urllib.request

import pytest

from support.client import ask
from support.server import DEADLINE
from test_cancel import answer, begin, ctl


@pytest.fixture
def overloaded(serve, gates, transport):
    """One worker whose only app thread waits at the gate."""

    def start(**environment):
        environment = {**gates.environment, "FERRICORN_TIMEOUTS_REQUEST": "0s", **environment}
        server = serve("hanging", "-w", "1", transport=transport, environment=environment).ready()
        first = begin(server, "/gated")
        gates.expect("entered")
        return server, first

    return start


def status(server):
    """What `ctl status` tells."""
    code, output, _ = ctl(server, "status", "--json")
    assert code == 0, output
    return json.loads(output)


def until_waiting(server, count):
    """Returns once so many requests wait for an app thread."""
    for _ in range(500):
        if (told := status(server))["requests_waiting"] == count:
            return
    raise AssertionError(f"not {count} wait: {told}")


def refused(connection):
    """Whether the answer on it is that of an overloaded server; how long its client should stay away."""
    connection.settimeout(DEADLINE)
    head = connection.recv(4096).decode()
    assert head.startswith("HTTP/1.1 503 ") and head.endswith("\r\n\r\nThe server has more to do than it can.\n"), head
    return int(re.search(r"(?im)^retry-after: (\d+)\r$", head)[1])


def test_what_is_too_much_is_answered_at_once_and_its_connection_goes_on(overloaded, gates):
    server, first = overloaded(FERRICORN_LIMITS_QUEUE="2")
    with first, begin(server, "/quick?1") as second, begin(server, "/quick?2") as third:
        until_waiting(server, 2)
        with begin(server, "/gated") as fourth:
            assert refused(fourth) == 1
            gates.release()
            assert [answer(each)[0] for each in (first, second, third)] == [200] * 3
            fourth.sendall(b"GET /quick HTTP/1.1\r\nHost: a\r\n\r\n")
            assert answer(fourth)[0] == 200
        assert gates.silent(), "the app was entered for a refused request"
    server.log.wait_for(r"overload: requests are answered 503 without entering the app.*full=1 late=0 gone=0")
    told = status(server)
    assert (told["requests_waiting"], told["requests_shed"]) == (0, 1)


def test_what_has_waited_too_long_is_refused_while_the_app_goes_on(overloaded, gates):
    server, first = overloaded(FERRICORN_TIMEOUTS_QUEUE="5ms")
    with first, begin(server, "/gated") as second:
        assert refused(second) == 1
        gates.release()
        assert answer(first)[0] == 200
    assert gates.silent(), "the app was entered for a refused request"


def test_a_client_that_has_lost_patience_is_not_served_but_one_that_has_only_ended_its_half_is(overloaded, gates):
    server, first = overloaded()
    with first, begin(server, "/quick?half") as half:
        half.shutdown(1)
        leaves = begin(server, "/gated")
        until_waiting(server, 2)
        # Seen to be there before it leaves: it is then told from the other one.
        until_looked_at(server)
        leaves.close()
        gates.release()
        assert [answer(each)[0] for each in (first, half)] == [200, 200]
        assert ask(server, "GET", "/quick").status == 200
    assert gates.silent(), "the app was entered for a client that had left"
    assert status(server)["requests_shed"] == 1


def until_looked_at(server):
    """Clients are looked at every 20 ms; by when this many questions are answered it has been done."""
    oldest = 0
    while oldest < 200:
        code, output, _ = ctl(server, "requests", "--json")
        assert code == 0, output
        oldest = min(request["age_ms"] for request in json.loads(output)["requests"])


def test_a_route_has_a_patience_of_its_own(serve, gates, tmp_path, transport):
    config = tmp_path / "ferricorn.toml"
    config.write_text('[timeouts]\nrequest = "0s"\n[[route]]\nprefix = "/quick"\nqueue = "5ms"\n')
    arguments = ["-w", "1", "-c", str(config)]
    server = serve("hanging", *arguments, transport=transport, environment=gates.environment).ready()
    with begin(server, "/gated") as first:
        gates.expect("entered")
        with begin(server, "/gated?waits") as second, begin(server, "/quick") as third:
            assert refused(third) == 1
            gates.release()
            assert answer(first)[0] == 200
            gates.expect("entered")
            gates.release()
            assert answer(second)[0] == 200


def test_figures_tell_of_it(overloaded, gates):
    server, first = overloaded(FERRICORN_LIMITS_QUEUE="0", FERRICORN_ADMIN_ADDRESS="127.0.0.1:0")
    with first, begin(server, "/gated") as second:
        refused(second)
        gates.release()
        assert answer(first)[0] == 200
    port = int(server.log.wait_for(r"status at http://127\.0\.0\.1:(\d+)")[0][1])
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE) as response:
        text = response.read().decode()
    assert 'ferricorn_requests_shed_total{reason="full"} 1\n' in text
    assert "ferricorn_requests_waiting 0\n" in text
