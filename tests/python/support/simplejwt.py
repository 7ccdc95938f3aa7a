"""The same requests to djangorestframework-simplejwt and to Ferricorn, and every difference between the answers.

``python tests/python/support/simplejwt.py`` prints them. One server has both: Django with simplejwt's views below
/theirs/, and the server's own endpoints below /ours/, with one key and one table of users.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import jwt

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.client import ask
from support.server import Server

KEY = "a key of thirty-two bytes, shared by both!"
THEIRS, OURS = "/theirs/token/", "/ours/token/"

PROJECT = '''
import datetime, os, sys
import django
from django.conf import settings

HERE = os.path.dirname(os.path.abspath(__file__))
settings.configure(
    SECRET_KEY="k" * 50,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="project",
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "rest_framework",
        "rest_framework_simplejwt", "rest_framework_simplejwt.token_blacklist",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(HERE, "db.sqlite3")}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PASSWORD_HASHERS=["project.QuickHasher"],
    REST_FRAMEWORK={"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]},
    SIMPLE_JWT={
        "SIGNING_KEY": KEY, "ROTATE_REFRESH_TOKENS": True, "BLACKLIST_AFTER_ROTATION": True,
        "ACCESS_TOKEN_LIFETIME": datetime.timedelta(minutes=5), "REFRESH_TOKEN_LIFETIME": datetime.timedelta(days=1),
    },
    USE_TZ=True,
    # What the views do with an unexpected error is one of the differences.
    LOGGING_CONFIG=None,
)
from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickHasher(PBKDF2PasswordHasher):
    iterations = 1000


django.setup()
from django.core.wsgi import get_wsgi_application
from django.urls import path
from rest_framework_simplejwt import views

urlpatterns = [
    path("theirs/token/", views.TokenObtainPairView.as_view()),
    path("theirs/token/refresh/", views.TokenRefreshView.as_view()),
    path("theirs/token/verify/", views.TokenVerifyView.as_view()),
    path("theirs/token/blacklist/", views.TokenBlacklistView.as_view()),
]
application = get_wsgi_application()

if __name__ == "__main__":
    sys.modules["project"] = sys.modules["__main__"]
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    User.objects.create_user("demo", password="correct horse")
    User.objects.create_user("away", password="correct horse", is_active=False)
'''

CONFIG = f"""
[[app]]
target = "project:application"
[auth]
[auth.issue]
enabled = true
prefix = "{OURS}"
rotate = true
limit = {{ per_account = "1000/1m", per_ip = "1000/1m" }}
[auth.store]
url = "sqlite:///sessions.db"
[auth.users]
kind = "django"
url = "sqlite:///db.sqlite3"
[[auth.provider]]
name = "local"
[[auth.provider.key]]
alg = "HS256"
use = "sign+verify"
secret_file = "jwt.key"
[[auth.route]]
prefix = "/"
require = "none"
"""

# What is meant to differ, by the name of the request, and why.
MEANT = {
    "obtain: JSON that is none": "another parser says what is wrong with it",
    "obtain: NaN": "another parser says what is wrong with it",
    "obtain: another charset": "JSON is UTF-8 (RFC 8259 8.1)",
    "obtain: half a letter": "another parser says what is wrong with it",
    "obtain: a deep member": "at most 32 levels",
    "obtain: 300 members": "at most 256 members",
    "obtain: a name too long": "at most 254 letters",
    "obtain: a password too long": "at most 4096 letters: hashing takes time by its length",
    "obtain: OPTIONS": "the view's name and description are not told",
    "obtain: a member twice": "two readings of one request: 400",
    "obtain: no slash at the end": "answered; a redirect loses what was posted",
    "refresh: no jti": "401, not 500",
    "refresh: no user": "401, not a token for nobody",
    "refresh: user who is gone": "401, not 500",
    "refresh: exp as text": "401, not 500",
    "refresh: exp beyond all calendars": "401, not 500",
    "refresh: user that is a list": "401, not 500",
    "refresh: user as a number": "a text, as in new tokens",
    "refresh: an audience that nobody asked for": "401: it is meant for somebody else",
    "refresh: another typ": "401: it is another kind of token",
    "refresh: a claim twice": "401: two readings of one token",
    "refresh: a token that was replaced": "within auth.issue.reuse_grace the successor comes once more",
    "verify: a token that was replaced": "401, not 400",
    "verify: a token that was revoked": "401, not 400",
    "verify: exp as text": "401, not 500",
    "verify: exp beyond all calendars": "401, not 500",
    "verify: another typ": "401: it is another kind of token",
    "verify: a claim twice": "401: two readings of one token",
    "verify: an audience that nobody asked for": "401: it is meant for somebody else",
}


def token(**claims):
    """A token by the shared key; ``None`` leaves a claim out."""
    header = claims.pop("header", None)
    now = int(time.time())
    plain = {"token_type": "refresh", "exp": now + 600, "iat": now, "jti": "made" + str(time.monotonic_ns()), "user_id": "1"}
    plain.update(claims)
    return jwt.encode({name: value for name, value in plain.items() if value is not None}, KEY, "HS256", header)


def raw_token(payload):
    """A token of exactly this payload."""
    return jwt.api_jws.encode(payload.encode(), KEY, "HS256")


def requests(issued):
    """Name, path, content, media type; ``issued`` is a pair that this side has issued."""
    form = "application/x-www-form-urlencoded"
    multipart = "multipart/form-data; boundary=xx"
    good = {"username": "demo", "password": "correct horse"}
    part = '--xx\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    multipart_file = part.format("username", "demo") + part.format('password"; filename="a', "correct horse") + "--xx--\r\n"
    for name, content, media_type in [
        ("good", good, None),
        ("good, as a form", "username=demo&password=correct+horse", form),
        ("good, in parts", part.format("username", "demo") + part.format("password", "correct horse") + "--xx--\r\n", multipart),
        ("blanks around", {"username": " demo ", "password": " correct horse\t"}, None),
        ("more than is asked for", {**good, "x": [1]}, None),
        ("wrong password", {**good, "password": "wrong"}, None),
        ("unknown user", {**good, "username": "nobody"}, None),
        ("inactive user", {**good, "username": "away"}, None),
        ("numbers", {"username": 1, "password": 2.5}, None),
        ("nothing", None, None),
        ("empty object", {}, None),
        ("name missing", {"password": "x"}, None),
        ("password missing", {"username": "x"}, None),
        ("null", {**good, "username": None}, None),
        ("blank", {**good, "password": "  "}, None),
        ("a list", {**good, "username": ["demo"]}, None),
        ("an object", {**good, "username": {}}, None),
        ("true", {**good, "password": True}, None),
        ("NUL", {**good, "password": "a\0b"}, None),
        ("an array", [good], None),
        ("a text", "demo", None),
        ("null alone", "null", "application/json"),
        ("a number alone", "1", "application/json"),
        ("JSON that is none", '{"username":', "application/json"),
        ("NaN", '{"username": NaN}', "application/json"),
        ("a member twice", '{"username":"x","username":"demo","password":"correct horse"}', "application/json"),
        ("plain text", "demo", "text/plain"),
        ("an empty form", "", form),
        ("charset", json.dumps(good), "application/json; charset=utf-8"),
        ("another charset", '{"username":"d\u00e9","password":"x"}'.encode("latin-1"), "application/json; charset=latin-1"),
        ("a type of JSON", json.dumps(good), "application/vnd.api+json"),
        ("other letters", {"username": "\u0434\u0435\u043c\u0430", "password": "\u043f\u0430\u0440\u043e\u043b\u044c"}, None),
        ("150 other letters", {"username": "\u0434" * 150, "password": "x"}, None),
        ("bytes that are no letters", "username=%D0%B4&password=%ff", form),
        ("half a letter", '{"username":"\\ud800","password":"x"}', "application/json"),
        ("a number beyond all", '{"username":123456789012345678901234567890,"password":1e5}', "application/json"),
        ("a deep member", json.dumps({**good, "x": 0}).replace("0}", "[" * 100 + "]" * 100 + "}"), "application/json"),
        ("300 members", {**good, **{f"m{number}": number for number in range(300)}}, None),
        ("a name too long", {**good, "username": "a" * 300}, None),
        ("a password too long", {**good, "password": "a" * 5000}, None),
        ("parts without boundary", "x", "multipart/form-data"),
        ("a file as password", multipart_file, multipart),
    ]:
        yield f"obtain: {name}", "POST", "", content, media_type
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "OTHER"):
        yield f"obtain: {method}", method, "", None, None
    for path, member in (("refresh", "refresh"), ("verify", "token"), ("blacklist", "refresh")):
        now = int(time.time())
        tokens = {
            "good": issued["refresh"],
            "access token": issued["access"],
            "garbage": "garbage",
            "three parts of garbage": "a.b.c",
            "another key": jwt.encode({"exp": now + 60}, "k" * 40, "HS256"),
            "unsigned": jwt.encode({"exp": now + 60}, None, "none"),
            "expired": token(exp=now - 10),
            "no jti": token(jti=None),
            "no type": token(token_type=None),
            "no exp": token(exp=None),
            "no user": token(user_id=None),
            "inactive user": token(user_id="2"),
            "user who is gone": token(user_id="77"),
            "user that is a list": token(user_id=[1]),
            "user as a number": token(user_id=1),
            "exp as text": raw_token(f'{{"token_type":"refresh","jti":"{path}1","user_id":"1","exp":"{now + 600}"}}'),
            "exp beyond all calendars": token(exp=10**18),
            "an audience that nobody asked for": token(aud="x"),
            "another typ": token(header={"typ": "dpop+jwt"}),
            "a claim twice": raw_token(f'{{"token_type":"refresh","jti":"{path}2","user_id":"2","user_id":"1","exp":{now + 600}}}'),
            "iat in the future": token(iat=now + 600),
            "made by simplejwt": token(),
            "custom claim": token(tenant="a"),
        }
        for name, value in tokens.items():
            if path == "blacklist" and name not in ("access token", "garbage", "expired", "no type"):
                continue
            if path == "verify" and name == "good":
                value = issued["access"]
            yield f"{path}: {name}", "POST", f"{path}/", {member: value}, None
        for name, value in [
            ("missing", {}), ("blank", {member: ""}), ("null", {member: None}), ("true", {member: True}),
            ("a number", {member: 1}), ("a list", {member: ["x"]}), ("other letters", {member: "\u00e9.\u00e9.\u00e9"}),
        ]:
            yield f"{path}: {name}", "POST", f"{path}/", value, None
        yield f"{path}: GET", "GET", f"{path}/", None, None
        yield f"{path}: a form", "POST", f"{path}/", f"{member}=x", form
    yield "refresh: a token that was replaced", "POST", "refresh/", {"refresh": issued["refresh"]}, None
    yield "verify: a token that was replaced", "POST", "verify/", {"token": issued["refresh"]}, None
    yield "obtain: no slash at the end", "POST", None, {"username": "demo", "password": "correct horse"}, None


def answer(server, prefix, request):
    """One answer, as far as it can be compared."""
    _, method, path, content, media_type = request
    target = prefix.rstrip("/") if path is None else prefix + path
    if content is not None and media_type is None:
        content, media_type = json.dumps(content), "application/json"
    fields = {"Content-Type": media_type} if media_type else {}
    got = ask(server, method, target, content, fields)
    shown = {"status": got.status}
    for name in ("WWW-Authenticate", "Allow", "Content-Type"):
        shown[name] = got.fields.get(name)
    # What RFC 6750 has besides the realm is ours alone, and meant.
    challenge = shown["WWW-Authenticate"]
    shown["WWW-Authenticate"] = challenge and re.sub(r', error="invalid_(token|request)".*', "", challenge)
    body = re.sub(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", described, got.content.decode()) if got.status < 500 else ""
    # Members of objects have no order.
    shown["body"] = json.loads(body) if body.startswith(("{", "[")) else body
    return shown


def described(match):
    """What a token says, without what differs each time; ``sid`` is ours alone."""
    claims = jwt.decode(match[0], options={"verify_signature": False})
    # Two clocks are read for one answer.
    life = round((claims.pop("exp") - claims.pop("iat")) / 10) * 10
    claims.pop("sid", None)
    claims["jti"] = f"{len(claims['jti'])} letters"
    header = jwt.get_unverified_header(match[0])
    return f"<{header} {life} s {claims}>".replace('"', "'")


def pair(server, prefix):
    """A pair of tokens."""
    content = json.dumps({"username": "demo", "password": "correct horse"})
    got = ask(server, "POST", prefix, content, {"Content-Type": "application/json"})
    assert got.status == 200, got
    return json.loads(got.content)


def differences(server):
    """Every request that is answered differently: name to both answers; and how many requests there were."""
    sides = [list(requests(pair(server, prefix))) for prefix in (THEIRS, OURS)]
    found = {}
    for theirs, ours in zip(*sides):
        answers = answer(server, THEIRS, theirs), answer(server, OURS, ours)
        if answers[0] != answers[1]:
            found[theirs[0]] = answers
    # After its session has ended.
    answers = []
    for prefix in (THEIRS, OURS):
        revoked = pair(server, prefix)["refresh"]
        for path, member in (("blacklist/", "refresh"), ("blacklist/", "refresh"), ("refresh/", "refresh"), ("verify/", "token")):
            answers.append((path, answer(server, prefix, ("", "POST", path, {member: revoked}, None))))
    for (path, theirs), (_, ours) in zip(answers[:4], answers[4:]):
        if theirs != ours:
            found[f"{path.rstrip('/')}: a token that was revoked"] = theirs, ours
    return found, len(sides[0]) + 4


def prepare(directory):
    """Makes the project, its database and the configuration in an empty directory."""
    Path(directory, "project.py").write_text(PROJECT.replace("KEY,", repr(KEY) + ","))
    Path(directory, "jwt.key").write_text(KEY)
    Path(directory, "jwt.key").chmod(0o600)
    Path(directory, "ferricorn.toml").write_text(CONFIG)
    subprocess.run([sys.executable, "project.py"], cwd=directory, check=True)


def report(found, count):
    """The differences, to be read."""
    lines = [f"{count} requests, {len(found)} answered differently:"]
    for name, (theirs, ours) in found.items():
        lines.append(f"- {name}: {MEANT.get(name, 'NOT MEANT')}")
        for field in theirs:
            if theirs[field] != ours[field]:
                lines.append(f"    {field}: simplejwt {theirs[field]}\n    {' ' * len(field)}  ferricorn {ours[field]}")
    return "\n".join(lines)


def main():
    """Prints every difference; exit code 1 if one is not meant."""
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        prepare(directory)
        server = Server(["-c", "ferricorn.toml"], Path(directory), "tcp", None)
        try:
            found, count = differences(server.ready())
        finally:
            server.close()
    print(report(found, count))
    return int(any(name not in MEANT for name in found))


if __name__ == "__main__":
    sys.exit(main())
