"""Authentication class for Django REST framework: trusts what the server has verified.

``DEFAULT_AUTHENTICATION_CLASSES = ["ferricorn.rest_framework.JWTAuthentication"]``; settings as in
:mod:`ferricorn.django`.
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from ferricorn.django import token_of, user_of
from ferricorn.jwt import InvalidToken, Token

__all__ = ["JWTAuthentication", "ServerJWTAuthentication"]


class JWTAuthentication(BaseAuthentication):
    """``request.user`` is whom the token names, ``request.auth`` is what it says."""

    realm = "api"

    def authenticate(self, request: Request) -> Optional[Tuple[Any, Token]]:
        """User and token; None where there is no token, for the next class to try."""
        try:
            token = token_of(request._request)
        except InvalidToken as error:
            raise AuthenticationFailed(error.args[1], code=error.args[0]) from None
        if token is None:
            return None
        user = user_of(token)
        if user is None:
            raise AuthenticationFailed("User not found", code="user_not_found")
        return user, token

    def authenticate_header(self, request: Request) -> str:
        """The challenge of a 401 (RFC 6750 3)."""
        return f'Bearer realm="{self.realm}"'


# Beside another class of the same name, as simplejwt's.
ServerJWTAuthentication = JWTAuthentication
