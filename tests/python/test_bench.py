"""`ferricorn bench` on WSGI apps: who is compared, that figures are of real answers, that all servers end.

No figure of time is judged here.
"""

import json
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from importlib import metadata
from pathlib import Path

import pytest

from support.server import DEADLINE, FERRICORN, MARK, clean_environment, marked

# Imports, several servers and a warm-up, one after another.
BENCH_DEADLINE = 4 * DEADLINE
APP = """
import os

def app(environ, start_response):
    # The content has the same length everywhere as long as the app sees the same everywhere.
    seen = [environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"], os.environ.get("GREETING", "")]
    content = "|".join(seen).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))])
    return [content]

def moody(environ, start_response):
    content = environ["SERVER_SOFTWARE"].encode()
    start_response("200 OK", [("Content-Length", str(len(content)))])
    return [content]
"""


class Bench:
    """A run of the program, whose processes can be told from all others."""

    def __init__(self, directory, arguments):
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [FERRICORN, "bench", *arguments],
            cwd=directory,
            env=clean_environment(**{MARK: self.mark}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self):
        """Exit code, standard output, standard error; fails if a process is left behind."""
        output, errors = self.process.communicate(timeout=BENCH_DEADLINE)
        assert marked(self.mark) == [], errors
        return self.process.returncode, output, errors

    def close(self):
        """Ends whatever a failed test has left."""
        for pid in marked(self.mark):
            subprocess.run(["kill", "-KILL", str(pid)], check=False)
        self.process.wait(DEADLINE)


@pytest.fixture
def bench(tmp_path):
    """Starts runs in a directory with an app; ends them."""
    (tmp_path / "site_app.py").write_text(APP)
    runs = []

    def start(*arguments, directory=tmp_path):
        runs.append(Bench(directory, arguments))
        return runs[-1]

    yield start
    for run in runs:
        run.close()


def figures(run):
    """The JSON of a run that went well, and its servers by what they are there for."""
    code, output, errors = run.end()
    assert (code, errors) == (0, ""), output
    comparison = json.loads(output)["comparisons"][0]
    return comparison, {server["role"]: server for server in comparison["servers"]}


LOAD = ["--requests", "20", "--rounds", "2", "--connections", "2", "--json", "-"]


def test_wsgi_app_is_compared_with_wsgiref_and_gunicorn(bench):
    comparison, servers = figures(bench("site_app:app", "-w", "2", "--path", "/x?y", *LOAD))
    assert list(servers) == ["ferricorn", "single-threaded", "gunicorn"], comparison["left_out"]
    assert [server["name"] for server in servers.values()] == [
        "ferricorn, 2 workers",
        "wsgiref, 1 thread",
        "gunicorn sync, 2 workers",
    ]
    for server in servers.values():
        assert [one["answers"] for one in server["rounds"]] == [20, 20]
        assert server["whole"]["failed"] == {"status": 0, "broken": 0, "unanswered": 0}
        assert server["content_bytes"] == len("|/x|y|")
        assert server["whole"]["content_bytes"] == 40 * len("|/x|y|")
    # One keeps connections, the other two do not.
    assert [server["whole"]["connections"] for server in servers.values()] == [4, 40, 40]


def test_every_server_gets_the_content(bench, tmp_path):
    (tmp_path / "echo.py").write_text(
        "def app(environ, start_response):\n"
        "    content = environ['wsgi.input'].read(int(environ['CONTENT_LENGTH']))\n"
        "    content = content.upper() + environ['CONTENT_TYPE'].encode() + environ['REQUEST_METHOD'].encode()\n"
        "    start_response('201 Created', [('Content-Length', str(len(content)))])\n"
        "    return [content]\n"
    )
    comparison, servers = figures(bench("echo:app", "-w", "1", "-d", "abc", "-H", "Content-Type: text/x", *LOAD))
    assert comparison["left_out"] == [] and comparison["method"] == "POST"
    assert [server["content_bytes"] for server in servers.values()] == [len("ABCtext/xPOST")] * 3


def test_all_servers_have_the_configured_mount_environment_and_threads(bench, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "site_app.py").rename(tmp_path / "code" / "site_app.py")
    (tmp_path / "ferricorn.toml").write_text(
        '[workers]\ncount = 1\nthreads = 2\n[python]\npath = ["code"]\n'
        '[[app]]\nmount = "/below/"\ntarget = "site_app:app"\nenv = { GREETING = "hello" }\n'
    )
    comparison, servers = figures(bench("--path", "/below/x", *LOAD))
    assert comparison["left_out"] == []
    assert servers["gunicorn"]["name"] == "gunicorn gthread, 1 x 2 threads"
    assert {server["content_bytes"] for server in servers.values()} == {len("/below|/x||hello")}


