"""Projects with djangorestframework-simplejwt: their settings as a section of ours."""

import json
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


SECTIONS = """
import datetime, io, json, sys
import django
django.setup()
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import override_settings

shown = []
for changes, arguments in json.load(sys.stdin):
    out = io.StringIO()
    for name, value in changes.items():
        if name.endswith("_LIFETIME"):
            changes[name] = datetime.timedelta(seconds=value)
    with override_settings(SIMPLE_JWT={**settings.SIMPLE_JWT, **changes}):
        try:
            call_command("ferricorn_jwt", *arguments, "--key-file", "unused.key", stdout=out, stderr=io.StringIO())
        except CommandError as error:
            out.write(f"refused: {error}")
    shown.append(out.getvalue())
print(json.dumps(shown))
"""
SLIDING = {"AUTH_TOKEN_CLASSES": ["rest_framework_simplejwt.tokens.SlidingToken"]}
BOTH = {"AUTH_TOKEN_CLASSES": ["rest_framework_simplejwt.tokens.AccessToken", *SLIDING["AUTH_TOKEN_CLASSES"]]}


def test_what_a_section_cannot_do_or_would_break_is_said(site, tmp_path):
    (site / "with_ferricorn.py").write_text("from demo.settings import *\nINSTALLED_APPS += ['ferricorn']\n")
    verify = ["--verify-only"]
    rows = [
        (SLIDING, verify, ['token_type = "sliding"']),
        (SLIDING, [], ["# AUTH_TOKEN_CLASSES is left out (sliding)"]),
        (BOTH, verify, ['token_type = ""', "# AUTH_TOKEN_CLASSES are several (access, sliding)"]),
        ({"CHECK_REVOKE_TOKEN": True}, [], ["# CHECK_REVOKE_TOKEN is left out: set it to False"]),
        ({"CHECK_USER_IS_ACTIVE": False}, [], ["# CHECK_USER_IS_ACTIVE is left out"]),
        ({"ROTATE_REFRESH_TOKENS": True, "BLACKLIST_AFTER_ROTATION": False}, [], ["rotate = true", "# BLACKLIST_AFTER_ROTATION is left out"]),
        ({"TOKEN_TYPE_CLAIM": "kind"}, verify, ['token_type = ""', 'claims = { "kind" = { in = ["access"] } }']),
        ({"TOKEN_TYPE_CLAIM": "kind"}, [], ["# TOKEN_TYPE_CLAIM is left out"]),
        ({"JTI_CLAIM": "id"}, verify, ['require = ["exp", "id"]']),
        ({"JTI_CLAIM": None, "TOKEN_TYPE_CLAIM": None}, verify, ['require = ["exp"]', 'token_type = ""']),
        ({"LEEWAY": 900}, verify, ['leeway = "5m"', "# LEEWAY is more than 5m"]),
        ({"JWK_URL": "https://idp.example/jwks", "ALGORITHM": "RS256"}, verify, ["jwks_url", 'algorithms = ["RS256"]']),
        ({"REFRESH_TOKEN_LIFETIME": 90 * 86400}, [], ['refresh = "90d"', 'session_max = "90d"']),
        ({"ALGORITHM": "ES512"}, verify, ["refused: the server has no ES512"]),
        ({"ALGORITHM": "HS512", "SIGNING_KEY": "k" * 50}, [], ["refused: SIGNING_KEY is shorter than the 64 bytes"]),
    ]
    done = subprocess.run(
        [sys.executable, "-c", SECTIONS],
        cwd=tmp_path,
        env=clean_environment(PYTHONPATH=str(site), DJANGO_SETTINGS_MODULE="with_ferricorn"),
        input=json.dumps([row[:2] for row in rows]),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    for (changes, _, expected), shown in zip(rows, json.loads(done.stdout)):
        assert all(part in shown for part in expected), (changes, shown)


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
    settings = "from demo.settings import *\nSIMPLE_JWT = {**SIMPLE_JWT, 'AUDIENCE': 'a', 'ROTATE_REFRESH_TOKENS': True, 'CHECK_REVOKE_TOKEN': True}\n"
    (tmp_path / "drifted_settings.py").write_text(settings)
    (tmp_path / "jwt.key").write_text("another key, of thirty-two bytes and more")
    (tmp_path / "jwt.key").chmod(0o600)
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE auth_user (id integer, username text, email text, password text, is_active bool)")
    (tmp_path / "ferricorn.toml").write_text(DRIFTED)
    server = serve("-c", "ferricorn.toml", "--workers", "2").ready()
    told = re.findall("differ: (.*); change one", server.log.text())
    keys = [line.split(" is ")[0] for line in told]
    assert keys == [
        "auth.provider.audiences",
        "auth.issue.access",
        "auth.issue.enabled",
        "auth.users.username_column",
        "auth.users.url",
    ], told
    # simplejwt has no CHECK_REVOKE_TOKEN before 5.3.
    older = "from rest_framework_simplejwt.settings import DEFAULTS\ndel DEFAULTS['CHECK_REVOKE_TOKEN']\n"
    (tmp_path / "drifted.py").write_text((tmp_path / "drifted.py").read_text() + older)
    told_older = re.findall("differ: (.*) is ", serve("-c", "ferricorn.toml", "--workers", "1").ready().log.text())
    assert [line.split(" is ")[0] for line in told_older] == [key for key in keys if key != "auth.issue.enabled"], told_older
    assert 'auth.issue.access is "1h", and the project\'s SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"] is "5m"' in told
    # Of the same settings, with another key.
    (tmp_path / "ferricorn.toml").write_text((site / "ferricorn.toml").read_text().replace("secret/jwt.key", str(tmp_path / "jwt.key")))
    (tmp_path / "drifted_settings.py").write_text("from demo.settings import *\n")
    other = serve("-c", tmp_path / "ferricorn.toml", directory=site).ready()
    told = re.findall("differ: (.*); change one", other.log.text())
    assert len(told) == 1 and "SIGNING_KEY" in told[0], told
    equal = serve("-c", "ferricorn.toml", directory=site).ready()
    assert "differ" not in equal.log.text()
