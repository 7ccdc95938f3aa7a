"""Tokens that the server has verified, and the same judgement where no server stands in front.

Under Ferricorn ``environ["ferricorn.jwt"]`` (ASGI: ``scope["extensions"]["ferricorn.jwt"]``) is what a verified
token says. No client can write it: request fields arrive under names that begin with ``HTTP_``, or in
``scope["headers"]``. Under ``runserver`` or a test client nothing has verified the token; a :class:`Verifier`
then does, by the same code, the same rules and the same keys: those of ``[auth]`` in ``ferricorn.toml``.
"""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import Any, Mapping, NamedTuple, Optional, Union

from ferricorn._ferricorn import InvalidToken, Verifier

__all__ = [
    "CONFIG_VARIABLE",
    "RETRY_SECONDS",
    "InvalidToken",
    "Refusal",
    "Verifier",
    "bearer_token",
    "from_environ",
    "from_scope",
    "is_scope_served",
    "is_served",
    "judge_at_hand",
    "refusal",
    "verifier",
    "verify",
]

#: What is in ``environ["ferricorn.jwt"]``: ``claims``, ``header``, ``provider``, ``kid`` and ``expires``.
Token = dict[str, Any]

#: Names the configuration file where the code does not; without it ``ferricorn.toml`` is read.
CONFIG_VARIABLE = "FERRICORN_CONFIG"

#: What a 503 has in Retry-After, as the server's.
RETRY_SECONDS = 5

_BLANKS = " \r\n\f"
_KEY = "ferricorn.jwt"
_SERVER = "ferricorn"
_verifiers: dict[str, Verifier] = {}


def from_environ(environ: Mapping[str, Any]) -> Optional[Token]:
    """What the server says of a WSGI request; None where it has verified no token."""
    return environ.get(_KEY)


def is_served(environ: Mapping[str, Any]) -> bool:
    """Whether Ferricorn serves this WSGI request: what it has not verified then is not to be taken for verified."""
    return str(environ.get("SERVER_SOFTWARE", "")).startswith("ferricorn/")


def from_scope(scope: Mapping[str, Any]) -> Optional[Token]:
    """What the server says of an ASGI connection; None where it has verified no token."""
    return (scope.get("extensions") or {}).get(_KEY)


def is_scope_served(scope: Mapping[str, Any]) -> bool:
    """As `is_served`, of an ASGI connection."""
    return _SERVER in (scope.get("extensions") or {})


def verifier(config: Union[str, "os.PathLike[str]", None] = None) -> Verifier:
    """The verifier of a configuration file, made once per process; changed keys need a new process, as in the server."""
    path = os.path.abspath(config or os.environ.get(CONFIG_VARIABLE) or "ferricorn.toml")
    if path not in _verifiers:
        _verifiers[path] = Verifier(path)
    return _verifiers[path]


def bearer_token(authorization: Optional[str], schemes: "list[str] | tuple[str, ...]" = ("Bearer",)) -> Optional[str]:
    """The token in the value of an Authorization field; None where there is no credential of these schemes.

    Raises:
        InvalidToken: There is one, but not in the form ``Bearer TOKEN``.
    """
    # As the server splits them (`middleware/bearer/extract.rs`): by as many blanks as there are, and a comma makes two of one.
    scheme, _, token = (authorization or "").replace("\t", " ").strip(_BLANKS).partition(" ")
    token = token.strip(_BLANKS)
    if scheme.lower() not in [known.lower() for known in schemes]:
        return None
    if not token or " " in token or "," in token:
        raise InvalidToken("credential_malformed", "Authorization header must contain two space-delimited values")
    return token


class Refusal(NamedTuple):
    """How a request is refused."""

    status: int
    #: As JSON.
    body: dict[str, Any]
    #: The WWW-Authenticate field; None where another token would not help.
    challenge: Optional[str]


def refusal(refused: Optional[InvalidToken], judge: Optional[Verifier] = None, realm: str = "api") -> Refusal:
    """How the server refuses a token, or a request without one, by the ``[auth]`` that ``judge`` has.

    Without a ``judge``, as behind the server, in the words of ``preset = "simplejwt"``.
    """
    # As the server does (`middleware/bearer/challenge.rs`).
    reason, description = refused.args if refused else ("no_credential", "Authentication credentials were not provided.")
    is_strict = judge is not None and judge.preset == "strict"
    is_told = judge is None or judge.detail
    status = 401
    if reason == "no_keys":
        status = 503
    elif reason == "credential_malformed" and is_strict:
        status = 400
    if is_strict:
        body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
        body.update({"detail": description} if is_told else {})
    else:
        body = _simplejwt_body(reason, description, is_told)
    return Refusal(status, body, _challenge(reason, description if is_told else None, judge, realm))


def _simplejwt_body(reason: str, description: str, is_told: bool) -> dict[str, Any]:
    if reason in ("no_credential", "no_keys"):
        return {"detail": description}
    if reason in _OTHER_CODES and (is_told or reason not in ("inactive", "no_user")):
        return {"detail": description, "code": _OTHER_CODES[reason]}
    return {
        "detail": "Given token not valid for any token type",
        "code": "token_not_valid",
        "messages": [
            {
                "token_class": "AccessToken",
                "token_type": "access",
                "message": description if is_told and reason in _SIMPLEJWT_MESSAGES else "Token is invalid",
            }
        ],
    }


def _challenge(reason: str, description: Optional[str], judge: Optional[Verifier], realm: str) -> Optional[str]:
    """RFC 6750 3.1: without a credential no error is named."""
    if reason == "no_keys":
        return None
    scheme, realm = ((judge.schemes or ["Bearer"])[0], judge.realm) if judge else ("Bearer", realm)
    words = [f'{scheme} realm="{realm}"']
    if reason != "no_credential":
        words.append(f'error="{"invalid_request" if reason == "credential_malformed" else "invalid_token"}"')
        words += [f'error_description="{description}"'] if description else []
    return ", ".join(words)


#: What simplejwt has its own message for, and what it says in other bodies.
_SIMPLEJWT_MESSAGES = ("expired", "token_type", "no_token_type", "no_id", "no_expiry")
_OTHER_CODES = {
    "credential_malformed": "bad_authorization_header",
    "subject": "token_not_valid",
    "inactive": "user_inactive",
    "no_user": "user_not_found",
}


def judge_at_hand(config: Union[str, "os.PathLike[str]", None] = None) -> Optional[Verifier]:
    """The verifier of a configuration file; None where there is none that can be used: who sends no token needs none."""
    try:
        return verifier(config)
    except ValueError:
        return None


def verify(authorization: Optional[str], config: Union[str, "os.PathLike[str]", None] = None) -> Optional[Token]:
    """What the token in an Authorization field says, judged in this process; None where there is none.

    Raises:
        InvalidToken: It is refused. ``args`` are a word for logs, and what the client may be told.
    """
    if not authorization:
        return None
    judge = verifier(config)
    token = bearer_token(authorization, judge.schemes)
    return None if token is None else judge.verify(token)
