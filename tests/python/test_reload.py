"""Reload, crash and stop with Python apps, under load: nobody notices."""

import hashlib
import os
import signal

import pytest

from support.client import Client, Load, ask
from support.server import DEADLINE

APP = """
import time
{importing}
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [{text!r}]
"""


def write_app(directory, text, importing=""):
    """The app as of now; replaced in one step, as a deployment would."""
    fresh = directory / "site_app.py.new"
    fresh.write_text(APP.format(importing=importing, text=text.encode()))
    os.replace(fresh, directory / "site_app.py")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "closing"])
def test_slow_import_at_reload_loses_nothing(serve, tmp_path, transport, workers, kept):
    write_app(tmp_path, "old")
    server = serve("site_app", "-w", workers, transport=transport).ready()
    with Load(server, kept=kept) as load:
        # The import is slow on purpose; nothing here waits for time to pass.
        write_app(tmp_path, "new", "time.sleep(2)")
        server.reload(r"reload done: generation 2\b")
        load.more()
    assert load.failures == []
    assert ask(server, "GET", "/").content == b"new"
    assert server.stop() == 0


def test_a_reload_without_free_descriptors_loses_no_kept_connection(serve, tmp_path):
    """What a worker has no room for waits until it has."""
    write_app(tmp_path, "old")
    (tmp_path / "ferricorn.toml").write_text("[server]\nopen_files = 64\n")
    server = serve("site_app", "-c", "ferricorn.toml", "-w", "1").ready()
    kept = [Client(server) for _ in range(20)]
    assert {client.ask("GET", "/").content for client in kept} == {b"old"}
    connections = [client.sock for client in kept]
    # They take all the room there is, and wait in the queue beyond that: the new worker finds them first.
    others = [server.connect() for _ in range(100)]
    server.log.wait_for("cannot accept connections; they wait in the queue")
    write_app(tmp_path, "new")
    since = server.log.position()
    server.reload(r"reload done: generation 2\b")
    server.log.wait_for("cannot accept connections; they wait in the queue", since)
    for other in others:
        other.close()
    # Until then it answers those that it has not handed over yet.
    server.log.wait_for("worker left", since)
    assert {client.ask("GET", "/").content for client in kept} == {b"new"}
    assert [client.sock for client in kept] == connections
    assert "could not be understood" not in server.log.text()
    for client in kept:
        client.close()


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "closing"])
def test_five_reloads_under_load_lose_nothing(serve, tmp_path, transport, kept):
    write_app(tmp_path, "version 1")
    server = serve("site_app", "-w", "2", transport=transport).ready()
    with Load(server, kept=kept) as load:
        for generation in range(2, 7):
            write_app(tmp_path, f"version {generation}")
            server.reload(rf"reload done: generation {generation}\b")
            load.more()
    assert load.failures == []
    assert ask(server, "GET", "/").content == b"version 6"


def test_broken_code_at_reload_leaves_the_old_generation_serving(serve, tmp_path, transport):
    write_app(tmp_path, "old")
    server = serve("site_app", "-w", "2", transport=transport).ready()
    with Load(server) as load:
        write_app(tmp_path, "never", "raise RuntimeError('broken on purpose')")
        server.reload("reload failed")
        load.more()
        assert "broken on purpose" in server.log.text()
        assert ask(server, "GET", "/").content == b"old"
        write_app(tmp_path, "mended")
        server.reload("reload done")
        load.more()
    assert load.failures == []
    assert ask(server, "GET", "/").content == b"mended"


def test_killed_worker_costs_at_most_what_it_was_serving(serve, tmp_path, transport):
    write_app(tmp_path, "here")
    server = serve("site_app", "-w", "2", transport=transport).ready()
    clients, kills = 4, 5
    with Load(server, clients=clients) as load:
        for _ in range(kills):
            since = server.log.position()
            os.kill(server.workers()[1], signal.SIGKILL)
            server.log.wait_for("worker ready", since)
            load.more()
    # Each client has one request at a time, so one kill can cost each of them one at most; none was
    # refused a connection, since the queue stays open.
    assert len(load.failures) <= clients * kills
    assert not any("Refused" in failure or "status" in failure for failure in load.failures), load.failures
    assert server.stop() == 0


