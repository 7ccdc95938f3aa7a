"""Authentication class for Django REST framework: trusts what the server has verified.

``DEFAULT_AUTHENTICATION_CLASSES = ["ferricorn.rest_framework.JWTAuthentication"]``; settings as in
:mod:`ferricorn.django`.
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request

from ferricorn.django import named_user, option, served, token_of
from ferricorn.jwt import RETRY_SECONDS, InvalidToken, Refusal, Token, judge_at_hand, refusal

__all__ = ["JWTAuthentication", "ServerJWTAuthentication"]


class JWTAuthentication(BaseAuthentication):
    """``request.user`` is whom the token names, ``request.auth`` is what it says.

    What it refuses it refuses as the server does, and as simplejwt: clients go by the ``code``.
    """

    #: Behind the server, which alone knows ``auth.realm`` there.
    realm = "api"

    def authenticate(self, request: Request) -> Optional[Tuple[Any, Token]]:
        """User and token; None where there is no token, for the next class to try."""
        try:
            token = token_of(request._request)
            return None if token is None else (named_user(token), token)
        except InvalidToken as error:
            raise _raised(self._refusal(request, error)) from None

    def authenticate_header(self, request: Request) -> Optional[str]:
        """The challenge of a 401 (RFC 6750 3)."""
        # The framework asks another object than the one that has refused: so the token is looked at once more.
        try:
            token = token_of(request._request)
            if token is not None:
                named_user(token)
        except InvalidToken as error:
            return self._refusal(request, error).challenge
        return self._refusal(request, None).challenge

    def _refusal(self, request: Request, error: Optional[InvalidToken]) -> Refusal:
        judge = None if served(request._request) else judge_at_hand(option("CONFIG"))
        return refusal(error, judge, self.realm)


def _raised(refused: Refusal) -> APIException:
    raised = (AuthenticationFailed if refused.status == 401 else APIException)(refused.body)
    raised.status_code = refused.status
    # The framework's classes do not declare what it looks for.
    told: Any = raised
    if "status" in refused.body:
        # It has made a text of it.
        told.detail["status"] = _Number(refused.status)
    # That of a 401 it asks `authenticate_header` for.
    told.auth_header = refused.challenge
    if refused.status == 503:
        told.wait = RETRY_SECONDS
    return raised


class _Number(int):
    """A number that has what the framework looks for in each part of an error."""

    code = "error"


# Beside another class of the same name, as simplejwt's.
ServerJWTAuthentication = JWTAuthentication
