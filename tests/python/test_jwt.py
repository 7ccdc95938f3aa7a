"""Tokens as others make them, and refusals as browsers see them."""

import json
import os
import random
import subprocess
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support.client import Client, ask
from support.server import FERRICORN
from test_ctl import ctl
from test_django import browser  # noqa: F401

SECRET = "a secret of more than thirty-two bytes, and of sixty-four: so every HMAC can use it"
RULE = """
[[auth.route]]
prefix = "/"
require = "local"
"""


def keys():
    """A signing key for each algorithm, and the public half where there is one."""
    pairs = {"RS256": rsa.generate_private_key(65537, 2048), "ES256": ec.generate_private_key(ec.SECP256R1())}
    pairs["PS384"], pairs["ES384"] = pairs["RS256"], ec.generate_private_key(ec.SECP384R1())
    pairs["EdDSA"] = ed25519.Ed25519PrivateKey.generate()
    halves = {name: (key, key.public_key()) for name, key in pairs.items()}
    return {**{name: (SECRET, SECRET) for name in ("HS256", "HS384", "HS512")}, **halves}


def configured(directory, all_keys):
    """A server's configuration that takes tokens of all these keys, by PyJWT's rules and ours."""
    text = '[[app]]\ntarget = "native:hello"\n[auth]\n[[auth.provider]]\nname = "local"\nissuer = "me"\n'
    text += 'audiences = ["us"]\nsubject_claim = "sub"\ntoken_type = ""\nrequire = ["exp"]\nmax_lifetime = "365d"\n'
    for name, (_, public) in all_keys.items():
        text += f'[[auth.provider.key]]\nalg = "{name}"\n'
        if name.startswith("HS"):
            text += "secret_file = \"secret\"\n"
        else:
            (directory / f"{name}.pem").write_bytes(
                public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            )
            text += f'pem_file = "{name}.pem"\n'
    (directory / "secret").write_text(SECRET)
    os.chmod(directory / "secret", 0o600)
    (directory / "ferricorn.toml").write_text(text + RULE)


def odd(chance, now):
    """Claims, most of them good, some odd."""
    claims = {"iss": "me", "aud": "us", "sub": "ann", "exp": now + 1000}
    odd_values = {
        "exp": [now - 5, now + 5000, now + 0.5 + 100, "soon", None, True, [], str(now + 100)],
        "nbf": [now - 10, now + 1000, "x", None],
        "iat": [now - 10, now + 1000, "x", None],
        "aud": ["them", ["us", "them"], ["them"], [], ["us", 1], 1, None, {}],
        "iss": ["you", ["me"], 1, None],
        "sub": ["bob", 1, None, ""],
        "jti": ["a", 1, None],
    }
    for name in chance.sample(sorted(odd_values), chance.choice([0, 1, 1, 2])):
        claims[name] = chance.choice(odd_values[name])
    for name in chance.sample(["exp", "aud", "iss", "sub"], chance.choice([0, 0, 0, 1])):
        claims.pop(name, None)
    return claims


def damaged(chance, token):
    """The token, sometimes with a byte changed."""
    if chance.random() < 0.8:
        return token
    at = chance.randrange(len(token))
    return token[:at] + chance.choice("Ab0-_.=x") + token[at + 1 :]


def by_pyjwt(token, public):
    """Whether PyJWT takes it, told to ask for what the server asks for."""
    try:
        jwt.decode(token, public, [jwt.get_unverified_header(token)["alg"]], audience="us", issuer="me",
                   options={"require": ["exp", "iss", "aud", "sub"]})
        return True
    except Exception:  # noqa: BLE001  # What PyJWT raises for hostile bytes is not the question.
        return False


def stricter(token):
    """Whether the server refuses what PyJWT takes, on purpose: RFC 7519 2 and 4.1."""
    claims = jwt.decode(token, options={"verify_signature": False})
    number = lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)  # noqa: E731
    times = [claims[name] for name in ("exp", "nbf", "iat") if name in claims]
    strings = [claims[name] for name in ("iss", "sub", "jti") if name in claims]
    audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    forms = [number(value) for value in times] + [isinstance(value, str) for value in strings + audiences]
    return not all(forms) or claims["sub"] == ""


