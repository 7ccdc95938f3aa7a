"""What a Django project imports and builds at its first requests, done before workers are forked: they share its memory then, and
answer sooner.

Nothing of the project itself is run, and no database is asked. What fails here fails at the first request as well, and is told
there.
"""

import contextlib
from importlib import import_module


def imports(settings):
    """The modules that requests look up by their names in the settings."""
    dotted = [*settings.AUTHENTICATION_BACKENDS, settings.SESSION_SERIALIZER, settings.MESSAGE_STORAGE]
    names = [name.rpartition(".")[0] for name in dotted] + [settings.SESSION_ENGINE]
    # The storage that is the default (django.contrib.messages.storage.fallback) tries these two in turn.
    names += ["django.contrib.messages.storage.cookie", "django.contrib.messages.storage.session"]
    names += ["django.contrib.staticfiles.storage", "django.core.cache.utils"]
    for name in names:
        with contextlib.suppress(Exception):
            import_module(name)


def templates():
    """The engines with their loaders, tags and context processors."""
    from django.template import engines

    for backend in engines.all():
        # Jinja2 builds its own when the backend is made.
        engine = getattr(backend, "engine", None)
        if engine is not None:
            _ = engine.template_context_processors, engine.template_loaders


def language(settings):
    """The catalogues and formats of the default language."""
    from django.utils import formats, translation

    with translation.override(settings.LANGUAGE_CODE):
        translation.gettext("")
        formats.get_format("DATE_FORMAT")


def models():
    """What the models know of each other, and the compilers of queries."""
    from django.apps import apps
    from django.db import connections

    for model in apps.get_models(include_auto_created=True):
        options = model._meta
        _ = options.fields, options.concrete_fields, options.related_objects, options.get_fields()
    for connection in connections.all():
        connection.ops.compiler("SQLCompiler")


def build(settings):
    """All of it; `settings` are the project's."""
    with contextlib.suppress(Exception):
        imports(settings)
    with contextlib.suppress(Exception):
        templates()
    with contextlib.suppress(Exception):
        language(settings)
    with contextlib.suppress(Exception):
        models()
