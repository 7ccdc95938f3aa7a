"""A worker is a Python process like others: signals, forks, threads, exit handlers, output, hooks, code that site runs."""

import contextlib
import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from support.client import Client, ask, exchange
from support.server import DEADLINE


@pytest.fixture
def server(serve, gates):
    """One worker."""
    return serve("process", "-w", "1", environment=gates.environment).ready()


def told(server, target):
    """What the app answers."""
    answer = ask(server, "GET", target)
    assert answer.status == 200, answer
    return json.loads(answer.content)


def eventually(condition):
    """Waits until it holds; an error past the deadline."""
    limit = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < limit, "it never came true"
        os.sched_yield()


def children(server):
    """The processes of the master, by their names."""
    master = server.process.pid
    pids = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return {name_of(pid): int(pid) for pid in pids}


def name_of(pid):
    """What ps(1) shows; empty for a process that has just been reaped."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def test_a_handler_runs_while_the_worker_is_idle(server, gates):
    pid = told(server, "/handlers?SIGWINCH,SIGPOLL")
    for number in (signal.SIGWINCH, signal.SIGPOLL, signal.SIGWINCH):
        os.kill(pid, number)
        gates.expect(f"signal {int(number)}")
    assert told(server, "/main")["pid"] == pid


def test_a_timer_of_the_app_runs_its_handler(server, gates):
    pid = told(server, "/alarm")
    gates.expect(f"signal {int(signal.SIGALRM)}")
    assert told(server, "/main")["pid"] == pid


def test_a_handler_that_fails_is_in_the_log_and_costs_nothing(server):
    pid = told(server, "/failing_handler")
    os.kill(pid, signal.SIGWINCH)
    server.log.wait_for("a signal handler of the app failed")
    server.log.wait_for("fails on purpose in a handler")
    assert told(server, "/main")["pid"] == pid


def test_signals_of_the_server_stay_the_servers(serve, gates):
    """Whatever an app makes of them at a request, the next beat takes them back."""
    environment = {**gates.environment, "FERRICORN_TIMEOUTS_HEARTBEAT": "10s"}
    server = serve("process", "-w", "1", environment=environment).ready()
    pid = told(server, "/ignore")
    server.log.wait_for("an app has set handlers for SIGTERM, SIGINT, SIGHUP, SIGUSR1, which stay the server's")
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT, signal.SIGUSR2, signal.SIGQUIT):
        os.kill(pid, number)
    assert told(server, "/main")["pid"] == pid
    # A worker that is told to end asks for a successor first.
    os.kill(pid, signal.SIGTERM)
    server.log.wait_for("worker ready", count=2)
    assert server.stop() == 0


def test_handlers_that_are_set_when_the_app_is_loaded_do_not_replace_the_servers(serve, tmp_path):
    (tmp_path / "loud.py").write_text(
        "import signal\nfor number in (signal.SIGTERM, signal.SIGHUP):\n    signal.signal(number, signal.SIG_DFL)\n"
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'here']\n"
    )
    server = serve("loud", "-w", "2").ready()
    server.log.wait_for("an app has set handlers for SIGTERM, SIGHUP")
    server.reload()
    os.killpg(server.process.pid, signal.SIGHUP)  # As a terminal does that is closed.
    server.log.wait_for("generation 3")
    assert ask(server, "GET", "/").content == b"here"
    os.killpg(server.process.pid, signal.SIGTERM)  # As a service manager does.
    assert server.wait() == 0
    assert "crashed" not in server.log.text()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_works_in_an_app(server, method):
    assert told(server, f"/pool?{method}") == [2, 4, 6]
    assert told(server, "/main")["argv"][1] == "serve"
    assert server.stop() == 0


def test_an_asgi_app_can_fork_a_pool(serve, tmp_path):
    (tmp_path / "forking.py").write_text(
        "import multiprocessing\n"
        "async def application(scope, receive, send):\n"
        "    with multiprocessing.get_context('fork').Pool(2) as processes:\n"
        "        content = repr(processes.map(abs, [-1, 2, -3])).encode()\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': content})\n"
    )
    server = serve("forking", "-w", "1", "--interface", "asgi").ready()
    for _ in range(2):
        assert ask(server, "GET", "/").content == b"[1, 2, 3]"
    assert server.stop() == 0


FORKS_AND_RETURNS = """
import asyncio
import os

