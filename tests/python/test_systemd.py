"""The printed units under a real systemd, with the Django example in them."""

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import deployment
from support import machine as machines
from support.client import Load, ask

ROOT = Path(__file__).resolve().parent.parent.parent
SITE = Path("/srv/site")
PROGRAM = SITE / ".venv/bin/ferricorn"
USER = 64001
SOCKET = "/run/ferricorn/http.sock"
# The example behind a door of the test's: it fails, prints and writes when asked to.
WRAPPED = """
import json
import os
from demo.wsgi import application as django

def answer(start_response, text):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/version":
        return answer(start_response, "VERSION")
    if path == "/raise":
        raise RuntimeError("raised on purpose")
    if path == "/print":
        print("printed by the app")
        return answer(start_response, "printed")
    if path == "/environ":
        return answer(start_response, json.dumps(dict(os.environ)))
    if path.startswith("/write"):
        try:
            with open(path[len("/write"):], "w"):
                return answer(start_response, "written")
        except OSError as error:
            return answer(start_response, os.strerror(error.errno))
    return django(environ, start_response)
"""


PLAIN = """
import os

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    with open(os.environ["STATE_DIRECTORY"] + "/written", "w") as file:
        file.write("here")
    return [str(os.getuid()).encode()]
"""


SIZES = itertools.count(10, 10)


def write_app(machine, version, broken=""):
    """The app as of now; replaced in one step, as a deployment would."""
    fresh = machine.path(SITE / "wrapped.py.new")
    # Python tells sources of one second by their size alone and would run the compiled code of the one before.
    padding = "#" * next(SIZES) + "\n"
    fresh.write_text(broken + WRAPPED.replace("VERSION", version) + padding)
    os.replace(fresh, machine.path(SITE / "wrapped.py"))


@pytest.fixture(scope="module")
def machine(prepared_site):
    """A systemd, and in it the example with a virtual environment and a user of its own."""
    machines.require()
    machine = machines.Machine()
    try:
        install(machine, prepared_site)
        yield machine
    finally:
        machine.close()


def install(machine, site):
    """What a deployment does, with the packages that are installed here."""
    deployment.add_user(machine, "ferricorn", USER, SITE)
    shutil.copytree(site, machine.path(SITE), ignore=shutil.ignore_patterns("__pycache__"))
    deployment.add_environment(machine, SITE)
    machine.run("chown", "-R", "ferricorn:ferricorn", SITE)


def print_units(machine, *arguments, app="wrapped:application", directory=SITE):
    """`ferricorn systemd` in the project's directory, into systemd's; what it says about it."""
    words = ("systemd", app, *arguments, "--output", "/etc/systemd/system")
    said = machine.run(PROGRAM, *words, directory=directory).stderr
    machine.run("systemctl", "daemon-reload")
    return said


@pytest.fixture
def site(machine):
    """The example as an installed service on a UNIX socket, not started."""
    write_app(machine, "one")
    print_units(machine, "--bind", f"unix:{SOCKET}")
    service = machines.Service(machine, "ferricorn", SOCKET)
    yield service
    print(f"---- journal of {service.name} ----\n{service.log.text()}")
    service.close()
    forget_drop_ins(service)


def drop_in(service, text):
    """Changes settings of a unit, as an administrator would."""
    override = service.machine.path(f"/etc/systemd/system/{service.name}.service.d/test.conf")
    override.parent.mkdir()
    override.write_text(text)
    service.machine.run("systemctl", "daemon-reload")


def forget_drop_ins(service):
    """The unit as it was printed."""
    shutil.rmtree(service.machine.path(f"/etc/systemd/system/{service.name}.service.d"), ignore_errors=True)


@pytest.fixture
def started(site):
    """The same, started."""
    site.systemctl("start")
    return site


def password(service):
    """The demo user's."""
    return service.machine.path(SITE / "secret/demo.password").read_text().strip()


def bearer(service):
    """The fields of somebody who has logged in."""
    account = {"username": "demo", "password": password(service)}
    answer = ask(service, "POST", "/api/token/", json.dumps(account), {"Content-Type": "application/json"})
    assert answer.status == 200, answer
    return {"Authorization": f"Bearer {json.loads(answer.content)['access']}"}


