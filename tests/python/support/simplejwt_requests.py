"""What both sides are asked: good requests, and every oddity that clients have been seen to send."""

import json
import time
from typing import Any, NamedTuple

import jwt

FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=xx"
JSON = "application/json"


class Request(NamedTuple):
    """One request below a prefix; content that is no text and no bytes goes as JSON."""

    name: str
    method: str
    # `None`: the prefix without its last slash.
    path: "str | None"
    content: Any = None
    media_type: "str | None" = None
    fields: dict = {}


def requests(project, sign, issued):
    """The requests to one side; ``issued`` is a pair of tokens that it has issued."""
    good = {project.login: project.name, "password": "correct horse"}
    for name, *rest in contents(project, good):
        yield Request(f"obtain: {name}", "POST", "", *rest)
    for name, query, fields in [
        ("Accept: text/html", "", {"Accept": "text/html"}),
        ("Accept: text/html, and all else", "", {"Accept": "text/html,*/*;q=0.1"}),
        ("?format=xml", "?format=xml", {}),
        ("another query", "?x=1", {}),
        ("a token that is none", "", {"Authorization": f"{project.scheme} garbage"}),
        ("name and password by the field", "", {"Authorization": "Basic ZGVtbzpkZW1v"}),
        ("another method by a field", "", {"X-HTTP-Method-Override": "GET"}),
    ]:
        yield Request(f"obtain: {name}", "POST", query, good, None, fields)
    for path, member in (("refresh", "refresh"), ("verify", "token"), ("blacklist", "refresh")):
        for name, token in tokens(project, sign, issued, path).items():
            if path == "blacklist" and name not in ("access token", "garbage", "expired", "no type"):
                continue
            if path == "verify" and name == "good":
                token = issued["access"]
            yield Request(f"{path}: {name}", "POST", f"{path}/", {member: token})
        for name, value in [
            ("missing", {}), ("blank", {member: ""}), ("null", {member: None}), ("true", {member: True}),
            ("a number", {member: 1}), ("a list", {member: ["x"]}), ("other letters", {member: "\u00e9.\u00e9.\u00e9"}),
            ("NUL", {member: "a.b\0.c"}), ("an array", [member]), ("blanks around", {member: f"\n {issued['access']} \t"}),
        ]:
            yield Request(f"{path}: {name}", "POST", f"{path}/", value)
        yield Request(f"{path}: a form", "POST", f"{path}/", f"{member}=x", FORM)
        yield Request(f"{path}: plain text", "POST", f"{path}/", "x", "text/plain")
    for path in ("", "refresh/", "verify/", "blacklist/"):
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "OTHER"):
            yield Request(f"{path.rstrip('/') or 'obtain'}: {method}", method, path)
    yield Request("refresh: a token that was replaced", "POST", "refresh/", {"refresh": issued["refresh"]})
    yield Request("verify: a token that was replaced", "POST", "verify/", {"token": issued["refresh"]})
    yield Request("obtain: no slash at the end", "POST", None, good)


