"""Logins of the users of a Django project whose database is PostgreSQL."""

import subprocess
import sys

import pytest
from support import postgresql
from support.client import post_json

PROJECT = """
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="k" * 50, ALLOWED_HOSTS=["*"], ROOT_URLCONF="own_users", USE_TZ=True,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework_simplejwt.token_blacklist"],
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres", "HOST": "127.0.0.1", "PORT": PORT,
    }},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    SIMPLE_JWT={"SIGNING_KEY": "s" * 40},
)
django.setup()
from django.core.wsgi import get_wsgi_application

urlpatterns = []
application = get_wsgi_application()
"""
PREPARE = """
import own_users
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django.core.management import call_command
call_command("migrate", verbosity=0)
User.objects.create(username="ann", email="ann@a.example", password=PBKDF2PasswordHasher().encode("correct horse", "salt", 1000))
User.objects.create(username="bob", is_active=False, password="!")
"""
JUDGE = """
import own_users
from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import User
ann, upgraded = User.objects.get(username="ann"), []
assert check_password("correct horse", ann.password, setter=upgraded.append) and not upgraded, ann.password
"""
CONFIG = """
[[app]]
target = "own_users:application"
[auth.issue]
enabled = true
extra_claims = { mail = "email" }
[auth.store]
url = "sqlite:///auth.db"
[auth.users]
kind = "django"
url = "postgres://postgres@127.0.0.1:PORT/postgres"
rehash = true
[[auth.provider]]
name = "local"
[[auth.provider.key]]
alg = "HS256"
use = "sign+verify"
secret_env = "TOKEN_SECRET"
[[auth.route]]
prefix = "/"
require = "none"
"""


@pytest.fixture
def database():
    if not postgresql.installed():
        pytest.skip("PostgreSQL is not installed (on Debian: apt install postgresql)")
    server = postgresql.PostgreSQL()
    yield server
    server.close()


def test_users_that_django_keeps_in_postgresql_log_in(serve, tmp_path, database):
    (tmp_path / "own_users.py").write_text(PROJECT.replace(": PORT,", f": {database.port},"))
    (tmp_path / "ferricorn.toml").write_text(CONFIG.replace("PORT", str(database.port)))

    def run(code):
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)

    run(PREPARE)
    server = serve("-c", "ferricorn.toml", environment={"TOKEN_SECRET": "s" * 40}).ready()

    def post(path, **members):
        return post_json(server, "/api/token/" + path, **members)

    assert post("", username="bob", password="correct horse")[0] == 401
    status, before = post("", username="ann", password="correct horse")
    assert status == 200
    run(JUDGE)
    assert post("", username="ann", password="correct horse")[0] == 200, "by the new hash, too"
    assert post("refresh/", refresh=before["refresh"])[0] == 200, "no session has ended by it"
    assert "differ" not in server.log.text()