async def application(scope, receive, send):
    if scope["path"] == "/later":
        await asyncio.sleep(0)
    child = os.fork()
    content = b"%d" % os.waitpid(child, 0)[1] if child else b"the child"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": content})
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_child_of_an_asgi_app_ends_where_it_comes_back_to_the_server(serve, tmp_path, loop):
    """In the first step of a request, and in a later one, which the event loop has taken."""
    (tmp_path / "forking.py").write_text(FORKS_AND_RETURNS)
    server = serve("forking", "-w", "1", "--interface", "asgi", "--asgi-loop", loop).ready()
    client = Client(server)
    for path in ("/at_once", "/later") * 2:
        assert client.ask("GET", path).content == b"0"
    client.close()
    assert server.stop() == 0
    assert "fatal" not in server.log.text()


def test_subprocess_and_thread_pools_work_in_an_app(server):
    assert told(server, "/run") == "from a child\n"
    assert told(server, "/executor") == [2, 4, 6]


def test_a_process_that_the_app_forks_has_none_of_the_servers_connections(server, gates):
    """Its parent's connection ends when the parent closes it, and its address is free when the server has ended."""
    raw = exchange(server, b"GET /forks HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    gates.expect("forked")
    child = int(raw.rpartition(b"\r\n")[2])
    sockets = [os.readlink(f"/proc/{child}/fd/{number}") for number in os.listdir(f"/proc/{child}/fd")]
    ours = sockets_at(server.port)
    assert not [name for name in sockets if name[len("socket:[") : -1] in ours]
    gates.release()
    gates.expect("let go")


def sockets_at(port):
    """The listening sockets and connections of a port, by their inodes."""
    with open("/proc/net/tcp") as table:
        return {line.split()[9] for line in table if f":{port:04X} " in line.split()[1] + " "}


FORKS_AT_IMPORT = """
import os
import gates

CHILD = os.fork()
if CHILD == 0:
    gates.say("forked")
    gates.wait()
    os._exit(0)
COMES_BACK = os.fork()
if COMES_BACK:
    os.waitpid(COMES_BACK, 0)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(CHILD).encode()]
"""


@pytest.mark.parametrize("preload", ["false", "true"])
def test_a_process_that_is_forked_at_import_has_nothing_of_the_servers(serve, tmp_path, gates, preload):
    """No socket, so that its address is free when the server has ended; and it does not go on as a second worker."""
    (tmp_path / "forks_at_import.py").write_text(FORKS_AT_IMPORT)
    environment = {**gates.environment, "FERRICORN_WORKERS_PRELOAD": preload}
    server = serve("forks_at_import", "-w", "1", environment=environment).ready()
    gates.expect("forked")
    child = int(ask(server, "GET", "/").content)
    sockets = [os.readlink(f"/proc/{child}/fd/{number}") for number in os.listdir(f"/proc/{child}/fd")]
    inodes = {name[len("socket:[") : -1] for name in sockets if name.startswith("socket:[")}
    assert not inodes & sockets_at(server.port)
    server.signal(signal.SIGTERM)
    # Not to the end of its output, which the child keeps open.
    assert server.process.wait(DEADLINE) == 0
    assert os.path.exists(f"/proc/{child}")
    with pytest.raises(ConnectionRefusedError):
        server.connect()
    gates.release()


def test_a_childs_child_has_what_the_child_has_opened(server):
    assert told(server, "/forks_twice") == 0


def test_a_forked_child_that_comes_back_to_the_server_ends(server):
    pid = told(server, "/main")["pid"]
    client = Client(server)
    for _ in range(3):
        assert json.loads(client.ask("GET", "/forks_and_returns").content) == pid
    client.close()


def test_signals_end_a_process_that_the_app_forks(server):
    """However soon they come, and its worker goes on."""
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2] * 5
    pid = told(server, "/main")["pid"]
    assert told(server, "/ends_children?" + ",".join(number.name for number in numbers)) == numbers
    os.kill(pid, signal.SIGHUP)
    assert told(server, "/main")["pid"] == pid


def test_a_worker_without_threads_of_its_app_ends_at_once(serve, gates):
    """Within the two seconds that it has after its limits, of which there is nothing left."""
    environment = {**gates.environment, "FERRICORN_TIMEOUTS_GRACEFUL": "0s"}
    server = serve("process", "-w", "1", environment=environment).ready()
    told(server, "/exit_handler")
    told(server, "/thread_callbacks")
    assert server.stop() == 0
    for said in ("first", "last", "exit handler"):
        gates.expect(said)
    assert "killed" not in server.log.text()


def test_exit_handlers_run_where_no_thread_can_be_begun(serve, gates):
    server = serve("process", "-w", "1", environment=gates.environment).ready()
    told(server, "/no_more_threads")
    assert server.stop() == 0
    gates.expect("exit handler")
    server.log.wait_for("the worker ends without waiting for threads of its apps")
    server.log.wait_for("can't start new thread")


