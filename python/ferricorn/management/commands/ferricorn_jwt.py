"""``manage.py ferricorn_jwt``: the ``[auth]`` section that does what this project's SIMPLE_JWT does.

For projects with djangorestframework-simplejwt and ``"ferricorn"`` in INSTALLED_APPS.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Iterator

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from ferricorn.simplejwt import database, duration, seconds, text, users

# What has no counterpart, its default, and what that means.
LEFT_OUT = {
    "AUTH_HEADER_NAME": ("HTTP_AUTHORIZATION", "tokens are looked for in Authorization"),
    "JSON_ENCODER": (None, "claims are plain JSON"),
}
# The same where the server issues.
NOT_ISSUED = {
    "TOKEN_TYPE_CLAIM": ("token_type", "the claim is always called token_type, and tokens without it, as simplejwt has issued them, end here"),
    "JTI_CLAIM": ("jti", "the claim is always called jti, and tokens without it, as simplejwt has issued them, end here"),
    "UPDATE_LAST_LOGIN": (False, "the table of users is only read"),
    "CHECK_REVOKE_TOKEN": (
        False,
        "set it to False, since simplejwt would refuse every token that the server issues; sessions end with their passwords by user_state",
    ),
    "CHECK_USER_IS_ACTIVE": (True, "users that are not active get no tokens, and lose those that they have by user_state"),
}
# Of the configuration: what leeway may be, and what auth.issue.session_max is.
LONGEST_LEEWAY, USUAL_SESSION = 300, 30 * 86400
ALGORITHMS = "HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA".split()
RULES = "rest_framework_simplejwt.authentication.default_user_authentication_rule"


class Command(BaseCommand):
    """Prints the section; the key goes into a file of its own, never to the terminal."""

    help = "Print the [auth] section of ferricorn.toml that does what SIMPLE_JWT says."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--key-file", default="jwt.key", help="file to write the key to (default: %(default)s)")
        parser.add_argument(
            "--verify-only", action="store_true", help="let Django go on issuing tokens; the server only verifies them"
        )

    def handle(self, *args: Any, key_file: str, verify_only: bool, **options: Any) -> None:
        try:
            from rest_framework_simplejwt.settings import api_settings
        except ImportError:
            raise CommandError("djangorestframework-simplejwt is not installed here") from None
        # Without --verify-only, what can sign; else what can verify.
        if api_settings.ALGORITHM not in ALGORITHMS:
            raise CommandError(f"the server has no {api_settings.ALGORITHM}; change ALGORITHM to one of {', '.join(ALGORITHMS)}")
        symmetric = api_settings.ALGORITHM.startswith("HS")
        fetched = api_settings.JWK_URL if verify_only else None
        if not fetched:
            key = api_settings.VERIFYING_KEY if verify_only and not symmetric else api_settings.SIGNING_KEY
            least = int(api_settings.ALGORITHM[2:]) // 8 if symmetric else 0
            if len(key.encode() if isinstance(key, str) else key) < least:
                raise CommandError(
                    f"SIGNING_KEY is shorter than the {least} bytes that {api_settings.ALGORITHM} needs (RFC 7518 3.2), and the server "
                    "refuses it: change it first; tokens that it has signed end with it"
                )
            write_key(Path(key_file), key)
            self.stderr.write(f"the key is in {key_file}")
        for line in section(api_settings, key_file, verify_only, fetched):
            self.stdout.write(line)


def write_key(path: Path, key: str | bytes) -> None:
    """A file that only its owner reads; one of the same key is left alone."""
    key = key.encode() if isinstance(key, str) else key
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        # An editor ends files with a line end that is not part of the key.
        if path.read_bytes().removesuffix(b"\n") == key.removesuffix(b"\n"):
            return
        raise CommandError(f"{path} is there, with another key; name another file by --key-file") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)


def section(jwt: Any, key_file: str, verify_only: bool, fetched: str | None) -> Iterator[str]:
    """The lines of the section."""
    yield "[auth]"
    types = list(jwt.AUTH_HEADER_TYPES)
    if types != ["Bearer"]:
        yield from ("", "[auth.extract]", f"authorization = {text(types)}")
    if not verify_only:
        yield from issuing(jwt)
    yield from ("", "[[auth.provider]]", 'name = "local"')
    if jwt.ISSUER:
        yield f"issuer = {text(jwt.ISSUER)}"
    if jwt.AUDIENCE:
        yield f"audiences = {text([jwt.AUDIENCE] if isinstance(jwt.AUDIENCE, str) else list(jwt.AUDIENCE))}"
    leeway = seconds(jwt.LEEWAY)
    if leeway:
        yield f"leeway = {text(duration(min(leeway, LONGEST_LEEWAY)))}"
    if jwt.USER_ID_CLAIM != "user_id":
        yield f"subject_claim = {text(jwt.USER_ID_CLAIM)}"
    types = token_types(jwt)
    renamed = jwt.TOKEN_TYPE_CLAIM != "token_type"
    if verify_only and (renamed or types != ["access"]):
        yield f"token_type = {text('' if renamed or len(types) > 1 else types[0])}"
    if verify_only and jwt.JTI_CLAIM != "jti":
        yield f"require = {text(['exp', *filter(None, [jwt.JTI_CLAIM])])}"
    longest = seconds(jwt.SLIDING_TOKEN_LIFETIME if "sliding" in types else jwt.ACCESS_TOKEN_LIFETIME)
    if longest > 30 * 86400:
        yield f"max_lifetime = {text(duration(longest))}"
    if fetched:
        yield from (f"jwks_url = {text(fetched)}", f"algorithms = {text([jwt.ALGORITHM])}")
    else:
        source = "secret_file" if jwt.ALGORITHM.startswith("HS") else "pem_file"
        yield from ("", "[[auth.provider.key]]", f"alg = {text(jwt.ALGORITHM)}")
        if not verify_only:
            yield 'use = "sign+verify"'
        yield f"{source} = {text(key_file)}"
    yield from ("", "# Say here which paths need a token: require = \"local\".")
    yield from ("[[auth.route]]", 'prefix = "/"', 'require = "optional"')
    if verify_only and renamed and jwt.TOKEN_TYPE_CLAIM:
        yield "# In each route that you add, too: without it refresh tokens pass as well."
        yield f"claims = {{ {text(jwt.TOKEN_TYPE_CLAIM)} = {{ in = {text(types)} }} }}"
    for line in left_out(jwt, verify_only):
        yield f"# {line}"


def token_types(jwt: Any) -> list[str]:
    """What the claim ``token_type`` says in the tokens that views take."""
    return [kind.token_type for kind in jwt.AUTH_TOKEN_CLASSES]


def issuing(jwt: Any) -> Iterator[str]:
    """``[auth.issue]`` and ``[auth.users]``."""
    yield from ("", "[auth.issue]", "enabled = true")
    yield f"access = {text(duration(seconds(jwt.ACCESS_TOKEN_LIFETIME)))}"
    refresh = seconds(jwt.REFRESH_TOKEN_LIFETIME)
    yield f"refresh = {text(duration(refresh))}"
    if refresh > USUAL_SESSION:
        yield f"session_max = {text(duration(refresh))}"
    yield f"rotate = {'true' if jwt.ROTATE_REFRESH_TOKENS else 'false'}"
    yield from ("", "[auth.users]", 'kind = "django"')
    url = database()
    if url is None:
        engine = settings.DATABASES["default"]["ENGINE"]
        yield f"# {engine} cannot be read: let Django go on issuing (--verify-only), or write kind = \"python\"."
    else:
        yield f"url = {text(url)}"
    if settings.DATABASES["default"].get("PASSWORD"):
        yield "# It needs the password: name the whole URL in the environment, as FERRICORN_AUTH_USERS_URL."
    values = users(get_user_model(), jwt.USER_ID_FIELD)
    usual = {"table": "auth_user", "id_column": "id", "username_column": "username", "password_column": "password", "active_column": "is_active"}
    usual["username_field"] = values["username_column"]
    for name, value in values.items():
        if value != usual[name]:
            yield f"{name} = {text(value)}"


def left_out(jwt: Any, verify_only: bool) -> Iterator[str]:
    """What the section does not do."""
    for name, (default, meaning) in (LEFT_OUT if verify_only else {**LEFT_OUT, **NOT_ISSUED}).items():
        if getattr(jwt, name, default) != default:
            yield f"{name} is left out: {meaning}."
    if seconds(jwt.LEEWAY) > LONGEST_LEEWAY:
        yield f"LEEWAY is more than {duration(LONGEST_LEEWAY)}, the most that there is here."
    types = token_types(jwt)
    if verify_only:
        if len(types) > 1 and jwt.TOKEN_TYPE_CLAIM == "token_type":
            yield f"AUTH_TOKEN_CLASSES are several ({', '.join(types)}): token_type is not checked, so refresh tokens pass, too."
        return
    if types != ["access"]:
        yield f"AUTH_TOKEN_CLASSES is left out ({', '.join(types)}): access tokens are issued and taken; else let Django go on issuing (--verify-only)."
    if jwt.ROTATE_REFRESH_TOKENS and not jwt.BLACKLIST_AFTER_ROTATION:
        yield (
            "BLACKLIST_AFTER_ROTATION is left out: a refresh token that was replaced comes to its end here, too; a client that goes on using "
            "it after reuse_grace ends its session."
        )
    own = getattr(settings, "SIMPLE_JWT", {})
    if own.get("USER_AUTHENTICATION_RULE", RULES) != RULES:
        yield "USER_AUTHENTICATION_RULE is left out: users that are active may log in."
    for name in own:
        if name.endswith("_SERIALIZER"):
            yield f"{name} is left out: tokens have the claims of auth.issue.extra_claims."
    backends = [name for name in settings.AUTHENTICATION_BACKENDS if name != "django.contrib.auth.backends.ModelBackend"]
    if backends:
        yield f"AUTHENTICATION_BACKENDS is left out ({', '.join(backends)}): names and passwords are looked up in the table."
