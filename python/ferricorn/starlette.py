"""Dependency for FastAPI, and for Starlette's endpoints: what the server has verified.

::

    from typing import Annotated
    from fastapi import Depends, FastAPI
    from ferricorn.starlette import Bearer

    app = FastAPI()
    signed_in = Bearer()

    @app.get("/me")
    def me(token: Annotated[dict, Depends(signed_in)]):
        return {"user": token["claims"]["sub"]}
"""

# No "from __future__ import annotations": FastAPI reads the annotations of an object's __call__ as they are.
import os
from typing import TYPE_CHECKING, Iterable, Optional, Union

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from ferricorn.jwt import RETRY_SECONDS, InvalidToken, Token, from_scope, is_scope_served, judge_at_hand, refusal, verify

__all__ = ["Bearer"]

_Scheme = object
if not TYPE_CHECKING:
    try:
        # By its class FastAPI knows what belongs into the schema of an API.
        from fastapi.openapi.models import HTTPBearer as _Model
        from fastapi.security.base import SecurityBase as _Scheme
    except ImportError:
        _Model = None


class Bearer(_Scheme):
    """Gives what the connection's token says; answers 401 without a good one, and 403 without the scopes.

    Args:
        scopes: All of these have to be in the token's ``scope`` (RFC 8693 4.2).
        required: With False a connection without a token gets None; a bad token is refused all the same.
        config: The configuration file whose ``[auth]`` is used where no server has verified the token.
    """

    def __init__(
        self,
        scopes: Iterable[str] = (),
        *,
        required: bool = True,
        config: Union[str, "os.PathLike[str]", None] = None,
    ) -> None:
        """See the class."""
        self.scopes = frozenset(scopes)
        self.required = required
        self.config = config
        if not TYPE_CHECKING and _Model:
            self.model, self.scheme_name = _Model(), "Bearer"

    async def __call__(self, connection: HTTPConnection) -> Optional[Token]:
        """Called by FastAPI, or by an endpoint: ``token = await signed_in(request)``."""
        token = from_scope(connection.scope)
        is_served = is_scope_served(connection.scope)
        if token is None and not is_served:
            try:
                # Two fields are no credential, as in WSGI, where they are one value.
                token = verify(",".join(connection.headers.getlist("authorization")), self.config)
            except InvalidToken as error:
                raise self._refused(error, is_served) from None
        if token is None:
            if self.required:
                raise self._refused(None, is_served)
            return None
        scope = token["claims"].get("scope", "")
        if not self.scopes <= set(scope.split() if isinstance(scope, str) else scope):
            raise self._lacks_scope(is_served)
        return token

    def _refused(self, error: Optional[InvalidToken], is_served: bool) -> HTTPException:
        judge = None if is_served else judge_at_hand(self.config)
        status, _, challenge = refusal(error, judge)
        fields = {"Retry-After": str(RETRY_SECONDS)} if challenge is None else {"WWW-Authenticate": challenge}
        if error is None:
            return HTTPException(status, "Authentication credentials were not provided.", fields)
        return HTTPException(status, error.args[1] if judge is None or judge.detail else None, fields)

    def _lacks_scope(self, is_served: bool) -> HTTPException:
        description = "The token lacks a scope."
        words = f'error="insufficient_scope", error_description="{description}", scope="{" ".join(sorted(self.scopes))}"'
        challenge = refusal(None, None if is_served else judge_at_hand(self.config)).challenge
        return HTTPException(403, description, {"WWW-Authenticate": f"{challenge}, {words}"})
