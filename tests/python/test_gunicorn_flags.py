"""Each flag of Gunicorn's command line does what the table in docs/from-gunicorn.md says."""

import json
import re
import subprocess
from pathlib import Path

import gunicorn.config
import pytest

from support.server import FERRICORN, clean_environment

ROOT = Path(__file__).resolve().parent.parent.parent
# Something that each flag takes, where "1" would not do.
SAMPLES = {
    "--config": "f.toml",
    "--bind": "127.0.0.1:9000",
    "--worker-class": "gthread",
    "--chdir": ".",
    "--pythonpath": ".",
    "--env": "NAME=value",
    "--user": "root",
    "--group": "root",
    "--umask": "027",
    "--max-requests-jitter": "0",
    "--limit-request-line": "4094",
    "--forwarded-allow-ips": "10.0.0.0/8",
    "--access-logformat": '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
    "--log-level": "debug",
    "--error-logfile": "error.log",
    "--log-file": "error.log",
    "--asgi-loop": "asyncio",
    "--asgi-lifespan": "off",
}
ALIASES = {
    "-c": "--config",
    "-b": "--bind",
    "-k": "--worker-class",
    "-e": "--env",
    "-u": "--user",
    "-g": "--group",
    "-m": "--umask",
}


def table():
    """The page's rows, by flag."""
    rows = {}
    for line in (ROOT / "docs" / "from-gunicorn.md").read_text().splitlines():
        match = re.fullmatch(r"\| (`-.*`) \| (taken|always so|refused) \| (.*) \|", line)
        if match:
            for flag in re.findall(r"`(-[^`]*)`", match[1]):
                assert flag not in rows, f"{flag} stands there twice"
                rows[flag] = (match[2], match[3])
    return rows


def theirs():
    """Gunicorn's flags, and whether each takes a value."""
    flags = {}
    for setting in gunicorn.config.KNOWN_SETTINGS:
        for flag in setting.cli or []:
            flags[flag] = setting.action not in ("store_true", "store_const")
    return flags


FLAGS = theirs()


def play(directory, *arguments):
    """Exit code, output and complaints of one run that serves nothing."""
    (directory / "f.toml").write_text("")
    run = subprocess.run(
        [FERRICORN, *arguments], cwd=directory, env=clean_environment(), capture_output=True, text=True, timeout=60
    )
    return run.returncode, run.stdout, run.stderr


def printed(directory, *arguments):
    """The configuration that these arguments make, and where its values are from."""
    code, output, errors = play(directory, "print-config", "hello", "--format", "json", "--origin", *arguments)
    assert code == 0, errors
    return json.loads(output)


def test_table_has_each_of_gunicorns_flags_and_no_other():
    if gunicorn.version_info < (27,):
        pytest.skip("an older Gunicorn has fewer flags; the table is that of 27")
    assert sorted(table()) == sorted(FLAGS)


@pytest.mark.parametrize("flag", sorted(FLAGS))
def test_flag_does_what_the_table_says(tmp_path, flag):
    kind, what = table()[flag]
    long = ALIASES.get(flag, flag)
    only = re.match(r"only `([^`]*)`: (.*)", what)
    value = [only[1] if only else SAMPLES.get(long, "1")] if FLAGS[flag] else []
    arguments = [flag, *value]
    if kind == "refused":
        code, output, errors = play(tmp_path, "serve", "hello", *arguments)
        assert (code, output) == (2, "")
        assert f"{flag} of Gunicorn is not supported: {what}" in errors
        return
    assert play(tmp_path, "serve", "hello", "--check-config", *arguments)[0] == 0
    if long in ("--check-config", "--print-config"):
        command = long[2:].replace("check-config", "check")
        assert play(tmp_path, "serve", "hello", flag) == play(tmp_path, command, "hello")
        return
    assert play(tmp_path, "check", "hello", *arguments)[0] == 0
    key = re.fullmatch(r"`([a-z_.]+)`", what)
    if key:
        origin = printed(tmp_path, *arguments)["origins"][key[1].replace("app.", "app[0].")]
        assert re.fullmatch(r"flag --[a-z-]+", origin), origin
    elif kind == "always so" or only or long == "--worker-class":
        assert printed(tmp_path, *arguments) == printed(tmp_path)
    if only:
        code, _, errors = play(tmp_path, "check", "hello", flag, "another")
        assert code == 2 and f"{flag} can only be {only[1]}: {only[2]}" in errors


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ("gevent", "--threads"),
        ("tornado", "--threads"),
        ("mine.Worker", "use sync, gthread or asgi"),
    ],
)
def test_worker_classes_that_are_not_there_are_answered(tmp_path, value, advice):
    code, _, errors = play(tmp_path, "check", "hello", "-k", value)
    assert code == 2 and value in errors and advice in errors


@pytest.mark.parametrize("value", ["asgi", "uvicorn.workers.UvicornWorker", "uvicorn_worker.UvicornWorker"])
def test_worker_classes_for_asgi_stand_for_the_interface(tmp_path, value):
    by_class = play(tmp_path, "print-config", "site:app", "-k", value)
    assert by_class == play(tmp_path, "print-config", "site:app", "--interface", "asgi")
    assert by_class[0] == 0 and 'interface = "asgi"' in by_class[1]


def test_gunicorns_own_configuration_is_noticed_when_something_is_refused(tmp_path):
    (tmp_path / "gunicorn.conf.py").write_text("workers = 3\n")
    code, _, errors = play(tmp_path, "check", "hello", "-c", "gunicorn.conf.py")
    assert code == 2 and "configuration is TOML here" in errors
    code, _, errors = play(tmp_path, "serve", "hello", "--spew")
    assert code == 2 and "note: gunicorn.conf.py is not read" in errors
    run = subprocess.run(
        [FERRICORN, "check", "hello", "-w", "none"],
        cwd=tmp_path,
        env=clean_environment(GUNICORN_CMD_ARGS="--workers=3"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 2 and "GUNICORN_CMD_ARGS is not read" in run.stderr
