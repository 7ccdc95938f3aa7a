"""Projects with djangorestframework-simplejwt: their settings as a section of ours."""

import re
import sqlite3
import subprocess
import sys

from support.server import FERRICORN, clean_environment


def test_a_projects_settings_are_printed_as_a_section_that_works(site, tmp_path):
    (site / "with_ferricorn.py").write_text("from demo.settings import *\nINSTALLED_APPS += ['ferricorn']\n")
    config = '[[app]]\ntarget = "demo.wsgi:application"\n'
    for arguments, section in (([], "[auth.issue]"), (["--verify-only"], "[auth]")):
        command = [sys.executable, "manage.py", "ferricorn_jwt", "--settings", "with_ferricorn", *arguments]
        done = subprocess.run(
            [*command, "--key-file", str(tmp_path / "jwt.key")],
            cwd=site,
            env=clean_environment(PYTHONPATH=str(site)),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, section in done.stdout) == (0, True), done
        (tmp_path / "ferricorn.toml").write_text(config + done.stdout)
        subprocess.run([FERRICORN, "check", "-c", tmp_path / "ferricorn.toml"], cwd=site, check=True, timeout=60)
    assert (tmp_path / "jwt.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "jwt.key").read_text().strip() == (site / "secret" / "jwt.key").read_text().strip()


DRIFTED = """
[[app]]
target = "drifted:application"
[auth.issue]
enabled = true
access = "1h"
rotate = true
[auth.users]
kind = "django"
url = "sqlite:///other.db"
username_column = "email"
[auth.store]
url = "sqlite:///auth.db"
[[auth.provider]]
name = "local"
audiences = ["b"]
[[auth.provider.key]]
alg = "HS256"
use = "sign+verify"
secret_file = "jwt.key"
[[auth.route]]
prefix = "/"
require = "none"
"""


def test_what_project_and_configuration_say_differently_is_told_and_nothing_else(serve, site, tmp_path):
    project = "import os, sys\nsys.path.insert(0, {!r})\nos.environ['DJANGO_SETTINGS_MODULE'] = 'drifted_settings'\n"
    (tmp_path / "drifted.py").write_text(project.format(str(site)) + "from demo.wsgi import application\n")
    settings = "from demo.settings import *\nSIMPLE_JWT = {**SIMPLE_JWT, 'AUDIENCE': 'a', 'ROTATE_REFRESH_TOKENS': True}\n"
    (tmp_path / "drifted_settings.py").write_text(settings)
    (tmp_path / "jwt.key").write_text("another key, of thirty-two bytes and more")
    (tmp_path / "jwt.key").chmod(0o600)
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE auth_user (id integer, username text, email text, password text, is_active bool)")
    (tmp_path / "ferricorn.toml").write_text(DRIFTED)
    server = serve("-c", "ferricorn.toml", "--workers", "2").ready()
    told = re.findall("differ: (.*); change one", server.log.text())
    assert [line.split(" is ")[0] for line in told] == [
        "auth.provider.audiences",
        "auth.issue.access",
        "auth.users.username_column",
        "auth.users.url",
    ], told
    assert 'auth.issue.access is "1h", and the project\'s SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"] is "5m"' in told
    # Of the same settings, with another key.
    (tmp_path / "ferricorn.toml").write_text((site / "ferricorn.toml").read_text().replace("secret/jwt.key", str(tmp_path / "jwt.key")))
    (tmp_path / "drifted_settings.py").write_text("from demo.settings import *\n")
    other = serve("-c", tmp_path / "ferricorn.toml", directory=site).ready()
    told = re.findall("differ: (.*); change one", other.log.text())
    assert len(told) == 1 and "SIGNING_KEY" in told[0], told
    equal = serve("-c", "ferricorn.toml", directory=site).ready()
    assert "differ" not in equal.log.text()
