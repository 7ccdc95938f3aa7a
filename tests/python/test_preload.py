"""Preloading: one process loads the apps and forks the workers; reloads, crashes and broken code all the same."""

import json
import os
import signal

import pytest
from test_ctl import ctl
from test_django import bearer, tokens

from support.client import Load, ask

APP = """
import json, os, random, time
LOADED_BY = os.getpid()
{importing}
def make():
    factory = os.getpid()
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        told = dict(
            text={text!r}, pid=os.getpid(), parent=os.getppid(), loaded_by=LOADED_BY, factory=factory, random=random.random()
        )
        return [json.dumps(told).encode()]
    return app
application = make()
"""


def write_app(directory, text, importing=""):
    """The app as of now; replaced in one step, as a deployment would."""
    fresh = directory / "site_app.py.new"
    fresh.write_text(APP.format(importing=importing, text=text))
    os.replace(fresh, directory / "site_app.py")


def told(server):
    """What each worker says of itself, by its process."""
    found = {}
    while len(found) < len(server.workers()):
        answer = json.loads(ask(server, "GET", "/").content)
        found.setdefault(answer["pid"], answer)
    return found


def kill_worker(server, slot=1):
    """SIGKILL to a slot's worker; returns when its successor serves."""
    since = server.log.position()
    os.kill(server.workers()[slot], signal.SIGKILL)
    server.log.wait_for(rf"worker ready.*slot={slot}\b", since)


def mold(server):
    """The process that has loaded what the workers serve."""
    return json.loads(ask(server, "GET", "/").content)["loaded_by"]


@pytest.mark.parametrize("target", ["site_app", "site_app:make()"])
def test_workers_are_the_masters_children_and_share_what_one_process_has_loaded(serve, tmp_path, target):
    write_app(tmp_path, "here")
    server = serve(target, "-w", "3", "--preload").ready()
    workers = told(server)
    assert sorted(workers) == sorted(server.workers().values())
    assert {worker["parent"] for worker in workers.values()} == {server.process.pid}
    loaders = {(worker["loaded_by"], worker["factory"]) for worker in workers.values()}
    assert len(loaders) == 1, "loaded more than once"
    assert not loaders & {(pid, pid) for pid in [server.process.pid, *workers]}
    # Python's own generator is seeded anew after a fork.
    assert len({worker["random"] for worker in workers.values()}) == 3
    assert server.stop() == 0


def test_a_reload_takes_new_code_and_loses_nothing(serve, tmp_path, transport):
    write_app(tmp_path, "version 1")
    server = serve("site_app", "-w", "2", "--preload", transport=transport).ready()
    with Load(server) as load:
        for generation in range(2, 5):
            write_app(tmp_path, f"version {generation}")
            server.reload(rf"reload done: generation {generation}\b")
            load.more()
    assert load.failures == []
    assert {worker["text"] for worker in told(server).values()} == {"version 4"}


def test_broken_code_and_twenty_kills_and_recycling_keep_the_pool_at_full_strength(serve, tmp_path, transport):
    write_app(tmp_path, "old")
    workers, clients, kills = 4, 4, 20
    arguments = ["-w", str(workers), "--preload", "--max-requests", "300", "--max-requests-jitter", "100"]
    server = serve("site_app", *arguments, transport=transport).ready()
    with Load(server, clients=clients) as load:
        write_app(tmp_path, "never", "raise RuntimeError('broken on purpose')")
        server.reload("reload failed: generation 1 goes on serving")
        since = server.log.position()
        assert "broken on purpose" in server.log.text()
        for count in range(kills):
            kill_worker(server, 1 + count % workers)
            load.more()
        server.log.wait_for("worker left", since)
        load.more()
    assert len(load.failures) <= clients * kills
    assert not any("Refused" in failure or "status" in failure for failure in load.failures), load.failures
    after = "\n".join(server.log.lines[since:])
    assert "worker did not start" not in after and "serves on" not in after
    assert {worker["text"] for worker in told(server).values()} == {"old"}
    write_app(tmp_path, "mended")
    server.reload("reload done")
    assert {worker["text"] for worker in told(server).values()} == {"mended"}


def test_a_dead_mold_is_replaced_before_a_worker_needs_it(serve, tmp_path):
    write_app(tmp_path, "old")
    server = serve("site_app", "-w", "2", "--preload").ready()
    before = mold(server)
    since = len(server.log.lines)
    (tmp_path / "site_app.py").write_text("raise RuntimeError('broken on disk')\n")
    os.kill(before, signal.SIGKILL)
    server.log.wait_for("mold ended: killed by SIGKILL", since)
    # It is tried at once; the workers do without it.
    server.log.wait_for("mold did not load the apps, another try follows", since)
    assert json.loads(ctl(server, "status", "--json")[1])["mold"] == "gone"
    assert {worker["text"] for worker in told(server).values()} == {"old"}
    write_app(tmp_path, "what lies on disk now")
    kill_worker(server)
    new = told(server)[server.workers()[1]]
    assert (new["text"], new["loaded_by"] == before) == ("what lies on disk now", False)
    assert server.stop() == 0


