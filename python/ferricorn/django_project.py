"""What of a Django project is served: its settings decide.

``ferricorn serve`` alone, in the directory of a ``manage.py``, serves :func:`application`.
"""

from __future__ import annotations

import importlib.util
from typing import Any

__all__ = ["application", "target"]

# What `application` has made, for the log.
served = ""


def target(settings: Any) -> str:
    """``module:callable`` of the project's app.

    ``ASGI_APPLICATION`` where the project has one, as with the ``runserver`` of Channels; ``WSGI_APPLICATION`` as with
    Django's own; the ``asgi.py`` beside the settings where there is no ``wsgi.py``; else what Django itself makes.
    """
    asgi = getattr(settings, "ASGI_APPLICATION", None)
    wsgi = getattr(settings, "WSGI_APPLICATION", None)
    package = getattr(settings, "SETTINGS_MODULE", None) or ""
    beside = ".".join([*package.split(".")[:-1], "asgi"])
    if not asgi and package and _is_there(beside) and not _is_there(f"{beside[:-4]}wsgi"):
        # A WSGI_APPLICATION that is still named may be elsewhere.
        if not wsgi or not _is_there(wsgi.rpartition(".")[0]):
            asgi = f"{beside}.application"
    dotted = asgi or wsgi
    if not dotted:
        return "django.core.wsgi:get_wsgi_application()"
    module, _, name = dotted.rpartition(".")
    return f"{module}:{name}"


def application() -> Any:
    """Make the project's app; ``DJANGO_SETTINGS_MODULE`` names its settings."""
    global served
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.utils.module_loading import import_string

    served = target(settings)
    if served.endswith("()"):
        return get_wsgi_application()
    return import_string(served.replace(":", "."))


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
