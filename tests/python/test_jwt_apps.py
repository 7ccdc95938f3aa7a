"""The package's own ways to a verified token: Django, DRF, Starlette and FastAPI; under the server and without it."""

import json
import subprocess
import sys
import time
from typing import Annotated

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from conftest import HERE
from ferricorn.jwt import InvalidToken, Verifier, bearer_token, from_environ, refusal, verify
from ferricorn.starlette import Bearer
from support.client import ask
from support.server import DEADLINE, FERRICORN, clean_environment

CONFIG = """
[auth]

[[auth.provider]]
name = "local"

[[auth.provider.key]]
alg = "HS256"
secret_file = "jwt.key"

[[auth.route]]
prefix = "/"
require = "optional"
"""

# simplejwt's bodies.
INACTIVE = {"detail": "User is inactive", "code": "user_inactive"}
NOT_FOUND = {"detail": "User not found", "code": "user_not_found"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A directory with keys, their configuration and a database of three users."""
    directory = tmp_path_factory.mktemp("jwt-site")
    (directory / "ferricorn.toml").write_text(CONFIG)
    subprocess.run([FERRICORN, "jwt", "keygen", "--alg", "HS256", "--out", "jwt.key"], cwd=directory, check=True, timeout=DEADLINE)
    make = (
        "import jwt_site\nfrom django.core.management import call_command\nfrom django.contrib.auth.models import User\n"
        "call_command('migrate', verbosity=0)\n"
        "User.objects.create(id=7, username='seven')\nUser.objects.create(id=8, username='eight', is_active=False)\n"
    )
    subprocess.run([sys.executable, "-c", make], cwd=directory, env=environment(directory), check=True, timeout=2 * DEADLINE)
    return directory


def environment(site):
    """For processes in which `jwt_site` is imported."""
    return clean_environment(TEST_SITE=str(site), PYTHONPATH=str(HERE / "apps"))


@pytest.fixture(scope="module")
def sign(site):
    """Makes tokens of the site's key."""

    def make(user, *more):
        claims = [f"user_id={user}", "jti=x", "token_type=access", *more]
        words = [word for claim in claims for word in ("--claim", claim)]
        ran = subprocess.run(
            [FERRICORN, "jwt", "sign", "--secret-file", "jwt.key", *words],
            cwd=site, capture_output=True, text=True, check=True, timeout=DEADLINE,
        )
        return ran.stdout.strip()

    return make


@pytest.fixture
def encode(site):
    """As `sign`, in this process."""
    key = (site / "jwt.key").read_text().strip()

    def make(user, **more):
        claims = {"user_id": user, "jti": "x", "token_type": "access", "exp": int(time.time()) + 60, **more}
        return jwt.encode(claims, key, "HS256")

    return make


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def server(serve, site):
    """The Django site under the server, with its [auth]."""
    return serve("jwt_site", "-w", "1", directory=site, environment={"TEST_SITE": str(site)}).ready()


def test_django_trusts_what_the_server_has_verified(server, sign):
    answer = ask(server, "GET", "/", fields=bearer(sign(7, "role=admin")))
    told = json.loads(answer.content)
    assert (told["user"], told["claims"]["role"], told["server"]) == ("seven", "admin", True)
    assert json.loads(ask(server, "GET", "/").content) == {"claims": None, "user": "", "server": False}
    assert ask(server, "GET", "/", fields=bearer(sign(7) + "x")).status == 401


def test_drf_trusts_what_the_server_has_verified(server, sign):
    answer = ask(server, "GET", "/protected", fields=bearer(sign(7)))
    assert json.loads(answer.content) == {"user": "seven", "kid": None, "provider": "local"}
    missing = ask(server, "GET", "/protected")
    assert (missing.status, missing.fields["WWW-Authenticate"]) == (401, 'Bearer realm="api"')
    for user, body in ((8, INACTIVE), (9, NOT_FOUND)):
        refused = ask(server, "GET", "/protected", fields=bearer(sign(user)))
        assert (refused.status, json.loads(refused.content)) == (401, body)


@pytest.mark.parametrize("target", ["jwt_site", "jwt_site:asgi", "jwt_site:dependency"])
def test_a_token_that_the_server_does_not_read_is_none_behind_it(serve, site, sign, target):
    """It may have been revoked, which the server alone knows."""
    (site / "open.toml").write_text(CONFIG.replace('"optional"', '"none"'))
    for config, user in (("ferricorn.toml", 7), ("open.toml", None)):
        server = serve(target, "-w", "1", "-c", config, directory=site, environment={"TEST_SITE": str(site)}).ready()
        claims = json.loads(ask(server, "GET", "/", fields=bearer(sign(7))).content)["claims"]
        assert (claims or {}).get("user_id") == user


@pytest.mark.parametrize(
    "name", ["ferricorn.jwt", "Ferricorn-Jwt", "Ferricorn.Jwt", "HTTP_FERRICORN_JWT", "Remote-User", "ferricorn_jwt", "Auth-Type"]
)
def test_no_field_of_a_client_passes_for_the_servers_word(server, name):
    forged = {name: json.dumps({"claims": {"user_id": 7}})}
    assert json.loads(ask(server, "GET", "/", fields=forged).content) == {"claims": None, "user": "", "server": False}
    assert ask(server, "GET", "/protected", fields=forged).status == 401


WITHOUT = """
import json, sys
import jwt_site
from django.test import Client, override_settings
client, answers = Client(), []
for path, token, config in json.loads(sys.argv[1]):
    fields = {"HTTP_AUTHORIZATION": token} if token else {}
    with override_settings(FERRICORN={"CONFIG": jwt_site.HERE / config}):
        answer = client.get(path, **fields)
    answers.append([answer.status_code, json.loads(answer.content), answer.headers.get("WWW-Authenticate")])
print(json.dumps(answers))
"""


def without(site, asked):
    """What the Django site answers a test client, by a configuration each: status, body and challenge."""
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT, json.dumps(asked)],
        cwd=site, env=environment(site), capture_output=True, text=True, check=True, timeout=2 * DEADLINE,
    )
    return json.loads(ran.stdout.splitlines()[-1])