def test_a_worker_whose_threading_is_another_ends_at_once(serve, tmp_path):
    """As eventlet's `monkey_patch()` leaves it."""
    (tmp_path / "green.py").write_text(
        "import threading\n"
        "threading.main_thread = object\n"
        "threading._shutdown = threading.Event().wait\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'served']\n"
    )
    server = serve("green", "-w", "1").ready()
    assert ask(server, "GET", "/").content == b"served"
    assert server.stop() == 0
    assert "threads of its apps that go on" not in server.log.text()


def test_an_apps_threads_and_exit_handlers_end_before_the_worker(server, gates):
    told(server, "/exit_handler")
    told(server, "/leaves_threads")
    server.signal(signal.SIGTERM)
    gates.release()
    gates.expect("thread has ended")
    gates.expect("exit handler")
    assert server.wait() == 0


def test_a_thread_that_never_ends_is_named_and_left(serve, gates):
    """In time for the exit handlers: however short the limits are, the worker is not killed over it."""
    environment = {**gates.environment, "FERRICORN_TIMEOUTS_GRACEFUL": "0s"}
    server = serve("process", "-w", "1", environment=environment).ready()
    told(server, "/exit_handler")
    told(server, "/stuck_thread")
    assert server.stop() == 0
    gates.expect("exit handler")
    assert re.search(r"without threads of its apps that go on after [01](\.\d)? s: never ends", server.log.text())
    assert "killed" not in server.log.text()


def test_what_an_app_prints_is_left_alone(server):
    told(server, "/prints")
    server.log.wait_for("^to standard output$")
    server.log.wait_for("^to standard error$")


def test_what_an_app_prints_goes_to_the_error_log_if_that_is_asked_for(serve, gates):
    server = serve("process", "-w", "1", "--capture-output", environment=gates.environment).ready()
    told(server, "/prints")
    server.log.wait_for(r" INFO  \[\d+\] to standard output stream=stdout slot=1$")
    server.log.wait_for(r" WARN  \[\d+\] to standard error stream=stderr slot=1$")
    assert told(server, "/run") == "from a child\n"


@pytest.mark.parametrize("preload", [(), ("--preload",)])
def test_hooks_are_called_where_they_belong(serve, tmp_path, gates, preload):
    written = tmp_path / "hooks.log"
    hooks = "\n".join(f'{name} = "site_hooks:note"' for name in ("when_ready", "post_fork", "worker_start", "worker_exit", "child_exit"))
    (tmp_path / "ferricorn.toml").write_text(f"[python.hooks]\n{hooks}\n")
    environment = {**gates.environment, "TEST_HOOKS": str(written)}
    server = serve("process", "-w", "1", *preload, environment=environment).ready()
    eventually(lambda: written.exists() and "when_ready" in written.read_text())
    first = server.workers()[1]
    os.kill(first, signal.SIGKILL)
    server.log.wait_for("worker ready", count=2)
    second = server.workers()[1]
    assert server.stop() == 0
    lines = written.read_text().splitlines()
    seen = [re.fullmatch(r"(\w+) slot=(\w+) generation=(\w+) pid=(\w+) reason=(.*) in=(\d+)", line).groups() for line in lines]
    workers = [entry for entry in seen if entry[0] in ("post_fork", "worker_start", "worker_exit")]
    assert [(name, int(pid), int(place)) for name, _, _, pid, _, place in workers] == [
        ("post_fork", first, first),
        ("worker_start", first, first),
        ("post_fork", second, second),
        ("worker_start", second, second),
        ("worker_exit", second, second),
    ]
    others = {entry[0]: entry for entry in seen if entry[0] == "when_ready"}
    assert others["when_ready"][1:5] == ("None", "None", "None", "None")
    exits = [entry for entry in seen if entry[0] == "child_exit"]
    assert [(int(pid), reason) for _, _, _, pid, reason, _ in exits] == [(first, "killed by SIGKILL"), (second, "exit status 0")]
    # No code of a site runs in the master.
    assert not [entry for entry in seen if int(entry[5]) == server.process.pid]


