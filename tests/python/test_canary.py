"""A reload whose first new worker is tried beside the old ones: `workers.canary` and `ctl reload --canary`."""

import json
import signal
import socket
import subprocess

import pytest

from support.client import Client, Load, ask
from support.server import DEADLINE, FERRICORN, clean_environment

APP = """
import itertools
import os
import time

CALLS = itertools.count()


def application(environ, start_response):
    time.sleep({seconds})
    if environ["PATH_INFO"] == "/crash" and {crashes}:
        os.abort()
    failed = next(CALLS) % 10 < {errors}
    start_response("500 Oops" if failed else "200 OK", [("X-Version", "{version}")])
    return [b"{version}"]
"""

CONFIG = """
[workers]
count = {workers}
preload = {preload}
canary = "{canary}"
canary_requests = 60
"""


def write(directory, version, seconds=0.0, errors=0, crashes=False):
    """Puts a version of the site on disk."""
    text = APP.format(version=version, seconds=seconds, errors=errors, crashes=crashes)
    (directory / "site_app.py").write_text(text)


@pytest.fixture(name="start")
def start_fixture(serve, tmp_path):
    """Starts the site's first version."""

    def start(workers=2, canary="1s", transport="tcp", preload="false", listener=None, **version):
        write(tmp_path, "one", **version)
        config = CONFIG.format(workers=workers, canary=canary, preload=preload)
        (tmp_path / "ferricorn.toml").write_text(config)
        return serve("site_app", "-c", "ferricorn.toml", transport=transport, listener=listener).ready()

    return start


def ctl(server, *words):
    """Runs `ferricorn ctl` for this server."""
    command = [FERRICORN, "ctl", "--pid", str(server.process.pid), *words]
    return subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, timeout=4 * DEADLINE, check=False
    )


def only_new_code_failed(load):
    """No request failed but by the answers of the canary."""
    return set(load.failures) <= {"status 500"}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "one request each"])