def test_without_the_server_django_and_drf_verify_by_themselves(site, sign):
    asked = [
        ["/", None],
        ["/", f"Bearer {sign(7)}"],
        ["/", f"Bearer {sign(7)}x"],
        ["/protected", None],
        ["/protected", f"Bearer {sign(7)}"],
        ["/protected", f"bearer {sign(7)}"],
        ["/protected", "Basic YTpi"],
        ["/protected", f"Bearer {sign(8)}"],
        ["/protected", f"Bearer {sign(9)}"],
    ]
    answers = without(site, [[*each, "ferricorn.toml"] for each in asked])
    assert [answer[0] for answer in answers] == [200, 200, 200, 401, 200, 200, 401, 401, 401]
    assert [answer[1] for answer in answers[7:]] == [INACTIVE, NOT_FOUND]
    assert answers[3] == answers[6] == [401, {"detail": "Authentication credentials were not provided."}, 'Bearer realm="api"']
    assert answers[1][1]["user"] == "seven" and answers[1][1]["claims"]["user_id"] == 7
    assert answers[2][1] == {"claims": None, "user": "", "server": False}
    assert answers[4][1] == {"user": "seven", "kid": None, "provider": "local"}


MANNERS = {
    "simplejwt": "",
    "withheld": '\ndetail = false\nrealm = "site"\n[auth.extract]\nauthorization = ["JWT", "Bearer"]\n',
    "strict": '\npreset = "strict"\n',
}


def test_without_the_server_drf_refuses_in_its_words(serve, site, encode):
    """Clients go by the words of a refusal, whoever it comes from."""
    good = {"aud": "site", "iss": "us"}
    tokens = [
        encode(7, **good) + "x",
        encode(None, **good),
        encode(7, aud="other", iss="us"),
        encode(7, aud="site", iss="them"),
        encode(7, **good, exp=1000000000),
        encode(7, **good, nbf=4000000000),
        encode(7, **good | {"token_type": "refresh"}),
    ]
    fields = [*(f"Bearer {token}" for token in tokens), "Bearer", "Bearer a b"]
    for manner, lines in MANNERS.items():
        claims = 'name = "local"\ntoken_type = "access"\naudiences = ["site"]\nissuer = "us"\n'
        (site / f"{manner}.toml").write_text(CONFIG.replace("[auth]\n", f"[auth]\n{lines}").replace('name = "local"\n', claims))
    # Keys that only the server fetches: a 401 would end a session.
    key = '[[auth.provider.key]]\nalg = "HS256"\nsecret_file = "jwt.key"\n'
    (site / "fetched.toml").write_text(CONFIG.replace(key, 'jwks_url = "http://127.0.0.1:9/"\nalgorithms = ["ES256"]\n'))
    foreign = jwt.encode({"user_id": 7}, ec.generate_private_key(ec.SECP256R1()), "ES256")
    asked = [["/protected", field, f"{manner}.toml"] for manner in MANNERS for field in fields]
    *answers, unavailable = without(site, [*asked, ["/protected", f"Bearer {foreign}", "fetched.toml"]])
    assert unavailable == [503, {"detail": "The token cannot be verified at present; try again"}, None]
    refusals = iter(answers)
    for manner in MANNERS:
        server = serve("environ_app", "-w", "1", "-c", f"{manner}.toml", directory=site).ready()
        for field in fields:
            answer = ask(server, "GET", "/", fields={"Authorization": field})
            assert [answer.status, json.loads(answer.content), answer.fields["WWW-Authenticate"]] == next(refusals), (manner, field)


