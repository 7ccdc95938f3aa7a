"""Django middleware: ``request.jwt``, and the user that a token names.

Settings, all optional::

    FERRICORN = {
        "CONFIG": BASE_DIR / "ferricorn.toml",  # whose [auth] is used where no server has verified the token
        "USER_ID_CLAIM": "user_id",  # default: SIMPLE_JWT's; None: request.user is left alone
        "USER_ID_FIELD": "id",  # default: SIMPLE_JWT's
    }
"""

from __future__ import annotations

from typing import Any, Callable, Optional

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from ferricorn.jwt import InvalidToken, Token, from_environ, from_scope, is_scope_served, is_served, verify

__all__ = ["JWTMiddleware", "named_user", "option", "served", "token_of", "user_of"]

_DEFAULTS = {"CONFIG": None, "USER_ID_CLAIM": "user_id", "USER_ID_FIELD": "id"}


def option(name: str) -> Any:
    """A setting of ``FERRICORN``, or what simplejwt goes by, or its default."""
    given = getattr(settings, "FERRICORN", {})
    if not isinstance(given, dict) or not given.keys() <= _DEFAULTS.keys():
        raise ImproperlyConfigured(f"FERRICORN is a dict of {', '.join(_DEFAULTS)}, and not {given!r}")
    simplejwt = getattr(settings, "SIMPLE_JWT", None) or {}
    return given.get(name, simplejwt.get(name, _DEFAULTS[name]))


def served(request: HttpRequest) -> bool:
    """Whether Ferricorn serves this request."""
    scope = getattr(request, "scope", None)
    return is_served(request.META) if scope is None else is_scope_served(scope)


def token_of(request: HttpRequest) -> Optional[Token]:
    """What the request's token says: by the server's word, or verified here.

    Raises:
        InvalidToken: The server has not verified it, and it is refused here.
    """
    scope = getattr(request, "scope", None)
    said = from_environ(request.META) if scope is None else from_scope(scope)
    if said is not None or served(request):
        return said
    return verify(request.META.get("HTTP_AUTHORIZATION"), option("CONFIG"))


def named_user(token: Token) -> Any:
    """The active user whom a token names.

    Raises:
        InvalidToken: There is no such user.
    """
    name, claim = option("USER_ID_FIELD"), option("USER_ID_CLAIM")
    value = token["claims"].get(claim) if claim else None
    if value is None:
        raise InvalidToken("subject", "Token contained no recognizable user identification")
    try:
        user = get_user_model()._default_manager.get(**{name: value})
    # What is no value of the field, such as text for a UUID, names nobody either.
    except (get_user_model().DoesNotExist, TypeError, ValueError, OverflowError, ValidationError):
        raise InvalidToken("no_user", "User not found") from None
    if not user.is_active:
        raise InvalidToken("inactive", "User is inactive")
    return user


def user_of(token: Token) -> Any:
    """The active user whom a token names; None where there is no such user."""
    try:
        return named_user(token)
    except InvalidToken:
        return None


class JWTMiddleware:
    """Sets ``request.jwt``: what a good token says, or None. Stands behind ``AuthenticationMiddleware``.

    With a good token ``request.user`` is whom it names, whatever the session says. A bad one counts as none: views that
    need one ask ``request.jwt`` or ``request.user``, and ``[auth]`` in front of them refuses it before Django is entered.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        """Called by Django."""
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Answer a request; in an async project the answer is awaited by Django."""
        try:
            token = token_of(request)
        except InvalidToken:
            token = None
        # Django's class declares what Django itself sets.
        told: Any = request
        told.jwt = token
        if token is not None and option("USER_ID_CLAIM"):
            told.user = SimpleLazyObject(lambda: user_of(token) or AnonymousUser())

            async def auser() -> Any:
                return await sync_to_async(user_of)(token) or AnonymousUser()

            told.auser = auser
        return self.get_response(request)