def contents(project, good):
    """What a login may consist of: a name, the content, and its media type."""
    login, name = project.login, project.name
    part = '--xx\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    parts = part.format(login, name) + part.format("password", "correct horse") + "--xx--\r\n"
    text = json.dumps(good)
    return [
        ("good", good),
        ("good, as a form", f"{login}={name}&password=correct+horse", FORM),
        ("good, as a form in UTF-8", f"{login}={name}&password=correct+horse", FORM + "; charset=UTF-8"),
        ("good, in parts", parts, PARTS),
        ("good, in parts with a preamble", "before\r\n" + parts + "after", PARTS.replace("xx", '"xx"')),
        ("blanks around", {login: f" {name} ", "password": " correct horse\t"}),
        ("more blanks around", {login: f"\u00a0{name}\u3000", "password": "\x1fcorrect horse\x85"}),
        ("blanks before and after", f"\r\n {text}\n\n", JSON),
        ("more than is asked for", {**good, "x": [1]}),
        ("wrong password", {**good, "password": "wrong"}),
        ("unknown user", {**good, login: "nobody@site.example"}),
        ("inactive user", {**good, login: project.away}),
        ("other case", {**good, login: name.upper()}),
        ("SQL", {**good, login: "' OR '1'='1' --"}),
        ("numbers", {login: 1, "password": 2.5}),
        ("nothing", None),
        ("empty object", {}),
        ("name missing", {"password": "x"}),
        ("password missing", {login: "x"}),
        ("null", {**good, login: None}),
        ("null as password", {**good, "password": None}),
        ("blank", {**good, "password": "  "}),
        ("empty", {login: "", "password": ""}),
        ("a list", {**good, login: ["demo"]}),
        ("an object", {**good, login: {}}),
        ("true", {**good, "password": True}),
        ("NUL", {**good, "password": "a\0b"}),
        ("NUL in a form", f"{login}=a%00b&password=x", FORM),
        ("an array", [good]),
        ("an empty array", []),
        ("a text", "demo"),
        ("null alone", "null", JSON),
        ("a number alone", "1", JSON),
        ("a fraction alone", "1.5", JSON),
        ("true alone", "true", JSON),
        ("JSON that is none", '{"username":', JSON),
        ("NaN", f'{{"{login}": NaN}}', JSON),
        ("a member twice", f'{{"{login}":"x",{text[1:]}', JSON),
        ("a member of a form twice", f"{login}=x&{login}={name}&password=correct+horse", FORM),
        ("a byte order mark", b"\xef\xbb\xbf" + text.encode(), JSON),
        ("bytes that are no UTF-8", b'{"password":"\xff"}', JSON),
        ("plain text", "demo", "text/plain"),
        ("no media type", b"demo", ""),
        ("a media type that is none", "demo", "json"),
        ("a media type in capitals", text, "Application/JSON"),
        ("an empty form", "", FORM),
        ("empty JSON", "", JSON),
        ("charset", text, "application/json; charset=utf-8"),
        ("another charset", f'{{"{login}":"d\u00e9","password":"x"}}'.encode("latin-1"), "application/json; charset=latin-1"),
        ("a charset that is none", text, "application/json; charset=nonsense"),
        ("a type of JSON", text, "application/vnd.api+json"),
        ("other letters", {login: "\u0434\u0435\u043c\u0430", "password": "\u043f\u0430\u0440\u043e\u043b\u044c"}),
        ("150 other letters", {login: "\u0434" * 150, "password": "x"}),
        ("bytes that are no letters", f"{login}=%D0%B4&password=%ff", FORM),
        ("half a letter", f'{{"{login}":"\\ud800","password":"x"}}', JSON),
        ("a number beyond all", f'{{"{login}":123456789012345678901234567890,"password":1e5}}', JSON),
        ("a deep member", text[:-1] + ',"x":' + "[" * 100 + "]" * 100 + "}", JSON),
        ("300 members", {**good, **{f"m{number}": number for number in range(300)}}),
        ("a name too long", {**good, login: "a" * 300}),
        ("a password too long", {**good, "password": "a" * 5000}),
        ("70 KiB", {**good, "x": "x" * 70_000}),
        ("parts without boundary", "x", "multipart/form-data"),
        ("parts without end", parts[:-20], PARTS),
        ("a file as password", parts.replace('"password"', '"password"; filename="a"'), PARTS),
    ]


def tokens(project, sign, issued, path):
    """Tokens that may be presented, by name."""
    now, first, second, gone = int(time.time()), *project.ids

    def made(header=None, **claims):
        return sign(project.claims(**claims), header)

    def raw(**changes):
        """With texts in place of the JSON of claims."""
        members = {name: json.dumps(value) for name, value in project.claims().items()} | changes
        return sign("{" + ",".join(f'"{name}":{text}' for name, text in members.items()) + "}")

    key = "k" * 40
    return {
        "good": issued["refresh"],
        "access token": issued["access"],
        "garbage": "garbage",
        "three parts of garbage": "a.b.c",
        "another key": jwt.encode({"exp": now + 60}, key, "HS256"),
        "unsigned": jwt.encode({"exp": now + 60}, None, "none"),
        "expired": made(exp=now - 10),
        "not good yet": made(nbf=now + 600),
        "no jti": made(jti=None),
        "jti that is a number": raw(jti=str(time.monotonic_ns())),
        "no type": made(token_type=None),
        "type that is a list": made(token_type=["refresh"]),
        "no exp": made(exp=None),
        "no user": made(user_id=None),
        "inactive user": made(user_id=second),
        "user who is gone": made(user_id=gone),
        "user that is a list": made(user_id=[1]),
        "user as a number": made(user_id=1),
        "user that is empty": made(user_id=""),
        "user that is SQL": made(user_id="1 OR 1=1"),
        "exp as text": raw(exp=f'"{now + 600}"'),
        "exp beyond all calendars": made(exp=10**18),
        "an audience that nobody asked for": made(aud="x"),
        "another issuer": made(iss="https://x.example"),
        "another typ": made(header={"typ": "dpop+jwt"}),
        "a key's name": made(header={"kid": "x"}),
        "an extension that must be known": made(header={"crit": ["x"], "x": 1}),
        "a claim twice": raw(jti=f'"{path}-twice","jti":"{path}-once"'),
        "iat in the future": made(iat=now + 600),
        "made by simplejwt": made(),
        "custom claim": made(tenant="a", roles=["b", {"c": None}], n=1.5),
        "9 KiB": made(more="x" * 9000),
    }
