"""What the server asks a Django project about its users, in place of reading its table."""

import json

from django.apps import apps
from django.contrib import auth
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import close_old_connections
from django.http import HttpRequest

if not apps.ready:
    raise RuntimeError("no Django project has been set up by the apps of this server")

USERS = auth.get_user_model()


def on_this_thread(ask):
    """Django ends connections with a request, and this is none."""

    def asked(*arguments):
        close_old_connections()
        try:
            return ask(*arguments)
        finally:
            close_old_connections()

    return asked


def problem_of(id_column):
    """Why tokens cannot name users by this field, or None."""
    meta = USERS._meta
    try:
        field = meta.pk if id_column in ("id", "pk") else meta.get_field(id_column)
    except FieldDoesNotExist:
        return f'the user model {meta.label} has no field "{id_column}"'
    alone = any(tuple(constraint.fields) == (field.name,) for constraint in meta.total_unique_constraints)
    if not field.concrete or not (field.unique or alone):
        return f'the field "{id_column}" of the user model {meta.label} is not unique: a token could be another user\'s'
    return None


def key_of(id_column):
    """By what tokens name users; "id" stands for the primary key, whatever its name."""
    return "pk" if id_column in ("id", "pk") else USERS._meta.get_field(id_column).attname


def described(user, id_column, attributes):
    key = None if user is None else getattr(user, key_of(id_column))
    # Whom no token can name is nobody.
    if key is None or key == "":
        return None
    more = json.dumps([getattr(user, name, None) for name in attributes], cls=DjangoJSONEncoder)
    return str(key), user.password or "", bool(getattr(user, "is_active", True)), more


@on_this_thread
def authenticate(name, password, address, id_column, attributes):
    request = HttpRequest()
    request.method = "POST"
    # Lock-out apps count by it.
    request.META["REMOTE_ADDR"] = address
    user = auth.authenticate(request, **{USERS.USERNAME_FIELD: name, "password": password})
    return described(user, id_column, attributes)


@on_this_thread
def find(key, id_column, attributes):
    try:
        return described(USERS._default_manager.get(**{key_of(id_column): key}), id_column, attributes)
    except (USERS.DoesNotExist, ValueError, OverflowError, ValidationError):
        return None


@on_this_thread
def is_blacklisted(jti):
    if not apps.is_installed("rest_framework_simplejwt.token_blacklist"):
        return False
    tokens = apps.get_model("token_blacklist", "BlacklistedToken")
    return tokens.objects.filter(token__jti=jti).exists()