def exposure(machine, unit):
    """What systemd-analyze says of a unit file: 0 is best, 10 worst."""
    words = ("systemd-analyze", "security", "--offline=yes", "--no-pager", "--json=off", unit)
    last = machine.run(*words).stdout.strip().splitlines()[-1]
    return float(last.split(":", 1)[1].split()[0])


@pytest.mark.parametrize("arguments", [
    ["-b", f"unix:{SOCKET}"],
    ["-b", "0.0.0.0:80", "--dynamic-user"],
    ["-b", ":8000", "--socket", "--writable", "/srv/other place"],
], ids=["unix", "low-port", "socket"])
def test_printed_units_are_valid_and_closed(machine, arguments):
    write_app(machine, "one")
    machine.path("/srv/other place").mkdir(exist_ok=True)
    print_units(machine, "--name", "printed", *arguments)
    units = ["/etc/systemd/system/printed.service"]
    if "--socket" in arguments:
        units.append("/etc/systemd/system/printed.socket")
    verified = machine.run("systemd-analyze", "verify", *units)
    assert (verified.stdout, verified.stderr) == ("", "")
    assert exposure(machine, units[0]) <= 2.5
    text = machine.path(units[0]).read_text()
    assert f"WorkingDirectory={SITE}\n" in text
    assert f"ExecStart={PROGRAM} serve wrapped:application -b " in text
    assert f" --config {SITE}/ferricorn.toml\n" in text


def test_what_was_inferred_is_said(machine):
    write_app(machine, "one")
    said = print_units(machine, "--name", "printed", "-b", ":8000")
    assert f"User=ferricorn: it owns {SITE}" in said
    assert f"{SITE} is writable for DATABASES['default'] of the app at /, and the project's code with it" in said
    text = machine.path("/etc/systemd/system/printed.service").read_text()
    assert f"ReadWritePaths=-{SITE}\n" in text and "\nUser=ferricorn\n" in text
    write_app(machine, "one", broken="raise ValueError('cannot be imported')\n")
    said = print_units(machine, "--name", "printed", "-b", ":8000", "--user", "ferricorn")
    assert "is not known (ValueError: cannot be imported); name each such directory with --writable" in said


def test_units_of_the_repository_run_as_they_are(machine):
    for name in ("ferricorn.service", "ferricorn.socket"):
        shutil.copy(ROOT / "systemd" / name, machine.path("/etc/systemd/system"))
    machine.run("systemctl", "daemon-reload")
    assert exposure(machine, "/etc/systemd/system/ferricorn.service") <= 2.5
    verify = machine.run("systemd-analyze", "verify", *(f"/etc/systemd/system/ferricorn.{kind}" for kind in ("service", "socket")))
    assert (verify.stdout, verify.stderr) == ("", "")
    service = machines.Service(machine, "ferricorn", 8000)
    interpreter = Path(sys._base_executable).resolve()
    if interpreter.is_relative_to("/root") or interpreter.is_relative_to("/home"):
        # As `ferricorn systemd` would have it for such an interpreter.
        drop_in(service, "[Service]\nProtectHome=read-only\n")
    try:
        service.systemctl("start")
        assert b"<h1>Notes</h1>" in ask(service, "GET", "/").content
    finally:
        service.close()
        forget_drop_ins(service)


def test_started_service_is_ready_and_writes_where_it_may(started):
    # `systemctl start` has returned, so it has said READY=1.
    assert started.show("ActiveState") == "active"
    status = started.show("StatusText")
    assert status.startswith("2 of 2 workers ready, generation 1, "), status
    fields = bearer(started)
    made = ask(
        started, "POST", "/api/notes/", json.dumps({"title": "kept"}), {"Content-Type": "application/json", **fields}
    )
    assert made.status == 201, made
    # Large enough for a temporary file, of the server and of Django.
    content, boundary = os.urandom(5 << 20), os.urandom(16).hex()
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n\r\n'
    form = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    uploaded = ask(started, "POST", "/api/upload", form, {**fields, **kind})
    assert json.loads(uploaded.content)["sha256"] == hashlib.sha256(content).hexdigest()
    for path, expected in (
        ("/srv/site/new", b"written"),
        ("/tmp/new", b"written"),
        ("/var/lib/ferricorn/new", b"written"),
        ("/etc/new", b"Read-only file system"),
        ("/srv/new", b"Read-only file system"),
    ):
        assert ask(started, "GET", f"/write{path}").content == expected, path
    assert not started.machine.path("/tmp/new").exists()


