"""`ferricorn ctl` of the wheel, with apps whose loading takes as long as the test wants or fails."""

import json
import os
import signal
import subprocess

import pytest

from support.client import Load, ask
from support.server import DEADLINE, FERRICORN, clean_environment

APP = """
{importing}
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [{text!r}]
"""
WAITS = "import gates; gates.say('loading'); gates.wait()"


def write_app(directory, text, importing=""):
    """The app as of now; replaced in one step, as a deployment would."""
    fresh = directory / "site_app.py.new"
    fresh.write_text(APP.format(importing=importing, text=text.encode()))
    os.replace(fresh, directory / "site_app.py")


def start(server, *arguments):
    """`ferricorn ctl` for this server."""
    return subprocess.Popen(
        [FERRICORN, "ctl", "--pid", str(server.process.pid), *arguments],
        env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )


def outcome(process):
    """Exit code, output and complaint of a command that ends by itself."""
    output, complaint = process.communicate(timeout=DEADLINE)
    return process.returncode, output, complaint


def ctl(server, *arguments):
    """The same for a command of which nothing else is wanted."""
    return outcome(start(server, *arguments))


def test_broken_code_is_told_with_its_traceback(serve, tmp_path):
    write_app(tmp_path, "old")
    server = serve("site_app", "-w", "2").ready()
    with Load(server) as load:
        write_app(tmp_path, "never", "raise RuntimeError('broken on purpose')")
        code, output, complaint = ctl(server, "reload", "--wait")
        load.more()
    assert (code, output, load.failures) == (1, "", [])
    lines = complaint.splitlines()
    assert lines[0].startswith("error: cannot import site_app")
    assert any("Traceback (most recent call last)" in line for line in lines)
    assert lines[-1].strip() == "RuntimeError: broken on purpose"
    assert ask(server, "GET", "/").content == b"old"
    state = json.loads(ctl(server, "status", "--json")[1])
    assert state["state"] == "degraded" and "broken on purpose" in state["trouble"]
    write_app(tmp_path, "new")
    assert ctl(server, "reload", "--wait") == (0, "generation 3\n", "")
    assert ask(server, "GET", "/").content == b"new"


def test_two_who_reload_are_told_of_the_generation_that_has_their_change(serve, tmp_path, gates):
    write_app(tmp_path, "old")
    server = serve("site_app", "-w", "1", environment=gates.environment).ready()
    write_app(tmp_path, "first", WAITS)
    first = start(server, "reload", "--wait")
    gates.expect("loading")
    # The first one's code is being loaded: this one comes too late for it.
    write_app(tmp_path, "never", "raise RuntimeError('broken on purpose')")
    second = start(server, "reload", "--wait")
    server.log.wait_for("reload follows when the present start is done")
    assert json.loads(ctl(server, "status", "--json")[1])["state"] == "reloading"
    gates.release()
    assert outcome(first) == (0, "generation 2\n", "")
    code, _, complaint = outcome(second)
    assert code == 1 and "broken on purpose" in complaint
    assert ask(server, "GET", "/").content == b"first"


@pytest.mark.parametrize("how", ["signal", "command"])
def test_stop_during_a_reload_ends_it_and_says_so(serve, tmp_path, gates, how):
    write_app(tmp_path, "old")
    server = serve("site_app", "-w", "1", environment=gates.environment).ready()
    write_app(tmp_path, "never", WAITS)
    waiting = start(server, "reload", "--wait")
    gates.expect("loading")
    if how == "signal":
        server.signal(signal.SIGTERM)
    else:
        assert ctl(server, "stop", "--wait") == (0, "the server has ended\n", "")
    assert outcome(waiting) == (1, "", "error: the server is stopping\n")
    assert server.wait() == 0


def test_who_waits_is_told_when_nobody_can_tell_the_outcome(serve, tmp_path, gates):
    write_app(tmp_path, "old")
    server = serve("site_app", "-w", "1", environment=gates.environment).ready()
    write_app(tmp_path, "new", WAITS)
    waiting = start(server, "reload", "--wait")
    gates.expect("loading")
    master = server.process.pid
    with open(f"/proc/{master}/task/{master}/children") as children:
        # The admin process is forked before all workers.
        os.kill(min(map(int, children.read().split())), signal.SIGKILL)
    code, _, complaint = outcome(waiting)
    assert code == 1 and "ended before the outcome was known" in complaint
    gates.release()
    server.log.wait_for("reload done: generation 2")
    assert json.loads(ctl(server, "status", "--json")[1])["generation"] == 2


def test_wait_has_an_end(serve, tmp_path, gates):
    write_app(tmp_path, "old")
    server = serve("site_app", "-w", "1", environment=gates.environment).ready()
    write_app(tmp_path, "late", WAITS)
    code, _, complaint = ctl(server, "reload", "--wait", "--timeout", "1")
    assert code == 1 and "no answer in time (--timeout)" in complaint
    gates.expect("loading")
    gates.release()
    server.log.wait_for("reload done: generation 2")


def test_start_can_be_watched(serve, tmp_path, gates):
    write_app(tmp_path, "slow", WAITS)
    server = serve("site_app", "-w", "1", environment=gates.environment)
    gates.expect("loading")
    state = json.loads(ctl(server, "status", "--json")[1])
    assert (state["state"], state["ready"], state["workers_ready"]) == ("starting", False, 0)
    gates.release()
    server.ready()
    assert json.loads(ctl(server, "status", "--json")[1])["ready"]


def test_a_stop_by_the_place_is_waited_for_to_the_end(serve, tmp_path, gates):
    """The socket goes before the server's last hooks have ended."""
    (tmp_path / "ferricorn.toml").write_text('[admin]\nsocket = "own.sock"\n[python.hooks]\nchild_exit = "site_hooks:hang"\n')
    server = serve("process", "-w", "1", environment=gates.environment).ready()
    stop = [FERRICORN, "ctl", "--socket", str(tmp_path / "own.sock"), "--timeout", "1", "stop"]
    assert subprocess.run(stop, capture_output=True, timeout=DEADLINE).returncode == 1
    server.log.wait_for("^the hook child_exit hangs$")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
