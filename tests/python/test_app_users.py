"""Logins by the project's own backends: ``auth.users.kind = "python"``."""

import subprocess
import sys
import threading

import jwt
import pytest
from support.client import ask, post_json

PROJECT = """
import os
import django
from django.conf import settings

HERE = os.path.dirname(os.path.abspath(__file__))
settings.configure(
    SECRET_KEY="k" * 50, ALLOWED_HOSTS=["*"], ROOT_URLCONF="own_users", USE_TZ=True,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(HERE, "db.sqlite3")}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    AUTHENTICATION_BACKENDS=["own_users.Directory"],
)


class Directory:
    # Knows people that no table has, as LDAP does.
    def authenticate(self, request, username=None, password=None):
        from django.contrib.auth.models import User
        if password == "raise":
            raise OSError("the directory is away")
        if password == "wait":
            import gates
            gates.say("asked")
            gates.wait()
        if password != "from " + request.META["REMOTE_ADDR"]:
            return None
        return User.objects.get_or_create(username=username, defaults={"email": username + "@a.example"})[0]


django.setup()
from django.contrib.auth.signals import user_login_failed
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path


def failed(sender, credentials, request, **more):
    with open(os.path.join(HERE, "failed"), "a") as log:
        log.write(credentials["username"])


def close(request):
    from django.contrib.auth.models import User
    User.objects.update(is_active=False)
    place = request.scope["extensions"] if hasattr(request, "scope") else request.environ
    return HttpResponse(place["ferricorn.jwt"]["claims"]["mail"])


user_login_failed.connect(failed)
urlpatterns = [path("close", close)]
application = get_wsgi_application()
asgi = get_asgi_application()
"""
CONFIG = """
[workers]
count = 1
preload = PRELOAD
[[app]]
target = "own_users:APP"
[auth.issue]
enabled = true
rotate = true
hash_threads = 1
extra_claims = { mail = "email" }
[auth.store]
url = "sqlite:///auth.db"
[auth.users]
kind = "python"
id_column = "ID_FIELD"
[[auth.provider]]
name = "local"
[[auth.provider.key]]
alg = "HS256"
use = "sign+verify"
secret_env = "TOKEN_SECRET"
[[auth.route]]
prefix = "/"
require = "local"
"""


@pytest.mark.parametrize(("app", "preload", "field", "ann"), [("application", "false", "id", "1"), ("asgi", "true", "username", "ann")])
def test_the_projects_own_backend_says_who_logs_in(serve, gates, tmp_path, app, preload, field, ann):
    (tmp_path / "own_users.py").write_text(PROJECT)
    (tmp_path / "ferricorn.toml").write_text(CONFIG.replace("APP", app).replace("PRELOAD", preload).replace("ID_FIELD", field))
    migrate = "import own_users; from django.core.management import call_command as c; c('migrate', verbosity=0)"
    subprocess.run([sys.executable, "-c", migrate], cwd=tmp_path, check=True, timeout=60)
    server = serve("-c", "ferricorn.toml", environment={"TOKEN_SECRET": "s" * 40, **gates.environment}).ready()

    def post(path, **members):
        return post_json(server, "/api/token/" + path, **members)

    assert post("", username="ann", password="wrong")[0] == 401
    assert (tmp_path / "failed").read_text() == "ann", "the project hears of it"
    assert post("", username="ann", password="raise")[0] == 503
    status, pair = post("", username="ann", password="from 127.0.0.1")
    assert status == 200
    assert jwt.decode(pair["access"], options={"verify_signature": False})["user_id"] == ann
    slow = threading.Thread(target=post, args=("",), kwargs={"username": "bob", "password": "wait"})
    slow.start()
    gates.expect("asked")
    status, pair = post("refresh/", refresh=pair["refresh"])
    assert status == 200, "who has a token does not wait for who has none"
    gates.release()
    slow.join()
    closed = ask(server, "GET", "/close", fields={"Authorization": "Bearer " + pair["access"]})
    assert (closed.status, closed.content) == (200, b"ann@a.example")
    status, told = post("refresh/", refresh=pair["refresh"])
    assert (status, told["detail"]) == (401, "No active account found for the given token.")
    server.log.wait_for("the project cannot say who its users are")


def test_a_field_by_which_no_token_can_name_a_user_refuses_the_start(serve, tmp_path):
    (tmp_path / "own_users.py").write_text(PROJECT)
    config = CONFIG.replace("APP", "application").replace("PRELOAD", "false")
    for field, said in [("uid", 'has no field "uid"'), ("email", 'the field "email" of the user model auth.User is not unique')]:
        (tmp_path / "ferricorn.toml").write_text(config.replace("ID_FIELD", field))
        server = serve("-c", "ferricorn.toml", environment={"TOKEN_SECRET": "s" * 40})
        server.log.wait_for(said)
        server.log.wait_for("name a unique field in auth.users.id_column")
        assert server.wait() != 0