def test_server_and_pyjwt_take_the_same_tokens(serve, tmp_path):
    all_keys = keys()
    configured(tmp_path, all_keys)
    server = serve("-c", "ferricorn.toml").ready()
    seed = int(os.environ.get("FERRICORN_SEED", "1"))
    chance, client, now, taken = random.Random(seed), Client(server), int(time.time()), 0
    for number in range(600):
        name = chance.choice(sorted(all_keys))
        private, public = all_keys[name]
        claims = odd(chance, now)
        header, payload = ({"alg": name, "typ": "JWT"}, json.dumps(claims).encode())
        token = damaged(chance, jwt.api_jws.PyJWS().encode(payload, private, name, header))
        expected = by_pyjwt(token, public)
        if expected and stricter(token):
            expected = False
        fields = {"Authorization": f"Bearer {token}"}
        status = client.ask("GET", "/", fields=fields).status
        assert status in ((200,) if expected else (400, 401)), f"seed {seed}, {number}: {claims} {token}"
        taken += expected
    client.close()
    assert 100 < taken < 500, "neither good nor bad tokens alone"


def test_changed_key_files_are_read_without_a_restart(serve, tmp_path):
    (tmp_path / "one").write_text(SECRET)
    (tmp_path / "two").write_text(SECRET[::-1])
    text = '[workers]\ncount = 2\n[[app]]\ntarget = "native:hello"\n[auth]\n[[auth.provider]]\nname = "local"\n'
    text += "".join(f'[[auth.provider.key]]\nalg = "HS256"\nsecret_file = "{name}"\n' for name in ("one", "two"))
    (tmp_path / "ferricorn.toml").write_text(text + RULE)
    server = serve("-c", "ferricorn.toml").ready()
    claims = {"token_type": "access", "exp": time.time() + 60, "jti": "a", "user_id": 1}

    def statuses(secret):
        fields = {"Authorization": "Bearer " + jwt.encode(claims, secret, "HS256")}
        return {ask(server, "GET", "/", fields=fields).status for _ in range(8)}

    new = "another secret of more than thirty-two bytes"
    assert (statuses(SECRET), statuses(new)) == ({200}, {401})
    (tmp_path / "new").write_text(new)
    os.replace(tmp_path / "one", tmp_path / "two")
    os.replace(tmp_path / "new", tmp_path / "one")
    code, output, complaint = ctl(server, "reload-keys")
    assert (code, complaint) == (0, ""), output
    assert (statuses(SECRET), statuses(new), statuses(SECRET[::-1])) == ({200}, {200}, {401})
    (tmp_path / "one").write_text("short")
    code, _, complaint = ctl(server, "reload-keys")
    assert code == 1 and "needs 32" in complaint
    assert statuses(new) == {200}, "the old ones stay"
    (tmp_path / "two").write_text("x" * 40)
    (tmp_path / "one").write_text("y" * 40)
    server.log.wait_for("keys have changed: the files of local")
    assert ctl(server, "reload-keys")[0] == 0
    assert (statuses("y" * 40), statuses(new)) == ({200}, {401})


PAGE = """
import json, os, time
import jwt

SECRET = os.environ["TOKEN_SECRET"]


def token(seconds):
    claims = {"token_type": "access", "exp": time.time() + seconds, "jti": "a", "user_id": "ann"}
    return jwt.encode(claims, SECRET, "HS256")


def application(environ, start_response):
    fields = [("Content-Type", "application/json"), ("Access-Control-Allow-Origin", environ.get("HTTP_ORIGIN", "*")),
              ("Access-Control-Allow-Headers", "authorization"), ("Vary", "Origin")]
    if environ["REQUEST_METHOD"] == "OPTIONS":
        start_response("204 No Content", fields)
        return [b""]
    if environ["PATH_INFO"] == "/page":
        start_response("200 OK", [("Content-Type", "text/html")])
        return [b"<title>page</title>"]
    if environ["PATH_INFO"] == "/login":
        content = token(float(environ["QUERY_STRING"]))
    else:
        content = environ["ferricorn.jwt"]["claims"]["user_id"]
    start_response("200 OK", fields)
    return [json.dumps(content).encode()]
"""
CLIENT = """
const [site, done] = arguments;
const login = async seconds => (await fetch(site + "/login?" + seconds)).json();
const ask = token => fetch(site + "/me", {headers: {authorization: "Bearer " + token}});
(async () => {
    const seen = [];
    let answer = await ask(await login(-10));
    seen.push(answer.status, answer.headers.get("www-authenticate"));
    if (answer.status === 401) answer = await ask(await login(60));
    seen.push(answer.status, await answer.json());
    return seen;
})().then(done, error => done(["error", String(error)]));
"""


