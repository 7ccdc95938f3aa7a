"""What a Django project's ``SIMPLE_JWT`` and ``AUTH_USER_MODEL`` say, in the words of ferricorn.toml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

__all__ = ["column", "database", "differences", "duration", "seconds", "text", "trial_token", "users"]


def differences(given: str) -> list[str]:
    """Where the loaded project and the configuration differ, a line each; ``given`` is what the latter says, as JSON."""
    from django.conf import settings

    if not settings.configured:
        return []
    ours = json.loads(given)
    lines: list[str] = []
    id_field = None
    if getattr(settings, "SIMPLE_JWT", None) is not None:
        from rest_framework_simplejwt.settings import api_settings

        lines += _tokens(ours, api_settings)
        id_field = api_settings.USER_ID_FIELD
    if ours["users"] is not None:
        lines += _users(ours["users"], id_field or "pk")
    if ours["users_asked"] is not None:
        lines += _users_asked(ours["users_asked"], id_field or ours["users_asked"]["id_column"])
    return lines


def trial_token() -> str | None:
    """An access token as the project issues it, for nobody; ``None`` where it issues none."""
    from django.conf import settings

    if not settings.configured or getattr(settings, "SIMPLE_JWT", None) is None:
        return None
    from rest_framework_simplejwt.settings import api_settings
    from rest_framework_simplejwt.tokens import AccessToken

    if not api_settings.SIGNING_KEY:
        return None
    token = AccessToken()
    token[api_settings.USER_ID_CLAIM] = "0"
    return str(token)


def _tokens(ours: dict[str, Any], jwt: Any) -> list[str]:
    """What is said of tokens."""
    audience = [jwt.AUDIENCE] if isinstance(jwt.AUDIENCE, str) else list(jwt.AUDIENCE or [])
    schemes = {name.lower() for name in ours["auth.extract.authorization"]}
    types = [kind.token_type for kind in jwt.AUTH_TOKEN_CLASSES]
    access, refresh = seconds(jwt.ACCESS_TOKEN_LIFETIME), seconds(jwt.REFRESH_TOKEN_LIFETIME)
    compared = [
        ("ALGORITHM", jwt.ALGORITHM, "auth.provider.algorithms", lambda own: jwt.ALGORITHM in own),
        ("ISSUER", jwt.ISSUER or "", "auth.provider.issuer", None),
        ("AUDIENCE", audience, "auth.provider.audiences", lambda own: own == ["*"] or set(own) == set(audience)),
        ("LEEWAY", seconds(jwt.LEEWAY), "auth.provider.leeway", None),
        ("USER_ID_CLAIM", jwt.USER_ID_CLAIM, "auth.provider.subject_claim", None),
        ("TOKEN_TYPE_CLAIM", jwt.TOKEN_TYPE_CLAIM, "auth.provider.token_type", lambda own: not own or jwt.TOKEN_TYPE_CLAIM == "token_type"),
        ("AUTH_TOKEN_CLASSES", types, "auth.provider.token_type", lambda own: not own or types == [own]),
        ("JTI_CLAIM", jwt.JTI_CLAIM, "auth.provider.require", lambda own: jwt.JTI_CLAIM == "jti" or "jti" not in own),
        ("AUTH_HEADER_TYPES", list(jwt.AUTH_HEADER_TYPES), "auth.extract.authorization", lambda own: {name.lower() for name in jwt.AUTH_HEADER_TYPES} <= schemes),
        ("ACCESS_TOKEN_LIFETIME", access, "auth.provider.max_lifetime", lambda own: access <= own),
    ]
    if ours["issues"]:
        compared += [
            ("ACCESS_TOKEN_LIFETIME", access, "auth.issue.access", None),
            ("REFRESH_TOKEN_LIFETIME", refresh, "auth.issue.refresh", None),
            ("ROTATE_REFRESH_TOKENS", bool(jwt.ROTATE_REFRESH_TOKENS), "auth.issue.rotate", None),
        ]
    lines = [
        f'{key} is {_shown(key, ours[key])}, and the project\'s SIMPLE_JWT["{name}"] is {_shown(key, theirs)}'
        for name, theirs, key, agree in compared
        if not (agree(ours[key]) if agree else ours[key] == theirs)
    ]
    # simplejwt has no such setting before 5.3.
    if ours["issues"] and getattr(jwt, "CHECK_REVOKE_TOKEN", False):
        lines.append(
            'auth.issue.enabled is true, and the project\'s SIMPLE_JWT["CHECK_REVOKE_TOKEN"] is true, by which its views refuse every token '
            "that the server issues"
        )
    return lines


def _users(ours: dict[str, Any], id_field: str) -> list[str]:
    """What is said of users."""
    from django.conf import settings
    from django.contrib.auth import get_user_model

    model = f"AUTH_USER_MODEL ({settings.AUTH_USER_MODEL})"
    theirs = users(get_user_model(), id_field)
    if ours["username_column"] != theirs["username_column"]:
        # Where nothing else is said the field is called as the column.
        del theirs["username_field"]
    lines = [
        f"auth.users.{key} is {_shown(key, ours[key])}, and the project's {model} has {_shown(key, value)}"
        for key, value in theirs.items()
        if ours[key] != value
    ]
    database_of_theirs = database()
    if database_of_theirs is not None and _place(database_of_theirs) != _place(ours["url"]):
        lines.append(f"auth.users.url is {ours['url']}, and the project's DATABASES[\"default\"] is {database_of_theirs}")
    return lines


def _users_asked(ours: dict[str, Any], id_field: str) -> list[str]:
    """What is said of users who are asked of the project itself: names of fields."""
    from django.contrib.auth import get_user_model

    model = get_user_model()
    names = {"id": "pk", model._meta.pk.name: "pk"}
    compared = [
        ("id_column", id_field, 'SIMPLE_JWT["USER_ID_FIELD"]', names.get(ours["id_column"], ours["id_column"]) == names.get(id_field, id_field)),
        ("username_field", model.USERNAME_FIELD, f"{model.__name__}.USERNAME_FIELD", ours["username_field"] == model.USERNAME_FIELD),
    ]
    return [
        f"auth.users.{key} is {_shown(key, ours[key])}, and the project's {name} is {_shown(key, theirs)}"
        for key, theirs, name, agree in compared
        if not agree
    ]


def _shown(key: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return text(duration(value))
    return text("" if value is None else value)


def _place(url: str) -> tuple[str, str]:
    """What two URLs of one database have in common: its kind, and its file or name."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        return scheme, str(Path(rest[1:]).resolve())
    return "postgres", rest.partition("?")[0].rpartition("/")[2]


