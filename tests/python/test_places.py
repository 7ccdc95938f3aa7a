"""The same faults wherever the server stands: on its own sockets, behind nginx, on sockets that a manager hands over.

Reloads, broken code, killed workers, a stop; the load is never interrupted, and every failure is accounted for.
"""

import contextlib
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from support.client import Load, ask
from support.nginx import documented_sites

CLIENTS, KILLS = 8, 3
# Each call leaves a mark, so that the answers can be counted against what the app was asked.
APP = """
import os
{importing}
calls = os.open("calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

def application(environ, start_response):
    os.write(calls, b".")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [{text!r}]
"""
HTTP_1_0 = """
upstream app { server {upstream} max_fails=0; server {upstream} max_fails=0; }
server { listen 127.0.0.1:{port}; listen 127.0.0.1:{secure_port}; location / { proxy_pass http://app; } }
"""
SITES = {"http-1.0": HTTP_1_0, **documented_sites()}


class Place:
    """A server with an app, where clients reach it, and what may happen to them there."""

    def __init__(self, serve, nginx, directory, transport, kind, stack):
        self.directory, self.transport, self.stack = directory, transport, stack
        self.kind = kind
        self.serve = serve
        self.listener = self._listener() if kind.startswith("handed") else None
        self.write("1")
        self.server = self.start()
        self.front = nginx(SITES[kind], self.server) if kind in SITES else self.server
        # A kept connection of a client ends with the worker that served it; nginx has others.
        self.loses_to_kills = self.front is self.server

    def _listener(self):
        kind = socket.AF_INET if self.transport == "tcp" else socket.AF_UNIX
        listener = self.stack.enter_context(socket.socket(kind))
        listener.bind(("127.0.0.1", 0) if self.transport == "tcp" else str(self.directory / "http.sock"))
        listener.listen(100)
        return listener

    def start(self):
        return self.serve("site_app", "-w", "2", transport=self.transport, listener=self.listener).ready()

    def write(self, text, importing=""):
        """Replaces the app in one step, as a deployment would."""
        fresh = self.directory / "site_app.py.new"
        fresh.write_text(APP.format(importing=importing, text=text.encode()))
        os.replace(fresh, self.directory / "site_app.py")

    def load(self, kept=True):
        return Load(self.front, clients=CLIENTS, kept=kept)

    def calls(self):
        return Path(self.directory, "calls").stat().st_size


@pytest.fixture(params=["own", "handed", *SITES])
def place(request, serve, nginx, tmp_path, transport):
    """Each place, on TCP and on a UNIX socket."""
    with contextlib.ExitStack() as stack:
        yield Place(serve, nginx, tmp_path, transport, request.param, stack)


def test_reloads_and_broken_code_lose_nothing(place):
    with place.load() as load:
        for version in range(2, 5):
            place.write(str(version))
            place.server.reload(rf"reload done: generation {version}\b")
            load.more()
        place.write("never", "raise RuntimeError('broken on purpose')")
        place.server.reload("reload failed")
        load.more()
        assert ask(place.front, "GET", "/").content == b"4"
        # With the code broken, what dies comes back all the same.
        place.write("5")
        place.server.reload("reload done")
        load.more()
    assert load.failures == []
    assert ask(place.front, "GET", "/").content == b"5"


def test_killed_workers_cost_what_they_were_serving_and_nginx_nothing(place):
    with place.load() as load:
        for kill in range(KILLS):
            since = place.server.log.position()
            os.kill(place.server.workers()[1 + kill % 2], signal.SIGKILL)
            place.server.log.wait_for("worker ready", since)
            load.more()
    if not place.loses_to_kills:
        assert load.failures == []
    # Each client has one request at a time, and none was refused a connection.
    assert len(load.failures) <= CLIENTS * KILLS
    assert not any("Refused" in failure or "status" in failure for failure in load.failures), load.failures


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "closing"])
def test_stop_under_load_answers_whatever_was_taken(place, kept):
    with place.load(kept) as load:
        since = place.server.log.position()
        place.server.signal(signal.SIGTERM)
        if place.listener:
            # The manager's socket stays: what nobody has taken waits for the next server.
            assert place.server.wait() == 0
            place.server = place.start()
            load.more()
        else:
            place.server.log.wait_for("stopping", since)
            assert place.server.wait() == 0
    answered = load.answered
    if place.listener:
        assert load.failures == []
    elif place.front is place.server:
        # There is nobody any more, which is not to be cut off.
        wrong = [one for one in load.failures if not re.match("ConnectionRefusedError|FileNotFoundError", one)]
        assert wrong == []
    else:
        assert set(load.failures) <= {"status 502"}
    assert place.calls() == answered, "an answer for each call, a call for each answer"
