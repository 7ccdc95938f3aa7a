"""Fixtures: servers that leave nothing behind, gates, the Django example in a directory of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

from support.gates import Gates  # noqa: E402
from support.nginx import Nginx  # noqa: E402
from support.server import FERRICORN, Server, clean_environment  # noqa: E402


def pytest_configure(config):
    """Nothing here makes sense without the installed wheel."""
    if not FERRICORN.exists():
        raise pytest.UsageError(f"{FERRICORN} is missing: run `make build`, then `make test`")


@pytest.fixture(params=["tcp", "unix"])
def transport(request):
    """Fault tests run on both."""
    return request.param


@pytest.fixture
def serve(tmp_path):
    """Starts servers in a fresh directory that sees `apps/`; ends them, and checks that they end."""
    servers = []

    def start(*arguments, directory=tmp_path, transport="tcp", environment=None, listener=None):
        arguments = [*arguments, "--pythonpath", str(HERE / "apps")]
        server = Server(arguments, directory, transport, environment, listener)
        servers.append(server)
        return server

    yield start
    errors = []
    for server in servers:
        try:
            server.close()
        except AssertionError as error:
            errors.append(str(error))
        print(f"---- log of {server.process.args} ----\n{server.log.text()}")
    assert not errors, "\n".join(errors)


@pytest.fixture
def nginx(tmp_path):
    """Starts nginx with a site in front of a server, and ends it."""
    started = []

    def start(site, server):
        started.append(Nginx(tmp_path, site, server))
        return started[-1]

    yield start
    for front in started:
        front.close()
        print(f"---- log of nginx ----\n{front.log.text()}")


@pytest.fixture
def gates(tmp_path):
    """A way for apps to say where they are and to wait for the test."""
    gates = Gates(tmp_path)
    yield gates
    gates.close()


@pytest.fixture(scope="session")
def prepared_site(tmp_path_factory):
    """The Django example, copied and prepared, so that a developer's own data stays untouched."""
    site = tmp_path_factory.mktemp("site") / "django"
    ignored = shutil.ignore_patterns("db.sqlite3*", "collected", "secret", "__pycache__")
    shutil.copytree(ROOT / "examples" / "django", site, ignore=ignored)
    (site / "counted.py").write_text((HERE / "apps" / "counted.py").read_text())
    subprocess.run([sys.executable, site / "prepare.py"], check=True, env=clean_environment(), timeout=120)
    return site


@pytest.fixture
def site(prepared_site):
    """The prepared site, with nothing counted yet."""
    (prepared_site / "entered.log").write_text("")
    return prepared_site