def test_a_hook_that_ends_before_the_admin_process_does_not_hold_up_the_end(serve, tmp_path, gates):
    written = tmp_path / "hooks.log"
    (tmp_path / "ferricorn.toml").write_text('[python.hooks]\nchild_exit = "site_hooks:note"\n')
    server = serve("process", "-w", "1", environment={**gates.environment, "TEST_HOOKS": str(written)}).ready()
    admin = children(server)["ferricorn-admin"]
    os.kill(admin, signal.SIGSTOP)
    server.signal(signal.SIGTERM)
    eventually(lambda: written.exists() and written.read_text().endswith("\n"))
    called_in = int(written.read_text().rpartition("in=")[2])
    eventually(lambda: called_in not in children(server).values())
    # On a busy machine the master may have ended it by now: it has a second to leave.
    with contextlib.suppress(ProcessLookupError):
        os.kill(admin, signal.SIGCONT)
    assert server.wait() == 0


def test_a_hook_that_hangs_at_the_end_is_ended_by_a_second_signal(serve, tmp_path, gates):
    (tmp_path / "ferricorn.toml").write_text('[python.hooks]\nchild_exit = "site_hooks:hang"\n')
    server = serve("process", "-w", "1", environment=gates.environment).ready()
    server.signal(signal.SIGTERM)
    server.log.wait_for("^the hook child_exit hangs$")
    eventually(lambda: list(children(server)) == ["ferricorn-hook"])
    server.signal(signal.SIGTERM)
    server.log.wait_for("the hook child_exit is ended: the server was told once more to stop")
    assert server.wait() == 0


def test_a_second_signal_that_comes_while_the_admin_process_leaves_ends_a_hook(serve, tmp_path, gates):
    (tmp_path / "ferricorn.toml").write_text('[python.hooks]\nchild_exit = "site_hooks:hang"\n')
    server = serve("process", "-w", "1", environment=gates.environment).ready()
    admin = children(server)["ferricorn-admin"]
    os.kill(admin, signal.SIGSTOP)
    server.signal(signal.SIGTERM)
    server.log.wait_for("^the hook child_exit hangs$")
    server.signal(signal.SIGTERM)
    with contextlib.suppress(ProcessLookupError):
        os.kill(admin, signal.SIGCONT)
    server.log.wait_for("the hook child_exit is ended: the server was told once more to stop")
    assert server.wait() == 0


def test_a_hook_that_fails_before_the_worker_is_ready_fails_the_start(serve, tmp_path):
    (tmp_path / "ferricorn.toml").write_text('[python.hooks]\nworker_start = "site_hooks:fail"\n')
    server = serve("process", "-w", "1")
    assert server.wait() == 3
    assert "site_hooks:fail raised an exception" in server.log.text()
    assert "fails on purpose in a hook" in server.log.text()


def test_a_hook_that_fails_elsewhere_is_in_the_log(serve, tmp_path):
    (tmp_path / "ferricorn.toml").write_text('[python.hooks]\nwhen_ready = "site_hooks:fail"\n')
    server = serve("process", "-w", "1").ready()
    server.log.wait_for("the hook when_ready failed")
    assert told(server, "/main")
    assert server.stop() == 0


SITE = """
import os, threading
threading.Thread(target=threading.Event().wait, name="tracer", daemon=True).start()
# As opentelemetry-instrument does.
os.environ["PYTHONPATH"] = ""
"""


@pytest.mark.parametrize("preload", [(), ("--preload",)])
def test_threads_that_site_begins_run_in_workers(serve, tmp_path, gates, preload):
    (tmp_path / "customised").mkdir()
    (tmp_path / "customised" / "sitecustomize.py").write_text(SITE)
    (tmp_path / "traced.py").write_text(
        "import os, threading\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    alive = [thread.name for thread in threading.enumerate() if thread.is_alive()]\n"
        "    return [repr((alive, len(os.listdir(f'/proc/{os.getppid()}/task')))).encode()]\n"
    )
    environment = {**gates.environment, "PYTHONPATH": str(tmp_path / "customised")}
    server = serve("traced", "-w", "1", *preload, environment=environment).ready()
    answer = ask(server, "GET", "/").content.decode()
    if preload:
        server.log.wait_for("the thread 'tracer'")
        assert "1)" in answer
    else:
        assert "tracer" in answer and answer.endswith(", 1)")
    server.reload()
    assert ask(server, "GET", "/").status == 200
    assert server.stop() == 0


@pytest.mark.parametrize("app", ["wsgi", "asgi"])
def test_content_that_memory_does_not_hold_is_an_error_of_memory(serve, tmp_path, app):
    (tmp_path / "ferricorn.toml").write_text('[limits]\nbody_memory = "16 MiB"\n')
    server = serve(f"short_of_memory:{app}", "-w", "1").ready()
    assert ask(server, "POST", "/", bytes(12 << 20)).status == 507
    assert "panicked" not in server.log.text()