@pytest.mark.parametrize("allowed", [True, False])
def test_page_of_another_origin_sees_the_refusal_and_refreshes(serve, tmp_path, browser, allowed):  # noqa: F811
    (tmp_path / "page_app.py").write_text(PAGE)
    (tmp_path / "secret").write_text(SECRET)
    pages = serve("page_app", environment={"TOKEN_SECRET": SECRET}).ready()
    origin = f"http://127.0.0.1:{pages.port}" if allowed else "https://other.example"
    (tmp_path / "ferricorn.toml").write_text(f"""
[[app]]
target = "page_app"
[auth]
cors.allowed_origins = ["{origin}"]
[[auth.provider]]
name = "local"
[[auth.provider.key]]
alg = "HS256"
secret_file = "secret"
[[auth.route]]
prefix = "/me"
require = "local"
[[auth.route]]
prefix = "/"
require = "none"
""")
    site = serve("-c", "ferricorn.toml", environment={"TOKEN_SECRET": SECRET}).ready()
    browser.set_script_timeout(30)
    browser.get(f"http://127.0.0.1:{pages.port}/page")
    seen = browser.execute_async_script(CLIENT, f"http://127.0.0.1:{site.port}")
    if allowed:
        challenge = 'Bearer realm="api", error="invalid_token", error_description="Token is expired"'
        assert seen == [401, challenge, 200, "ann"]
    else:
        assert seen[0] == "error", "without these fields a page learns nothing, and cannot refresh"


ISSUING = """
const [site, done] = arguments;
const post = (path, content) => fetch(site + "/api/token/" + path, {
    method: "POST", headers: {"content-type": "application/json", "x-trace": "1"}, body: JSON.stringify(content),
    credentials: "include",
});
(async () => {
    const seen = [];
    const wrong = await post("", {username: "ann", password: "wrong"});
    seen.push(wrong.status, wrong.headers.get("www-authenticate"));
    const first = await (await post("", {username: "ann", password: "correct horse"})).json();
    const next = await (await post("refresh/", {refresh: first.refresh})).json();
    const headers = {authorization: "Bearer " + next.access};
    const ended = await fetch(site + "/api/token/sessions/", {method: "DELETE", headers});
    seen.push((await ended.json()).ended, (await post("refresh/", {refresh: next.refresh})).status);
    return seen;
})().then(done, error => done(["error", String(error)]));
"""


def test_page_of_another_origin_logs_in_refreshes_and_logs_out(serve, tmp_path, browser):  # noqa: F811
    (tmp_path / "page_app.py").write_text(PAGE)
    (tmp_path / "secret").write_text(SECRET)
    pages = serve("page_app", environment={"TOKEN_SECRET": SECRET}).ready()
    (tmp_path / "ferricorn.toml").write_text(f"""
[[app]]
target = "native:echo"
[auth]
cors.allowed_origins = ["http://127.0.0.1:{pages.port}"]
[auth.issue]
enabled = true
rotate = true
[auth.store]
url = "sqlite:///{tmp_path}/auth.db"
[[auth.provider]]
name = "local"
[[auth.provider.key]]
alg = "HS256"
use = "sign+verify"
secret_file = "secret"
[[auth.route]]
prefix = "/"
require = "local"
""")
    command = [FERRICORN, "user", "add", "ann"]
    subprocess.run(command, cwd=tmp_path, input="correct horse\n", text=True, check=True, timeout=60)
    site = serve("-c", "ferricorn.toml").ready()
    browser.set_script_timeout(30)
    browser.get(f"http://127.0.0.1:{pages.port}/page")
    seen = browser.execute_async_script(ISSUING, f"http://127.0.0.1:{site.port}")
    assert seen == [401, 'Bearer realm="api"', 1, 401]


EVENTS = """
import time


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", environ["PATH_INFO"].strip("/").replace("-", "/", 1))])
    def events():
        for number in range(40):
            yield b"data: %d\\n\\n" % number
            time.sleep(0.1)
    return events()
"""


def test_event_stream_ends_with_its_token_and_other_content_does_not(serve, tmp_path):
    (tmp_path / "events_app.py").write_text(EVENTS)
    (tmp_path / "secret").write_text(SECRET)
    text = '[[app]]\ntarget = "events_app"\n[auth]\n[[auth.provider]]\nname = "local"\n'
    text += '[[auth.provider.key]]\nalg = "HS256"\nsecret_file = "secret"\n'
    (tmp_path / "ferricorn.toml").write_text(text + RULE)
    server = serve("-c", "ferricorn.toml").ready()

    def received(media_type):
        claims = {"token_type": "access", "exp": time.time() + 1, "jti": "a", "user_id": "ann"}
        fields = {"Authorization": "Bearer " + jwt.encode(claims, SECRET, "HS256")}
        answer = ask(server, "GET", f"/{media_type}", fields=fields)
        assert answer.status == 200
        return answer.content.count(b"data: ")

    assert received("text-plain") == 40
    assert 1 <= received("text-event-stream") < 40
