"""The wheel by itself: in a fresh virtual environment, with no compiler within reach, it is complete, typed and serves."""

import ast
import email
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from support.client import ask
from support.pages import ROOT
from support.server import DEADLINE, Server, clean_environment

APP = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'from the wheel']\n"


@pytest.fixture(scope="module")
def wheel():
    """The wheel that was built for these tests; the newest one."""
    found = [*ROOT.glob("target/wheels/ferricorn-*.whl"), *ROOT.glob("target/wheels-dev/ferricorn-*.whl")]
    if not found:
        pytest.fail("there is no wheel in target/wheels: run `make build`")
    return max(found, key=lambda path: path.stat().st_mtime)


@pytest.fixture(scope="module")
def fresh(wheel, tmp_path_factory):
    """A virtual environment that has the wheel and nothing else."""
    place = tmp_path_factory.mktemp("fresh") / "venv"
    subprocess.run([sys.executable, "-m", "venv", place], check=True, timeout=10 * DEADLINE)
    install = [place / "bin/python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index", wheel]
    subprocess.run(install, check=True, timeout=10 * DEADLINE)
    return place


def alone(place):
    """An environment in which only the virtual environment's programs are found."""
    return clean_environment(PATH=str(place / "bin"))


class Installed(Server):
    """The server of that environment."""

    def __init__(self, command, directory, environment):
        self.start([*command, "serve", "site_app:app", "-w", "2", "--bind", "127.0.0.1:0"], directory, environment)


@pytest.mark.parametrize("command", [["bin/ferricorn"], ["bin/python", "-m", "ferricorn"]], ids=" ".join)
def test_the_wheel_serves_in_a_fresh_environment(fresh, tmp_path, command):
    (tmp_path / "site_app.py").write_text(APP)
    server = Installed([fresh / command[0], *command[1:]], tmp_path, alone(fresh))
    try:
        assert ask(server.ready(), "GET", "/").content == b"from the wheel"
        assert server.reload()
        assert server.stop() == 0
    finally:
        server.close()


def test_nothing_but_the_standard_library_is_needed(fresh):
    code = "import ferricorn, ferricorn.jwt, ferricorn.__main__; print(ferricorn.__version__)"
    ran = subprocess.run(
        [fresh / "bin/python", "-c", code], env=alone(fresh), capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    shown = subprocess.run(
        [fresh / "bin/ferricorn", "--version"], env=alone(fresh), capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    assert shown.stdout == f"ferricorn {ran.stdout}"


def test_the_package_is_typed_throughout():
    """As whoever imports it and checks types strictly sees it."""
    pytest.importorskip("mypy", reason="mypy is not for this Python, or not installed")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", ROOT / "target" / "mypy", "python/ferricorn"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10 * DEADLINE, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_package_is_written_for_the_oldest_python():
    for path in (ROOT / "python").rglob("*.py*"):
        if path.suffix in (".py", ".pyi"):
            ast.parse(path.read_text(), str(path), feature_version=(3, 9))


def test_the_wheel_holds_what_it_should_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        info = next(name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_string(archive.read(info).decode())
        entry_points = archive.read(info.replace("METADATA", "entry_points.txt")).decode()
    package = {name for name in names if name.startswith("ferricorn/")}
    source = {
        str(path.relative_to(ROOT / "python")) for path in (ROOT / "python").rglob("*") if path.suffix in (".py", ".pyi", ".typed")
    }
    compiled = package - source
    assert source <= package
    assert len(compiled) == 1 and re.fullmatch(r"ferricorn/_ferricorn\.[\w.-]+\.so", compiled.pop())
    assert not [name for name in names if name.endswith(("LICENSE", ".so", ".py")) and name.startswith("tests")]
    assert [name for name in names if name.endswith("LICENSE")]
    assert metadata["Requires-Python"] == ">=3.9" and metadata["License-Expression"] == "MIT"
    assert "uvloop" in metadata.get_all("Provides-Extra")
    assert "Typing :: Typed" in metadata.get_all("Classifier")
    # What it needs is optional: a server must not decide which Django a site has.
    assert all("extra ==" in needed for needed in metadata.get_all("Requires-Dist") or [])
    assert "ferricorn=ferricorn.__main__:main" in entry_points.replace(" ", "")


def test_the_extension_is_linked_to_no_interpreter(fresh):
    module = next((fresh / "lib").rglob("_ferricorn*.so"))
    needed = re.findall(rb"libpython[\w.]*\.so", module.read_bytes())
    assert not needed, "it would load a second interpreter"


def test_the_source_distribution_is_complete(tmp_path):
    built = subprocess.run(
        [Path(sys.executable).parent / "maturin", "sdist", "--out", tmp_path],
        cwd=ROOT, capture_output=True, text=True, timeout=10 * DEADLINE, check=False,
    )
    assert built.returncode == 0, built.stderr
    with tarfile.open(next(tmp_path.glob("ferricorn-*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(["git", "ls-files", "src", "python"], cwd=ROOT, capture_output=True, text=True, check=False)
    missing = {name for name in tracked.stdout.split() if os.path.exists(ROOT / name)} - names
    assert not missing, "what the build includes"
    assert {"Cargo.toml", "Cargo.lock", "pyproject.toml", "README.md", "LICENSE", "PKG-INFO"} <= names
    assert not {name for name in names if name.startswith(("target/", ".venv/"))}
