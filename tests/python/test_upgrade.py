"""Another version of the wheel in the place of the running one, under load: nobody notices, and what is broken changes nothing."""

import os
import shutil
import signal
import sysconfig
import venv
from pathlib import Path

import ferricorn
import pytest
from test_ctl import ctl, write_app

from support.client import Load, ask

# Less than what is loaded of the extension module, behind which debug information may follow.
CUT = 1_000_000


@pytest.fixture
def package(tmp_path):
    """A copy of the installed package, which a test may replace."""
    copy = tmp_path / "packages" / "ferricorn"
    shutil.copytree(Path(ferricorn.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def extension(package):
    """The compiled module of a package."""
    (found,) = package.glob("_ferricorn*.so")
    return found


def install(package, length=None):
    """Another file in the place of the compiled module, in one step, as pip does it; or its beginning alone."""
    source = extension(Path(ferricorn.__file__).parent)
    place, fresh = extension(package), package / "fresh"
    shutil.copyfile(source, fresh)
    if length is not None:
        os.truncate(fresh, length)
    os.replace(fresh, place)


def runs(server, package):
    """Whether the master runs the compiled module that is installed now."""
    inode = extension(package).stat().st_ino
    maps = Path(f"/proc/{server.process.pid}/maps").read_text().splitlines()
    return any(line.split()[4] == str(inode) for line in maps if line.endswith(extension(package).name))


@pytest.fixture
def server(serve, tmp_path, package):
    """A server of that package, with an app."""
    write_app(tmp_path, "old")
    server = serve("site_app", "-w", "2", environment={"PYTHONPATH": str(package.parent)}).ready()
    assert runs(server, package)
    return server


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "closing"])
def test_new_version_takes_over_and_can_do_what_the_old_one_could(server, tmp_path, package, kept):
    with Load(server, kept=kept) as load:
        for generation in (2, 4):
            install(package)
            assert not runs(server, package)
            write_app(tmp_path, f"version {generation}")
            assert ctl(server, "upgrade", "--wait") == (0, f"generation {generation}\n", "")
            assert runs(server, package)
            assert ask(server, "GET", "/").content == f"version {generation}".encode()
            load.more()
            server.reload(rf"reload done: generation {generation + 1}\b")
            load.more()
    assert load.failures == []
    assert server.stop() == 0


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "closing"])
def test_module_that_is_cut_short_changes_nothing(server, tmp_path, package, kept):
    workers = server.workers()
    with Load(server, kept=kept) as load:
        install(package, CUT)
        code, output, complaint = ctl(server, "upgrade", "--wait")
        assert (code, output) == (1, "")
        assert complaint.startswith("error: the new program ended before its workers were ready: "), complaint
        load.more()
        assert server.workers() == workers and not runs(server, package)
        # A reload takes what lies on disk, or nothing.
        assert ctl(server, "reload")[0] == 1 and server.workers() == workers
        install(package)
        assert ctl(server, "upgrade", "--wait")[0] == 0
        assert runs(server, package)
        load.more()
    assert load.failures == []


@pytest.mark.parametrize(
    "importing, expected",
    [
        ("raise RuntimeError('broken on purpose')", "RuntimeError: broken on purpose"),
        # No file: the boot of a worker waits for it, for ever.
        ("import os; os.mkfifo('fifo') if not os.path.exists('fifo') else None; open('fifo')", "(timeouts.boot)"),
    ],
    ids=["broken", "stuck"],
)
def test_workers_that_do_not_get_ready_change_nothing(serve, tmp_path, importing, expected):
    write_app(tmp_path, "old")
    (tmp_path / "ferricorn.toml").write_text('[timeouts]\nboot = "5s"\n')
    server = serve("site_app", "-w", "2").ready()
    workers = server.workers()
    with Load(server) as load:
        write_app(tmp_path, "never", importing)
        code, _, complaint = ctl(server, "upgrade", "--wait")
        assert code == 1 and expected in complaint, complaint
        load.more()
        assert server.workers() == workers
        assert ask(server, "GET", "/").content == b"old"
        write_app(tmp_path, "new")
        since = server.log.position()
        server.signal(signal.SIGUSR2)
        server.log.wait_for(r"upgrade done: generation 3\b", since)
        load.more()
    assert load.failures == []
    assert ask(server, "GET", "/").content == b"new"


PREFIX = """
import sys


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [sys.prefix.encode()]
"""


def make_release(release):
    """A directory with an app that tells its virtual environment, and that one."""
    environment = release / ".venv"
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    script = environment / "bin" / "ferricorn"
    script.write_text(f"#!{environment}/bin/python\nimport sys\nfrom ferricorn.__main__ import main\nsys.exit(main())\n")
    script.chmod(0o755)
    (release / "site_app.py").write_text(PREFIX)


def test_a_reload_takes_the_virtual_environment_of_another_release(serve, tmp_path, monkeypatch):
    for release in ("one", "two"):
        make_release(tmp_path / release)
    current = tmp_path / "current"
    current.symlink_to("one")
    monkeypatch.setattr("support.server.FERRICORN", current / ".venv" / "bin" / "ferricorn")
    server = serve("site_app", "-w", "1", directory=current, environment={"PWD": str(current)}).ready()
    assert ask(server, "GET", "/").content == str(tmp_path / "one" / ".venv").encode()
    server.reload(r"reload done: generation 2\b")
    current.unlink()
    current.symlink_to("two")
    server.reload("the program on disk has changed: the reload becomes an upgrade")
    server.log.wait_for("upgrade done: generation 3")
    assert ask(server, "GET", "/").content == str(tmp_path / "two" / ".venv").encode()
    assert server.stop() == 0