def users(model: Any, id_field: str) -> dict[str, str]:
    """Table, columns and the name of the name of a user model, by the keys of ``[auth.users]``."""
    return {
        "table": model._meta.db_table,
        "id_column": column(model, id_field),
        "username_column": column(model, model.USERNAME_FIELD),
        "username_field": str(model.USERNAME_FIELD),
        "password_column": column(model, "password"),
        "active_column": column(model, "is_active"),
    }


def database() -> str | None:
    """The URL of the project's database, without a password; ``None`` where it can be read by no key."""
    from django.conf import settings

    of = settings.DATABASES.get("default", {})
    engine, name = str(of.get("ENGINE", "")), of.get("NAME")
    if engine.endswith("sqlite3") and name:
        return f"sqlite:///{Path(name).absolute()}"
    if engine.endswith(("postgresql", "postgis")) and name:
        user, host, port = (str(of.get(key) or "") for key in ("USER", "HOST", "PORT"))
        place = f"{quote(user, safe='')}@" if user else ""
        if host.startswith("/"):
            return f"postgres://{place}/{quote(str(name), safe='')}?host={quote(host)}"
        return f"postgres://{place}{host or 'localhost'}{f':{port}' if port else ''}/{quote(str(name), safe='')}"
    return None


def column(model: Any, name: str) -> str:
    """The column of a field; none if the model has no such field in its table."""
    field = next((field for field in model._meta.concrete_fields if name in (field.name, field.attname)), None)
    if name == "pk":
        field = model._meta.pk
    return field.column if field else ""


def seconds(value: Any) -> int:
    """A number or a timedelta, in whole seconds."""
    return int(value.total_seconds() if hasattr(value, "total_seconds") else value)


def duration(number: int) -> str:
    """Seconds as the configuration writes them."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if number and number % size == 0:
            return f"{number // size}{unit}"
    return f"{number}s"


def text(value: Any) -> str:
    """A text or a list of texts in TOML, whose strings are those of JSON."""
    return json.dumps(value, ensure_ascii=False)