def test_variables_for_the_master_reach_no_app(started):
    environ = json.loads(ask(started, "GET", "/environ").content)
    assert "INVOCATION_ID" in environ and "STATE_DIRECTORY" in environ
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS"} & set(environ)


def test_reload_changes_the_code_and_broken_code_changes_nothing(started):
    with Load(started, "/version") as load:
        write_app(started.machine, "two")
        started.systemctl("reload")
        started.log.wait_for(r"reload done: generation 2\b")
        load.more()
        assert ask(started, "GET", "/version").content == b"two"
        since = started.log.position()
        write_app(started.machine, "three", broken="raise ValueError('broken on purpose')\n")
        assert started.systemctl("reload", check=False).returncode != 0
        # Who asked is told why, and so is the journal.
        started.log.wait_for("error: cannot import wrapped", since)
        started.log.wait_for("reload failed", since)
        load.more()
        assert ask(started, "GET", "/version").content == b"two"
        status = started.systemctl("status", check=False).stdout
        assert "generation 2" in status and "reload failed: " in status and "broken on purpose" in status
        assert "ExecReload" in status and "status=1/FAILURE" in status
        assert started.show("ActiveState") == "active"
        write_app(started.machine, "four")
        started.systemctl("reload")
        started.log.wait_for(r"reload done: generation 4\b", since)
        load.more()
    assert load.failures == []
    assert ask(started, "GET", "/version").content == b"four"
    assert "failed" not in started.show("StatusText")


def install_module(service, length=None):
    """Another file in the place of the compiled module, as pip does it; or its beginning alone."""
    machine = service.machine
    (place,) = machine.path(SITE / ".venv").glob("lib/python*/site-packages/ferricorn/_ferricorn*.so")
    whole, fresh = place.with_suffix(".whole"), place.with_suffix(".fresh")
    if not whole.exists():
        shutil.copyfile(place, whole)
    shutil.copyfile(whole, fresh)
    if length is not None:
        os.truncate(fresh, length)
    os.replace(fresh, place)


def test_upgrade_keeps_the_main_process_and_what_is_broken_changes_nothing(started):
    master = started.show("MainPID")
    upgrade = (PROGRAM, "ctl", "upgrade", "--wait")
    with Load(started, "/version") as load:
        for generation in (2, 3):
            install_module(started)
            write_app(started.machine, f"version {generation}")
            assert started.machine.run(*upgrade).stdout == f"generation {generation}\n"
            assert ask(started, "GET", "/version").content == f"version {generation}".encode()
            assert (started.show("MainPID"), started.show("NRestarts")) == (master, "0")
            assert started.show("ActiveState") == "active"
            load.more()
        install_module(started, 1_000_000)
        # The command is of the same file, so it is a signal that asks.
        since = started.log.position()
        started.systemctl("kill", "--kill-whom=main", "--signal=USR2")
        started.log.wait_for("upgrade failed: this program goes on; ", since)
        assert "upgrade failed: " in started.show("StatusText")
        install_module(started)
        started.systemctl("reload")
        load.more()
        assert (started.show("MainPID"), started.show("NRestarts")) == (master, "0")
    assert load.failures == []


def test_restart_begins_anew(started):
    before = started.show("MainPID")
    started.systemctl("restart")
    assert started.show("MainPID") not in (before, "0")
    assert ask(started, "GET", "/version").status == 200


@pytest.fixture(params=["tcp", "unix"])
def kept(request, machine):
    """The example, started, with sockets that systemd keeps over a restart."""
    write_app(machine, "one")
    address = {"tcp": 8200, "unix": "/run/kept/http.sock"}[request.param]
    bind = f"unix:{address}" if request.param == "unix" else f"127.0.0.1:{address}"
    print_units(machine, "--bind", bind, "--name", "kept")
    service = machines.Service(machine, "kept", address)
    service.systemctl("start")
    yield service
    print(f"---- journal of {service.name} ----\n{service.log.text()}")
    service.close()
    forget_drop_ins(service)


def stored(service):
    """How many descriptors systemd holds for a service."""
    return int(service.show("NFileDescriptorStore"))