@pytest.mark.parametrize(("reason", "message"), [
    ("signature", "Token is invalid"), ("expired", "Token is expired"), ("revoked", "Token is revoked"), ("of somebody else", "Token is invalid"),
])
def test_the_servers_words_are_for_every_reason(reason, message):
    refused = refusal(InvalidToken(reason, "for logs"), realm="site")
    assert (refused.status, refused.body["messages"][0]["message"]) == (401, message)
    assert refused.challenge.startswith('Bearer realm="site", error="invalid_token", error_description="')


@pytest.mark.parametrize("realm", ['a"b', "a\\b", "a\r\nSet-Cookie: a=b", "\xe4"])
def test_a_realm_that_cannot_be_quoted_is_refused(realm):
    with pytest.raises(ValueError, match="quotes"):
        refusal(None, realm=realm)


def test_what_cannot_be_judged_now_is_no_401():
    for reason in ("no_keys", "no_state"):
        assert refusal(InvalidToken(reason, "for logs"))[::2] == (503, None)
    assert refusal(None, realm="site") == (401, {"detail": "Authentication credentials were not provided."}, 'Bearer realm="site"')


@pytest.fixture
def in_site(site, monkeypatch):
    """The site's configuration is the one that is read when none is named."""
    monkeypatch.setenv("FERRICORN_CONFIG", str(site / "ferricorn.toml"))


def starlette_app(dependency):
    async def show(request):
        token = await dependency(request)
        return JSONResponse(token and dict(token["claims"]))

    return Starlette(routes=[Route("/", show)])


def fastapi_app(dependency):
    app = FastAPI()

    @app.get("/")
    def show(token: Annotated[dict, Depends(dependency)]):
        return token and dict(token["claims"])

    @app.get("/whole")
    def whole(token: Annotated[dict, Depends(dependency)]) -> dict:
        return token

    return app


@pytest.mark.parametrize("make", [starlette_app, fastapi_app])
def test_a_dependency_verifies_where_no_server_does(in_site, sign, make):
    client = TestClient(make(Bearer()))
    assert client.get("/", headers=bearer(sign(7))).json()["user_id"] == 7
    if make is fastapi_app:
        assert client.get("/whole", headers=bearer(sign(7))).json()["claims"]["user_id"] == 7
    for token, error in ((None, ""), (sign(7) + "x", "invalid_token")):
        answer = client.get("/", headers=bearer(token) if token else {})
        assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith('Bearer realm="api"')
        assert error in answer.headers["www-authenticate"]
    assert 'error="invalid_request"' in client.get("/", headers=bearer("a b")).headers["www-authenticate"]
    twice = [("authorization", bearer(sign(7))["Authorization"])] * 2
    assert client.get("/", headers=twice).status_code == 401
    optional = TestClient(make(Bearer(required=False)))
    assert optional.get("/").json() is None
    assert optional.get("/", headers=bearer("x.y.z")).status_code == 401
    scoped = TestClient(make(Bearer(["read", "write"])))
    assert scoped.get("/", headers=bearer(sign(7, "scope=read"))).status_code == 403
    assert 'scope="read write"' in scoped.get("/", headers=bearer(sign(7))).headers["www-authenticate"]
    assert scoped.get("/", headers=bearer(sign(7, "scope=write read more"))).status_code == 200


def test_a_dependency_refuses_as_the_configuration_says(site, encode):
    manner = 'preset = "strict"\ndetail = false\nrealm = "site"\n[auth.extract]\nauthorization = ["JWT"]\n'
    (site / "manner.toml").write_text(CONFIG.replace("[auth]\n", f"[auth]\n{manner}"))
    client = TestClient(starlette_app(Bearer(config=site / "manner.toml")))
    challenge = 'JWT realm="site"'
    for field, status, error in (
        (f"Bearer {encode(7)}", 401, ""),
        (f"JWT {encode(7)}x", 401, ', error="invalid_token"'),
        ("JWT a b", 400, ', error="invalid_request"'),
    ):
        answer = client.get("/", headers={"Authorization": field})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (status, challenge + error)


def test_the_schema_of_an_api_says_that_a_token_is_asked_for():
    schema = fastapi_app(Bearer(["read"])).openapi()
    assert schema["components"]["securitySchemes"] == {"Bearer": {"type": "http", "scheme": "bearer"}}
    assert schema["paths"]["/"]["get"]["security"] == [{"Bearer": []}]


