"""What of a Django project is served: its settings decide.

``ferricorn serve`` alone, in the directory of a ``manage.py``, serves :func:`application`.
"""

from __future__ import annotations

from typing import Any

__all__ = ["application", "target"]


def target(settings: Any) -> str:
    """``module:callable`` of the project's WSGI app, as ``runserver`` finds it.

    ``WSGI_APPLICATION`` where the project has one, else what Django itself makes.
    """
    dotted = getattr(settings, "WSGI_APPLICATION", None)
    if not dotted:
        return "django.core.wsgi:get_wsgi_application()"
    module, _, name = dotted.rpartition(".")
    return f"{module}:{name}"


def application() -> Any:
    """Make the project's WSGI app; ``DJANGO_SETTINGS_MODULE`` names its settings."""
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.utils.module_loading import import_string

    dotted = getattr(settings, "WSGI_APPLICATION", None)
    return import_string(dotted) if dotted else get_wsgi_application()