def test_restart_under_load_refuses_nobody(kept):
    slots = 1 if isinstance(kept.address, str) else 2
    assert stored(kept) == slots
    before = kept.show("MainPID")
    with Load(kept, "/version", kept=False) as load:
        for version in ("two", "three"):
            write_app(kept.machine, version)
            kept.systemctl("restart")
            load.more()
        assert load.failures == []
        # As after a crash of the master: only what it was serving is lost.
        kept.machine.run("systemctl", "kill", "--kill-who=all", "--signal=KILL", "kept.service")
        kept.log.wait_for("ready: 2 workers, generation 1", count=4)
        load.more()
    assert len(load.failures) <= len(load.threads)
    assert not any("Refused" in failure or "NotFound" in failure for failure in load.failures), load.failures
    assert ask(kept, "GET", "/version").content == b"three"
    assert kept.show("MainPID") != before
    assert stored(kept) == slots
    assert "WARN" not in kept.log.text() and "store" not in kept.log.text()


def test_kept_sockets_are_those_of_the_configuration_and_go_at_a_stop(kept):
    other = 8201
    bind = f"127.0.0.1:{other}"
    print_units(kept.machine, "--bind", bind, "--workers", "3", "--name", "kept")
    kept.systemctl("restart")
    assert stored(kept) == 3
    with pytest.raises(OSError):
        kept.connect()
    moved = machines.Service(kept.machine, "kept", other)
    try:
        assert ask(moved, "GET", "/version").status == 200
    finally:
        moved.close()
    assert kept.show("ActiveState") == "inactive"
    assert stored(kept) == 0
    with pytest.raises(OSError):
        moved.connect()


def test_program_that_was_upgraded_keeps_the_sockets_over_a_restart(kept):
    slots = stored(kept)
    kept.machine.run(PROGRAM, "ctl", "--pid", kept.show("MainPID"), "upgrade", "--wait")
    assert stored(kept) == slots
    with Load(kept, "/version", kept=False) as load:
        kept.systemctl("restart")
        load.more()
    assert load.failures == []
    assert stored(kept) == slots


def test_killed_worker_is_replaced_and_the_service_goes_on(started):
    master, worker = started.show("MainPID"), started.workers()[0]
    started.machine.run("kill", "-9", worker)
    started.log.wait_for("worker crashed: killed by SIGKILL")
    started.log.wait_for("worker ready", count=3)
    assert (started.show("MainPID"), started.show("NRestarts")) == (master, "0")
    assert worker not in started.workers()


def test_master_that_hangs_is_started_anew_by_the_watchdog(site):
    drop_in(site, "[Service]\nWatchdogSec=1\nRestartSec=0\n")
    site.systemctl("start")
    master = site.show("MainPID")
    since = site.log.position()
    site.machine.run("kill", "-STOP", master)
    site.log.wait_for("Watchdog timeout", since)
    site.log.wait_for("ready: 2 workers, generation 1", since)
    assert site.show("MainPID") != master
    assert ask(site, "GET", "/version").content == b"one"


def test_stop_leaves_nothing(started):
    started.systemctl("stop")
    assert (started.show("ActiveState"), started.show("Result"), started.show("ExecMainStatus")) == ("inactive", "success", "0")
    started.log.wait_for("stopping: running requests may end")
    assert not started.machine.path(SOCKET).exists()
    assert started.show("ControlGroup") == ""


def test_broken_app_is_a_failed_start_with_its_reason(site):
    write_app(site.machine, "none", broken="raise ValueError('broken on purpose')\n")
    assert site.systemctl("start", check=False).returncode != 0
    entries = [entry for entry in site.entries("PRIORITY=3") if "ValueError: broken on purpose" in entry["MESSAGE"]]
    assert entries and "Traceback" in entries[-1]["MESSAGE"]