@pytest.mark.parametrize("transport", ["tcp", "unix"])
def test_twenty_percent_of_500s_are_refused(start, tmp_path, workers, kept, transport):
    """The old generation is not touched, and who has asked learns why."""
    server = start(workers, "30s", transport)
    with Load(server, kept=kept) as load:
        write(tmp_path, "two", errors=2)
        before = server.workers(1)
        reload = ctl(server, "reload")
        load.more()
    assert reload.returncode == 1
    assert "error: canary: " in reload.stderr and "answers were 5xx, old workers 0.0 %" in reload.stderr
    assert only_new_code_failed(load) and load.failures, "the canary got its share"
    server.log.wait_for("worker left slot=1")
    assert server.workers(1) == before
    assert ask(server, "GET", "/").content == b"one"
    status = json.loads(ctl(server, "status", "--json").stdout)
    assert status["state"] == "degraded" and status["canary"] is None
    assert status["trouble"].startswith("reload failed: canary: ")


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "one request each"])
def test_a_canary_at_a_socket_that_was_handed_over_gets_its_share(start, tmp_path, kept):
    """All workers accept from the one queue, and the new one is told apart all the same."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        server = start(2, "1s", listener=listener)
        with Load(server, kept=kept) as load:
            write(tmp_path, "two", errors=2)
            reload = ctl(server, "reload")
            assert reload.returncode == 1 and "answers were 5xx, old workers 0.0 %" in reload.stderr, reload
            write(tmp_path, "three")
            assert ctl(server, "reload").returncode == 0
            load.more()
        assert only_new_code_failed(load) and load.failures
        assert ask(server, "GET", "/").content == b"three"


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("preload", ["false", "true"], ids=["loads", "preloads"])
def test_what_is_much_slower_is_refused(start, tmp_path, workers, preload):
    """Ten times as long is more than any disturbance of the test makes of the same."""
    server = start(workers, "30s", preload=preload, seconds=0.01)
    with Load(server, clients=2 * workers + 2) as load:
        write(tmp_path, "two", seconds=0.1)
        reload = ctl(server, "reload")
    assert reload.returncode == 1
    assert "error: canary: its answers took " in reload.stderr and "up to 200% are allowed" in reload.stderr
    assert load.failures == []
    assert ask(server, "GET", "/").content == b"one"


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("transport", ["tcp", "unix"])
def test_what_does_as_well_passes(start, tmp_path, workers, transport):
    """Then everything is new."""
    server = start(workers, "1s", transport, seconds=0.01)
    with Load(server) as load:
        write(tmp_path, "two", seconds=0.01)
        reload = ctl(server, "reload")
        load.more()
    assert (reload.returncode, reload.stdout) == (0, "generation 2\n"), reload.stderr
    assert load.failures == []
    assert "canary passed: 0.0 % of " in server.log.text()
    assert len(server.workers(2)) == workers
    assert ask(server, "GET", "/").content == b"two"


def test_a_single_kept_connection_is_served_by_both(start, tmp_path):
    """A client with one connection, as a proxy may be, sees the canary as well, and is never cut off."""
    server = start(1, "30s")
    client = Client(server)
    assert client.ask("GET", "/").content == b"one"
    write(tmp_path, "two")
    since = server.log.position()
    server.signal(signal.SIGHUP)
    server.log.wait_for("canary: one new worker serves for 30s", since)
    connection = client.sock
    for version in (b"two", b"one", b"two"):
        while client.ask("GET", "/").content != version:
            pass
    assert client.sock is connection
    status = json.loads(ctl(server, "status", "--json").stdout)
    assert status["state"] == "reloading" and status["canary"]["pid"] == server.workers(2)[1]
    assert "canary      pid " in ctl(server, "status").stdout
    client.close()


def test_a_canary_that_crashes_is_refused(start, tmp_path):
    """And the next code is tried again."""
    server = start(1, "30s")
    write(tmp_path, "two", crashes=True)
    since = server.log.position()
    server.signal(signal.SIGHUP)
    server.log.wait_for("canary: one new worker serves", since)
    client = Client(server)
    while True:
        try:
            if client.ask("GET", "/").content == b"two":
                client.ask("GET", "/crash")
        except (OSError, EOFError):
            break
    server.log.wait_for(r"reload failed: .*canary: worker pid \d+ ended while it was tried: killed by SIGABRT", since)
    client.close()
    assert ask(server, "GET", "/").content == b"one"
    write(tmp_path, "three")
    assert ctl(server, "reload", "--canary", "0s").stdout == "generation 3\n"
    assert ask(server, "GET", "/").content == b"three"


def test_few_requests_are_not_held_against_it(start, tmp_path):
    """After three times its time it is judged by those that there are."""
    server = start(2, "100ms")
    write(tmp_path, "two")
    assert ctl(server, "reload").stdout == "generation 2\n"
    server.log.wait_for("canary: too few requests to tell, the reload goes on: 0.0 % of 0 answers")


def test_term_ends_the_trial(start, tmp_path):
    """Who waits for the reload is told."""
    server = start(2, "30s")
    write(tmp_path, "two")
    command = [FERRICORN, "ctl", "--pid", str(server.process.pid), "reload", "--canary", "60s"]
    with subprocess.Popen(command, env=clean_environment(), stderr=subprocess.PIPE, text=True) as reload:
        server.log.wait_for("canary: one new worker serves for 60s")
        assert server.stop() == 0
        assert reload.communicate(timeout=DEADLINE)[1] == "error: the server is stopping\n"
    assert reload.returncode == 1


def test_times_are_checked(start):
    """A number without a unit is no time."""
    server = start(1)
    wrong = ctl(server, "reload", "--canary", "10")
    assert wrong.returncode == 2 and 'the unit is missing: write "10s"' in wrong.stderr