@pytest.mark.parametrize("make", [starlette_app, fastapi_app])
def test_a_dependency_trusts_the_servers_word_alone(make):
    """No configuration is there to verify by: what is given must come from the scope."""
    app = make(Bearer(config="/nowhere/ferricorn.toml"))

    async def as_server(scope, receive, send):
        if scope["path"] == "/" and scope["query_string"] == b"verified":
            scope = {**scope, "extensions": {**scope.get("extensions", {}), "ferricorn.jwt": {"claims": {"user_id": 7}}}}
        await app(scope, receive, send)

    client = TestClient(as_server)
    assert client.get("/?verified").json() == {"user_id": 7}
    forged = {"ferricorn.jwt": json.dumps({"claims": {"user_id": 7}}), "ferricorn-jwt": "{}"}
    assert client.get("/", headers=forged).status_code == 401


def test_a_verifier_says_what_the_server_would(site, sign):
    judge = Verifier(site / "ferricorn.toml")
    assert judge.verify(sign(7))["claims"]["user_id"] == 7
    assert judge.schemes == ["Bearer"]
    for token, reason in (("", "shape"), ("a.b.c", "shape"), (sign(7)[:-4] + "AAAA", "signature"), (sign(7, "exp=1000000000"), "expired")):
        with pytest.raises(InvalidToken) as refused:
            judge.verify(token)
        assert refused.value.args[0] == reason
    assert verify(None) is None and verify("Basic YTpi", site / "ferricorn.toml") is None
    assert from_environ({"HTTP_FERRICORN_JWT": "{}"}) is None


def test_what_a_token_says_is_a_dict_of_what_was_signed(site):
    claims = {"user_id": 7, "jti": "x", "token_type": "access", "exp": int(time.time()) + 60, "large": 10**40, "half": 0.5, "deep": [{"a": None}]}
    key = (site / "jwt.key").read_text().strip()
    token = Verifier(site / "ferricorn.toml").verify(jwt.encode(claims, key, "HS256"))
    assert type(token) is dict and token["claims"] == claims and list(token["claims"]) == list(claims)
    assert token == {"claims": claims, "header": {"alg": "HS256", "typ": "JWT"}, "provider": "local", "kid": None, "expires": claims["exp"]}


def test_a_claim_that_is_no_value_of_the_users_field_names_nobody(site):
    code = (
        "import jwt_site\nfrom django.test import override_settings\nfrom ferricorn.django import user_of\n"
        "for field, value in (('id', 7), ('id', 'seven'), ('id', 10**30), ('id', [7]), ('date_joined', 'seven')):\n"
        "    with override_settings(FERRICORN={'USER_ID_FIELD': field}):\n"
        "        print(user_of({'claims': {'user_id': value}}))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=site, env=environment(site), capture_output=True, text=True, check=True, timeout=2 * DEADLINE
    )
    assert ran.stdout.split() == ["seven", "None", "None", "None", "None"]


@pytest.mark.parametrize("settings", [{"USER_ID_CLIAM": "sub"}, ["CONFIG"]])
def test_settings_that_mean_nothing_are_refused(site, settings):
    code = (
        "import jwt_site\nfrom django.test import override_settings\nfrom ferricorn.django import option\n"
        f"with override_settings(FERRICORN={settings!r}): option('CONFIG')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=site, env=environment(site), capture_output=True, text=True, timeout=2 * DEADLINE)
    assert "ImproperlyConfigured: FERRICORN is a dict of CONFIG, USER_ID_CLAIM, USER_ID_FIELD, and not" in ran.stderr


def test_a_verifier_without_keys_says_what_is_missing(tmp_path):
    """Its files are looked for beside the configuration, wherever the process is."""
    for text, problem in (("", r"there is no \[auth\]"), (CONFIG, "jwt.key")):
        (tmp_path / "ferricorn.toml").write_text(text)
        with pytest.raises(ValueError, match=problem):
            Verifier(tmp_path / "ferricorn.toml")
    with pytest.raises(ValueError, match=r"nowhere\.toml: cannot be read: .*; FERRICORN_CONFIG, or the setting"):
        Verifier(tmp_path / "nowhere.toml")


def test_the_form_of_a_credential_is_the_servers():
    for good in ("Bearer abc", "bEARER abc", "Bearer  abc", "Bearer\tabc", " Bearer abc "):
        assert bearer_token(good) == "abc", good
    assert bearer_token(None) is None and bearer_token("") is None and bearer_token("Token abc") is None
    for wrong in ("Bearer", "Bearer ", "Bearer a b", "Bearer a\tb", "Bearer a,b", "Bearer a,"):
        with pytest.raises(InvalidToken):
            bearer_token(wrong)
