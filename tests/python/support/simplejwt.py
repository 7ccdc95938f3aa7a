"""The same requests to djangorestframework-simplejwt and to Ferricorn, and every difference between the answers.

``python tests/python/support/simplejwt.py`` prints them, for each of several projects or for those that are named. One
server has both: Django with simplejwt's views below /theirs/, and below /ours/ the server's own endpoints, by the section
that ``manage.py ferricorn_jwt`` prints for that project.
"""

import json
import re
import sys
from pathlib import Path

import jwt

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.client import ask
from support.server import Server
from support.simplejwt_projects import OURS, PROJECTS, THEIRS
from support.simplejwt_requests import Request, requests

# What is meant to differ, by the name of the request, and why.
MEANT = {
    "obtain: 70 KiB": "at most 64 KiB",
    "obtain: parts without end": "what has not come whole is not taken: 400",
    "obtain: Accept: text/html": "it is JSON in any case",
    "obtain: ?format=xml": "it is JSON in any case",
    "obtain: another charset": "JSON is UTF-8 (RFC 8259 8.1)",
    "obtain: half a letter": "no text can have it: 400",
    "obtain: a deep member": "at most 32 levels",
    "obtain: 300 members": "at most 256 members",
    "obtain: a name too long": "at most 254 letters",
    "obtain: a password too long": "at most 4096 letters: hashing takes time by its length",
    "obtain: OPTIONS": "the view's name and description are not told",
    "refresh: OPTIONS": "the view's name and description are not told",
    "verify: OPTIONS": "the view's name and description are not told",
    "blacklist: OPTIONS": "the view's name and description are not told",
    "obtain: a member twice": "two readings of one request: 400",
    "obtain: a member of a form twice": "two readings of one request: 400",
    "obtain: no slash at the end": "answered; a redirect loses what was posted",
    "refresh: no jti": "401, not 500",
    "refresh: no user": "401, not a token for nobody",
    "refresh: user who is gone": "401, not 500",
    "refresh: exp as text": "401, not 500",
    "refresh: exp beyond all calendars": "401, not 500",
    "refresh: user that is a list": "401, not 500",
    "refresh: user that is empty": "401, not 500",
    "refresh: user that is SQL": "401, not 500",
    "refresh: another issuer": "who has issued a token is said where issuer is set, and never what another has said",
    "refresh: a key's name": "401: there is no key of that name",
    "refresh: 9 KiB": "401: at most max_token_bytes",
    "verify: a key's name": "401: there is no key of that name",
    "verify: 9 KiB": "401: at most max_token_bytes",
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



def differences(server, project, directory):
    """Every request that is answered differently: name to both answers; and how many requests there were."""
    sign = project.signer(directory)
    sides = [list(requests(project, sign, pair(server, prefix, project))) for prefix in (THEIRS, OURS)]
    found = {}
    for theirs, ours in zip(*sides):
        answers = answer(server, THEIRS, theirs), answer(server, OURS, ours)
        if answers[0] != answers[1]:
            found[theirs.name] = answers
    # After its session has ended.
    revoked = [pair(server, prefix, project)["refresh"] for prefix in (THEIRS, OURS)]
    last = [("blacklist/", "refresh"), ("blacklist/", "refresh"), ("refresh/", "refresh"), ("verify/", "token")]
    for path, member in last:
        name = f"{path.rstrip('/')}: a token that was revoked"
        answers = [answer(server, prefix, Request(name, "POST", path, {member: token})) for prefix, token in zip((THEIRS, OURS), revoked)]
        if answers[0] != answers[1]:
            found[name] = tuple(answers)
    return found, len(sides[0]) + len(last)


def answer(server, prefix, request):
    """One answer, as far as it can be compared."""
    _, method, path, content, media_type, fields = request
    target = prefix.rstrip("/") if path is None else prefix + path
    if content is not None and media_type is None:
        content, media_type = json.dumps(content), "application/json"
    fields = {**fields, "Content-Type": media_type} if media_type else fields
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
    if "jti" in claims:
        claims["jti"] = f"{len(claims['jti'])} letters"
    header = jwt.get_unverified_header(match[0])
    return f"<{header} {life} s {dict(sorted(claims.items()))}>".replace('"', "'")


def pair(server, prefix, project):
    """A pair of tokens."""
    content = json.dumps({project.login: project.name, "password": "correct horse"})
    got = ask(server, "POST", prefix, content, {"Content-Type": "application/json"})
    assert got.status == 200, got
    return json.loads(got.content)


def closed(server, project):
    """Whose access tokens do not open the project's own view: nobody's."""
    found = []
    for prefix in (THEIRS, OURS):
        access = pair(server, prefix, project)["access"]
        got = ask(server, "GET", "/theirs/whoami/", None, {"Authorization": f"{project.scheme} {access}"})
        if (got.status, json.loads(got.content).get("user")) != (200, project.name):
            found.append((prefix, got))
    return found


def expected(project):
    """What is meant to differ in this project."""
    return {name: why for name, why in {**MEANT, **project.meant}.items() if name not in project.alike}


def report(found, count, meant):
    """The differences, to be read."""
    lines = [f"{count} requests, {len(found)} answered differently:"]
    for name, (theirs, ours) in found.items():
        lines.append(f"- {name}: {meant.get(name, 'NOT MEANT')}")
        for field in theirs:
            if theirs[field] != ours[field]:
                lines.append(f"    {field}: simplejwt {theirs[field]}\n    {' ' * len(field)}  ferricorn {ours[field]}")
    lines += [f"- {name}: NO DIFFERENCE, though it was meant ({meant[name]})" for name in meant if name not in found]
    return "\n".join(lines)


def main(names):
    """Prints every difference; exit code 1 if one is not meant."""
    import tempfile

    good = True
    for name, project in PROJECTS.items():
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory() as directory:
            project.prepare(directory)
            server = Server(["-c", "ferricorn.toml"], Path(directory), "tcp", None)
            try:
                found, count = differences(server.ready(), project, directory)
                refused = closed(server, project)
            finally:
                server.close()
        print(f"{name}: {report(found, count, expected(project))}")
        for prefix, got in refused:
            print(f"- the project's view does not take a token of {prefix}: {got.status} {got.content.decode()}")
        good = good and found.keys() == expected(project).keys() and not refused
    return int(not good)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