def test_upload_and_stream_in_flight_survive_a_reload(serve, gates, transport):
    # Two threads: the stream keeps one for as long as the test lets it.
    arguments = ["responses", "-w", "2", "--threads", "2"]
    # In one wave: a second one would wait until those of the first have left.
    environment = {**gates.environment, "FERRICORN_WORKERS_MAX_SURGE": "100%"}
    server = serve(*arguments, transport=transport, environment=environment).ready()
    content = os.urandom(3 << 20)
    upload, stream = server.connect(), server.connect()
    upload.sendall(b"POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(content))
    upload.sendall(content[: 1 << 20])
    stream.sendall(b"GET /gated_stream HTTP/1.1\r\nHost: a\r\n\r\n")
    received = b""
    while b"first" not in received:
        received += stream.recv(4096)
    since = server.log.position()
    server.signal(signal.SIGHUP)
    server.log.wait_for(r"worker ready.*generation=2\b", since, count=2)
    assert ask(server, "GET", "/plain").status == 200

    upload.sendall(content[1 << 20 :])
    expected = f"{len(content)} {hashlib.sha256(content).hexdigest()}".encode()
    answer = b""
    while expected not in answer:
        piece = upload.recv(4096)
        assert piece, answer
        answer += piece
    gates.release()
    while not received.endswith(b"0\r\n\r\n"):
        piece = stream.recv(4096)
        assert piece, received
        received += piece
    assert b"second" in received
    server.log.wait_for(r"reload done: generation 2\b", since)
    upload.close()
    stream.close()


def test_graceful_stop_lets_a_running_call_end(serve, gates, transport):
    server = serve("responses", "-w", "1", transport=transport, environment=gates.environment).ready()
    client = Client(server)
    client.request("GET", "/gated")
    gates.expect("entered")
    server.signal(signal.SIGTERM)
    gates.release()
    response = client.getresponse()
    assert (response.status, response.read()) == (200, b"released")
    client.close()
    assert server.wait() == 0


def test_workers_leave_when_their_master_is_killed(serve, tmp_path, transport):
    write_app(tmp_path, "here")
    server = serve("site_app", "-w", "2", transport=transport).ready()
    server.process.kill()
    server.process.wait(DEADLINE)
    # `serve` itself fails when a worker has not left by its deadline.


def test_settings_from_the_file_of_variables_are_read_anew(serve, tmp_path):
    (tmp_path / "site_app.py").write_text(
        "import os\nTEXT = os.environ['GREETING'].encode()\n"
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [TEXT]\n"
    )
    (tmp_path / "app.env").write_text("GREETING=before\n")
    (tmp_path / "ferricorn.toml").write_text('[[app]]\ntarget = "site_app"\nenv_file = "app.env"\n')
    server = serve("-w", "1").ready()
    assert ask(server, "GET", "/").content == b"before"
    (tmp_path / "app.env").write_text("GREETING=after\n")
    server.reload("reload done")
    assert ask(server, "GET", "/").content == b"after"


def test_a_symbolic_link_to_the_release_is_followed_anew(serve, tmp_path):
    for release in ("one", "two"):
        (tmp_path / release).mkdir()
        write_app(tmp_path / release, release)
    # Only the release that is left has it: it must not be found any more.
    (tmp_path / "one" / "left_behind.py").write_text("")
    current = tmp_path / "current"
    current.symlink_to("one")
    server = serve("site_app", "-w", "2", directory=current, environment={"PWD": str(current)}).ready()
    assert ask(server, "GET", "/").content == b"one"
    current.unlink()
    current.symlink_to("two")
    probing = "import importlib.util\nassert importlib.util.find_spec('left_behind') is None, 'found'\n"
    write_app(tmp_path / "two", "two", probing)
    server.reload(r"reload done: generation 2\b")
    assert ask(server, "GET", "/").content == b"two"


def test_the_check_command_is_that_of_the_virtual_environment(serve, tmp_path):
    write_app(tmp_path, "checked")
    command = "import ferricorn, os, sys; sys.exit(os.environ['COLOUR'] or None)"
    (tmp_path / "ferricorn.toml").write_text(
        f'[workers]\ncheck_command = ["python", "-c", "{command}"]\n[[app]]\ntarget = "site_app"\nenv = {{ COLOUR = "" }}\n'
    )
    # Nothing but the system's own programs: the server finds those beside its own interpreter.
    server = serve("-w", "1", environment={"PATH": "/usr/bin:/bin"}).ready()
    assert ask(server, "GET", "/").content == b"checked"
    text = (tmp_path / "ferricorn.toml").read_text()
    (tmp_path / "ferricorn.toml").write_text(text.replace('COLOUR = ""', 'COLOUR = "no red"'))
    server.reload("reload failed: generation 1 goes on serving; the check command failed: python -c .*: exit status 1")
    server.log.wait_for(r"\| no red")
    assert ask(server, "GET", "/").content == b"checked"