def test_journal_has_priorities_no_times_and_whole_tracebacks(started):
    assert ask(started, "GET", "/raise").status == 500
    assert ask(started, "GET", "/print").status == 200
    started.log.wait_for("printed by the app")
    started.log.wait_for("RuntimeError: raised on purpose")
    entries = started.entries(f"_SYSTEMD_INVOCATION_ID={started.show('InvocationID')}")
    ready = [entry for entry in entries if entry["MESSAGE"].startswith("ready: 2 workers")]
    assert [entry["PRIORITY"] for entry in ready] == ["6"]
    tracebacks = [entry for entry in entries if "raised on purpose" in entry["MESSAGE"]]
    assert len(tracebacks) == 1
    assert tracebacks[0]["PRIORITY"] == "3"
    lines = tracebacks[0]["MESSAGE"].splitlines()
    assert any("Traceback (most recent call last)" in line for line in lines)
    assert "RuntimeError: raised on purpose" in lines[-1]
    assert int(tracebacks[0]["_PID"]) in started.workers()


def test_user_for_each_run_has_a_low_port_and_a_place_to_write(machine):
    plain = machine.path("/srv/plain")
    plain.mkdir()
    (plain / "plain.py").write_text(PLAIN)
    arguments = ("--dynamic-user", "--name", "plain", "-b", "127.0.0.1:80", "--log-format", "json")
    said = print_units(machine, *arguments, app="plain", directory="/srv/plain")
    assert "is not known (it is no Django project)" in said
    service = machines.Service(machine, "plain", 80)
    try:
        service.systemctl("start")
        user = int(ask(service, "GET", "/").content)
        assert 61184 <= user <= 65519, "not in systemd's range for such users"
        assert machine.path("/var/lib/private/plain/written").read_text() == "here"
        # As docs/systemd.md has a command run beside the service.
        beside = ("-p", "DynamicUser=yes", "-p", "User=plain", "-p", "StateDirectory=plain")
        command = ("sh", "-c", "id -u; cat $STATE_DIRECTORY/written")
        ran = machine.run("systemd-run", "--pipe", "--wait", "--quiet", "--same-dir", *beside, *command, directory="/srv/plain")
        assert ran.stdout == f"{user}\nhere"
        [ready] = [entry for entry in service.entries("PRIORITY=6") if '"Body":"ready: ' in entry["MESSAGE"]]
        assert json.loads(ready["MESSAGE"])["SeverityText"] == "INFO"
    finally:
        service.close()


@pytest.fixture(params=["tcp", "unix"])
def activated(request, machine):
    """The example, not started, behind a socket that systemd listens on."""
    write_app(machine, "one")
    address = {"tcp": 8100, "unix": "/run/web/http.sock"}[request.param]
    bind = f"unix:{address}" if request.param == "unix" else f"127.0.0.1:{address}"
    print_units(machine, "--bind", bind, "--socket", "--name", "web")
    service = machines.Service(machine, "web", address)
    machine.run("systemctl", "start", "web.socket")
    yield service
    print(f"---- journal of {service.name} ----\n{service.log.text()}")
    service.close()


def test_first_connection_starts_the_service(activated):
    assert activated.show("ActiveState") == "inactive"
    assert ask(activated, "GET", "/version").content == b"one"
    # One worker has answered; this waits for all.
    activated.systemctl("start")
    assert activated.show("ActiveState") == "active"
    assert "is not bound" not in activated.log.text()


def test_activated_socket_loses_nothing_when_workers_come_and_go(activated):
    with Load(activated, "/version") as load:
        # The first connections have started it; a reload in the middle of a start would be one with it.
        activated.systemctl("start")
        for generation in (2, 3):
            write_app(activated.machine, f"version {generation}")
            activated.systemctl("reload")
            activated.log.wait_for(rf"reload done: generation {generation}\b")
            load.more()
        write_app(activated.machine, "never", broken="raise ValueError('broken on purpose')\n")
        assert activated.systemctl("reload", check=False).returncode != 0
        activated.log.wait_for("reload failed")
        load.more()
        assert load.failures == []
        write_app(activated.machine, "mended")
        kills = 3
        for _ in range(kills):
            since = activated.log.position()
            activated.machine.run("kill", "-9", activated.workers()[0])
            activated.log.wait_for("worker ready", since)
            load.more()
    # What a killed worker was serving is lost with it: of each client at most one request.
    assert len(load.failures) <= len(load.threads) * kills
    assert not any("Refused" in failure or "status" in failure for failure in load.failures), load.failures
    assert ask(activated, "GET", "/version").status == 200


def test_restart_behind_an_activated_socket_is_only_a_wait(activated):
    with Load(activated, "/version", kept=False) as load:
        activated.systemctl("restart")
        load.more()
    assert load.failures == []