def test_host_decides_which_app_is_compared(bench, tmp_path):
    (tmp_path / "ferricorn.toml").write_text(
        '[[app]]\ntarget = "hello"\n[[app]]\nhosts = ["*.site.example"]\ntarget = "site_app:app"\n'
    )
    comparison, servers = figures(bench("-w", "1", "-H", "Host: a.site.example:80", *LOAD))
    assert (list(servers), comparison["left_out"]) == (["ferricorn", "single-threaded", "gunicorn"], [])
    assert {server["content_bytes"] for server in servers.values()} == {len("|/||")}
    comparison, servers = figures(bench("-w", "1", *LOAD))
    assert servers["single-threaded"]["name"] == "accept loop, 1 thread"


def test_server_that_answers_otherwise_is_left_out(bench):
    comparison, servers = figures(bench("site_app:moody", "-w", "1", *LOAD))
    assert "ferricorn" in servers and "single-threaded" not in servers
    assert any("wsgiref" in reason and "bytes of content" in reason for reason in comparison["left_out"])


def test_django_project_is_compared_with_its_own_server(bench, site):
    comparison, servers = figures(bench("-w", "1", "--path", "/whoami", *LOAD, directory=site))
    single = servers["single-threaded"]
    assert single["name"] == "runserver, 1 thread"
    assert "manage.py runserver --nothreading --noreload 127.0.0.1:" in single["command"]
    assert "DEBUG off" in single["about"]
    assert comparison["left_out"] == []


def test_app_that_wants_a_token_gets_it_or_is_no_benchmark(bench, site):
    code, output, errors = bench("-w", "1", "--path", "/api/me", *LOAD, directory=site).end()
    assert (code, output) == (1, "")
    assert "with 401, not with 2xx" in errors and "--header" in errors

    sign = [FERRICORN, "jwt", "sign", "--secret-file", "secret/jwt.key", "--claims", CLAIMS, "--expires", "10m"]
    signed = subprocess.run(sign, cwd=site, capture_output=True, text=True, timeout=DEADLINE, check=True)
    header = f"Authorization: Bearer {signed.stdout.strip()}"
    _, servers = figures(bench("-w", "1", "--path", "/api/me", "--header", header, *LOAD, directory=site))
    assert set(servers) == {"ferricorn", "single-threaded", "gunicorn"}


def command_line(pid):
    """The arguments of a process; none once it is gone."""
    try:
        return Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


CLAIMS = json.dumps({"user_id": "1", "token_type": "access", "jti": "bench"})


@pytest.mark.parametrize(
    ("target", "expected", "told"), [("not_there", 3, "not_there"), ("site_app:missing", 3, "missing")]
)
def test_app_that_does_not_load_ends_as_serve_ends(bench, target, expected, told):
    code, output, errors = bench(target, *LOAD).end()
    assert (code, output) == (expected, "")
    assert told in errors


def test_interruption_ends_python_servers_too(bench):
    run = bench("site_app:app", "-w", "1", "--duration", "60m")
    # The last to come is Gunicorn, and it comes with a worker of its own.
    limit = time.monotonic() + BENCH_DEADLINE
    while sum(b"gunicorn" in command_line(pid) for pid in marked(run.mark)) < 2:
        assert time.monotonic() < limit and run.process.poll() is None, "Gunicorn did not come"
        # Nobody tells when; the system is asked again.
        threading.Event().wait(0.01)
    run.process.send_signal(signal.SIGINT)
    code, output, errors = run.end()
    assert (code, output) == (1, "")
    assert "interrupted" in errors


@pytest.mark.skipif(sys.version_info < (3, 11), reason="what is pinned is the newest, which this interpreter cannot run")
def test_what_is_measured_beside_it_runs_the_same_packages():
    """A newer version of what an app needs would be taken for a quicker server."""
    pins = Path(__file__).parents[2].joinpath("benches", "peers.txt").read_text(encoding="utf-8")
    wanted = dict(re.findall(r"^([\w.-]+)(?:\[\w+\])?==(\S+)$", pins, re.MULTILINE))
    installed = {name: metadata.version(name) for name in wanted if any(metadata.Distribution.discover(name=name))}
    assert {"Django", "asgiref", "uvloop"} <= installed.keys()
    assert installed == {name: wanted[name] for name in installed}
