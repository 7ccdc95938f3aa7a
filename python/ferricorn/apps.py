"""The Django app: with ``"ferricorn"`` in ``INSTALLED_APPS`` there is ``manage.py runferricorn``."""

from django.apps import AppConfig


class FerricornConfig(AppConfig):
    """Brings the command, and no models."""

    name = "ferricorn"
    verbose_name = "Ferricorn"