def test_parts_of_django_without_a_project_are_left_alone(serve, tmp_path):
    """Libraries import them where Django is installed."""
    write_app(tmp_path, "no project", "import django.conf, django.db")
    server = serve("site_app", "-w", "1", "--preload").ready()
    assert {worker["text"] for worker in told(server).values()} == {"no project"}


def test_a_start_whose_app_does_not_load_ends_with_its_traceback(serve, tmp_path):
    write_app(tmp_path, "never", "raise RuntimeError('broken on purpose')")
    server = serve("site_app", "-w", "2", "--preload")
    assert server.wait() == 3
    assert "the app did not load: cannot import site_app" in server.log.text()
    assert "RuntimeError: broken on purpose" in server.log.text()


def test_a_slot_that_is_added_is_filled_by_the_mold(serve, tmp_path):
    write_app(tmp_path, "here")
    (tmp_path / "ferricorn.toml").write_text("[workers]\npreload = true\n")
    server = serve("site_app", "-w", "1").ready()
    server.signal(signal.SIGTTIN)
    server.log.wait_for("worker ready.*slot=2")
    assert len(told(server)) == 2


STRAYS = """
import select, socket, threading
def tick(event=threading.Event()):
    event.wait()
threading.Thread(target=tick, name="ticker", daemon=True).start()
ends = socket.socketpair()
listener = socket.create_server(("127.0.0.1", 0))
connection = socket.create_connection(listener.getsockname())
harmless = socket.socket(type=socket.SOCK_DGRAM)
loop = select.epoll()
"""


def named(text, directory):
    """What a message about strays has to name."""
    place = rf"site_app ({directory}/site_app.py:"
    assert f"the thread 'ticker' running site_app.tick, begun by {place}" in text
    assert f"a connection to 127.0.0.1:" in text and f"opened by {place}" in text
    assert "a listening socket at 127.0.0.1:" in text
    assert "an event loop's descriptor (epoll)" in text
    assert "register_at_fork" in text


def test_threads_and_connections_that_do_not_survive_are_named(serve, tmp_path):
    write_app(tmp_path, "here", STRAYS)
    server = serve("site_app", "-w", "2", "--preload").ready()
    line = server.log.wait_for("preload: what the apps have begun .*")[0][0]
    named(line, tmp_path)
    assert len(told(server)) == 2
    assert server.stop() == 0


def test_strict_refuses_to_start_with_them_and_starts_without(serve, tmp_path):
    write_app(tmp_path, "here", STRAYS)
    server = serve("site_app", "-w", "2", "--preload=strict")
    assert server.wait() == 1
    named(server.log.wait_for("the workers did not start: preload: .*")[0][0], tmp_path)
    write_app(tmp_path, "here")
    server = serve("site_app", "-w", "2", "--preload=strict").ready()
    assert len(told(server)) == 2
    assert "preload:" not in server.log.text()


def test_strict_refuses_an_upgrade_to_what_it_would_not_start_with(serve, tmp_path):
    write_app(tmp_path, "old")
    server = serve("site_app", "-w", "2", "--preload=strict").ready()
    before = told(server)
    with Load(server) as load:
        write_app(tmp_path, "never", STRAYS)
        code, _, complaint = ctl(server, "upgrade", "--wait")
        assert code == 1
        named(complaint, tmp_path)
        load.more()
        assert told(server).keys() == before.keys()
        write_app(tmp_path, "mended")
        assert ctl(server, "upgrade", "--wait")[0] == 0
        load.more()
    assert load.failures == []
    assert {worker["text"] for worker in told(server).values()} == {"mended"}


def test_the_loading_leaves_no_trace_in_threading_and_socket(serve, tmp_path):
    checking = "import socket, threading\nPATCHED = threading.Thread.start, socket.socket.__init__\n"
    write_app(tmp_path, "here", checking)
    body = (tmp_path / "site_app.py").read_text()
    probe = "[hasattr(threading.Thread.start, '__wrapped__'), hasattr(socket.socket.__init__, '__wrapped__')]"
    at_load = "[hasattr(method, '__wrapped__') for method in PATCHED]"
    (tmp_path / "site_app.py").write_text(body.replace("'here'", f"{at_load} + {probe}"))
    server = serve("site_app", "-w", "1", "--preload").ready()
    assert json.loads(ask(server, "GET", "/").content)["text"] == [True, True, False, False]


def test_a_django_projects_views_are_loaded_before_the_fork(serve, site):
    (site / "who_loads.py").write_text(
        "import os, sys\nfrom demo.wsgi import application as site\n"
        "def application(environ, start_response):\n"
        "    if environ['PATH_INFO'] != '/who-loads':\n        return site(environ, start_response)\n"
        "    start_response('200 OK', [])\n"
        "    return [str('demo.urls' in sys.modules).encode()]\n"
    )
    server = serve("who_loads", "-w", "2", "--preload=strict", directory=site).ready()
    assert ask(server, "GET", "/who-loads").content == b"True"


