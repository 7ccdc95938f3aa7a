"""Authentication class for Django REST framework: trusts what the server has verified.

``DEFAULT_AUTHENTICATION_CLASSES = ["ferricorn.rest_framework.JWTAuthentication"]``; settings as in
:mod:`ferricorn.django`.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from ferricorn.django import token_of, user_of
from ferricorn.jwt import InvalidToken, Token, challenge

__all__ = ["JWTAuthentication", "ServerJWTAuthentication"]


class JWTAuthentication(BaseAuthentication):
    """``request.user`` is whom the token names, ``request.auth`` is what it says.

    What it refuses it refuses as the server does, and as simplejwt: clients go by the ``code``.
    """

    realm = "api"

    def authenticate(self, request: Request) -> Optional[Tuple[Any, Token]]:
        """User and token; None where there is no token, for the next class to try."""
        try:
            token = token_of(request._request)
        except InvalidToken as error:
            raise AuthenticationFailed(_body(*error.args)) from None
        if token is None:
            return None
        user = user_of(token)
        if user is None:
            raise AuthenticationFailed({"detail": "User not found", "code": "user_not_found"})
        return user, token

    def authenticate_header(self, request: Request) -> str:
        """The challenge of a 401 (RFC 6750 3)."""
        # The framework asks another object than the one that has refused: so the token is looked at once more. Behind the
        # server there is nothing to look at.
        try:
            token_of(request._request)
        except InvalidToken as error:
            return challenge(self.realm, error)
        return challenge(self.realm)


def _body(reason: str, description: str) -> Dict[str, Any]:
    if reason == "credential_malformed":
        return {"detail": description, "code": "bad_authorization_header"}
    if reason == "subject":
        return {"detail": description, "code": "token_not_valid"}
    return {
        "detail": "Given token not valid for any token type",
        "code": "token_not_valid",
        "messages": [{"token_class": "AccessToken", "token_type": "access", "message": description}],
    }


# Beside another class of the same name, as simplejwt's.
ServerJWTAuthentication = JWTAuthentication
