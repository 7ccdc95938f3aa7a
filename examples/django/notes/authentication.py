"""Trust in what the server has verified."""

from django.contrib.auth import get_user_model
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed


class ServerVerified(BaseAuthentication):
    """The user named by the token that Ferricorn verified before it called the app.

    ``environ["ferricorn.jwt"]`` cannot come from a client: request fields arrive under ``HTTP_``
    names only. So the signature is not checked a second time; whether the user still exists and
    is active is the project's own knowledge and is looked up here.
    """

    def authenticate(self, request):
        """The user and the claims, or None when the server verified nothing."""
        verified = request.META.get("ferricorn.jwt")
        if verified is None:
            return None
        claims = verified["claims"]
        user = get_user_model().objects.filter(pk=claims["user_id"], is_active=True).first()
        if user is None:
            raise AuthenticationFailed("User not found or inactive", code="user_not_found")
        return user, claims

    def authenticate_header(self, request):
        """The challenge of a 401 that Django gives."""
        return 'Bearer realm="api"'