IMPORTED_LATE = """
import json, os, sys
from demo.wsgi import application as site
LOADED = set()
os.register_at_fork(after_in_child=lambda: LOADED.update(sys.modules))

def application(environ, start_response):
    if environ["PATH_INFO"] != "/imported-late":
        return site(environ, start_response)
    start_response("200 OK", [])
    return [json.dumps(sorted(set(sys.modules) - LOADED)).encode()]
"""


def test_a_django_projects_first_requests_import_nothing(serve, site):
    (site / "imported_late.py").write_text(IMPORTED_LATE)
    server = serve("imported_late", "-w", "1", "--preload=strict", directory=site).ready()
    fields = bearer(tokens(server, site)["access"])
    for path in ("/", "/admin/login/", "/api/me", "/api/notes/"):
        assert ask(server, "GET", path, fields=fields).status == 200, path
    late = json.loads(ask(server, "GET", "/imported-late").content)
    # What the server itself has a look with.
    assert [name for name in late if not name.startswith("ferricorn")] == []


BARE_SITE = {
    "bare_settings": """
SECRET_KEY, ROOT_URLCONF, ALLOWED_HOSTS = "secret", "bare_urls", ["*"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
AUTHENTICATION_BACKENDS = ["ending.Backend", "failing.Backend", "loaded.Backend"]
# Of apps that the project does not have: nothing ever looks for them.
SESSION_ENGINE = MESSAGE_STORAGE = "unwanted.Storage"
TEMPLATES = [{"BACKEND": "no.such.Backend"}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}, "other": {"ENGINE": "no.such"}}
""",
    "ending": "raise SystemExit(3)",
    "failing": "1 / 0",
    "loaded": "",
    "unwanted": "",
    "bare_urls": """
import sys
from django.db import connections
from django.http import JsonResponse
from django.urls import path
from django.utils.translation import trans_real

def state(request):
    return JsonResponse({
        "loaded": sorted({"ending", "failing", "loaded", "unwanted"} & set(sys.modules)),
        "language": getattr(trans_real._active, "value", None) is not None,
        "open": [one.alias for one in connections.all(initialized_only=True) if one.connection is not None],
    })

urlpatterns = [path("state", state)]
""",
    "bare_site": """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "bare_settings"
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
""",
}


def test_what_a_django_project_does_ahead_breaks_none_and_leaves_no_trace(serve, tmp_path):
    for name, text in BARE_SITE.items():
        (tmp_path / f"{name}.py").write_text(text)
    server = serve("bare_site", "-w", "1", "--preload=strict").ready()
    told = json.loads(ask(server, "GET", "/state").content)
    assert told == {"loaded": ["loaded"], "language": False, "open": []}
    assert not (tmp_path / "db.sqlite3").exists()
    assert "Error" not in server.log.text()


def test_stuck_forks_end_with_the_mold(serve, tmp_path):
    # The hook runs in the mold, before each fork: from the second one on it never returns.
    hook = "forks = []\ndef before():\n    forks.append(1)\n    while len(forks) > 1: time.sleep(60)\nos.register_at_fork(before=before)"
    write_app(tmp_path, "stuck", hook)
    environment = {"FERRICORN_TIMEOUTS_BOOT": "3s"}
    server = serve("site_app", "-w", "1", "--preload", environment=environment).ready()
    since = server.log.position()
    os.kill(server.workers()[1], signal.SIGKILL)
    server.log.wait_for("mold killed: it did not fork a worker in time", since)
    # The next mold has a first fork again.
    server.log.wait_for("worker ready", since)
    assert ask(server, "GET", "/").status == 200


def test_what_hangs_in_a_new_worker_is_killed(serve, tmp_path):
    flag = tmp_path / "hang"
    hook = f"def child():\n    while os.path.exists({str(flag)!r}): time.sleep(0.05)\nos.register_at_fork(after_in_child=child)"
    write_app(tmp_path, "hanging", hook)
    environment = {"FERRICORN_TIMEOUTS_BOOT": "3s"}
    server = serve("site_app", "-w", "2", "--preload", environment=environment).ready()
    flag.touch()
    since = server.log.position()
    os.kill(server.workers()[1], signal.SIGKILL)
    server.log.wait_for("worker killed: it was not ready in time", since)
    assert ask(server, "GET", "/").status == 200
    flag.unlink()
    server.log.wait_for(r"worker ready.*slot=1\b", since)


def test_preload_changes_nothing_for_native_apps(serve):
    server = serve("hello", "-w", "2", "--preload=strict").ready()
    assert ask(server, "GET", "/").status == 200
    assert "mold" not in server.log.text()
