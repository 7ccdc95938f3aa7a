"""Tokens that the server has verified, and the same judgement where no server stands in front.

Under Ferricorn ``environ["ferricorn.jwt"]`` (ASGI: ``scope["extensions"]["ferricorn.jwt"]``) is what a verified
token says. No client can write it: request fields arrive under names that begin with ``HTTP_``, or in
``scope["headers"]``. Under ``runserver`` or a test client nothing has verified the token; a :class:`Verifier`
then does, by the same code, the same rules and the same keys: those of ``[auth]`` in ``ferricorn.toml``.
"""

from __future__ import annotations

import json
import os
from typing import Any, Mapping, NamedTuple, Optional, Union

from ferricorn import _ferricorn
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
    reason = refused.args[0] if refused else "no_credential"
    status, body, challenge = judge.refusal(reason) if judge else _ferricorn.refusal(reason, realm)
    return Refusal(status, json.loads(body), challenge)


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
