"""The memory of apps in huge pages."""

from pathlib import Path

import pytest

from support.client import ask

APP = """
THINGS = [str(number) for number in range(400_000)]

def anonymous_huge():
    with open("/proc/self/smaps_rollup") as rollup:
        return next(line.split()[1] for line in rollup if line.startswith("AnonHugePages:"))

def application(environ, start_response):
    if environ["PATH_INFO"] == "/things":
        told = "".join(THINGS)
    elif environ["PATH_INFO"] == "/more":
        THINGS.extend([str(number) for number in range(400_000, 800_000)])
        told = "more"
    else:
        told = anonymous_huge()
    start_response("200 OK", [])
    return [told.encode()]
"""

MOVED = r"is in huge pages.*pages=\d+"


def system_has_them():
    """Whether this machine moves memory when it is asked to: Linux 6.1 on a processor with pages of 2 MiB."""
    folder = Path("/sys/kernel/mm/transparent_hugepage")
    has_pages = folder.exists() and folder.joinpath("hpage_pmd_size").read_text().strip() == str(2 << 20)
    release = Path("/proc/sys/kernel/osrelease").read_text().split(".")
    return has_pages and "[never]" not in folder.joinpath("enabled").read_text() and (int(release[0]), int(release[1])) >= (6, 1)


@pytest.fixture
def site(serve, tmp_path):
    """Serves the app, whose memory nearly all is of its making."""

    def start(**environment):
        (tmp_path / "site_app.py").write_text(APP)
        names = {f"FERRICORN_{name}": value for name, value in environment.items()}
        return serve("site_app", "-w", "1", environment={"FERRICORN_LOG_LEVEL": "debug", **names}).ready()

    return start


def huge(server):
    """How much of a worker's memory is in huge pages, in MiB."""
    return int(ask(server, "GET", "/").content) >> 10


@pytest.mark.skipif(not system_has_them(), reason="the system has no huge pages")
def test_what_an_app_has_is_moved_into_huge_pages_and_stays_what_it_was(site):
    server = site()
    server.log.wait_for(MOVED)
    first = huge(server)
    # 400,000 texts are 20 MiB at least.
    assert first >= 14, server.log.text()
    since = server.log.position()
    ask(server, "GET", "/more")
    server.log.wait_for(MOVED, since)
    assert huge(server) >= first + 14
    things = ask(server, "GET", "/things").content.decode()
    assert things == "".join(str(number) for number in range(800_000))


@pytest.mark.parametrize("setting", [{"PYTHON_HUGE_PAGES": "false"}, {"WORKERS_PRELOAD": "true"}])
def test_memory_is_left_where_it_is(site, setting):
    assert huge(site(**setting)) == 0
