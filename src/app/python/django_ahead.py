"""What a Django project imports and builds at its first requests, done before workers are forked: they share its memory then, and
answer sooner.

Only what requests do anyway is done, by Django's own functions; no view, no middleware and no database is entered. What fails here
fails at the first request as well, and is told there.
"""

import contextlib
from importlib import import_module

# An app that ends the interpreter when it is imported ends a request by it, and must not end this process.
SILENT = contextlib.suppress(Exception, SystemExit)


def imports(settings):
    """The modules that requests look up by their names in the settings, of those of Django's apps that the project has."""
    from django.apps import apps

    names = ["django.core.cache.utils"]
    if apps.is_installed("django.contrib.auth"):
        names += [backend.rpartition(".")[0] for backend in settings.AUTHENTICATION_BACKENDS]
    if apps.is_installed("django.contrib.sessions"):
        names += [settings.SESSION_ENGINE, settings.SESSION_SERIALIZER.rpartition(".")[0]]
    if apps.is_installed("django.contrib.messages"):
        # The storage that is the default (django.contrib.messages.storage.fallback) tries the other two in turn.
        storages = "django.contrib.messages.storage.cookie", "django.contrib.messages.storage.session"
        names += [settings.MESSAGE_STORAGE.rpartition(".")[0], *storages]
    if apps.is_installed("django.contrib.staticfiles"):
        names.append("django.contrib.staticfiles.storage")
    for name in names:
        with SILENT:
            import_module(name)


def templates(settings):
    """The engines with their loaders, tags and context processors."""
    from django.template import engines

    for backend in engines.all():
        # Jinja2 builds its own when the backend is made.
        engine = getattr(backend, "engine", None)
        if engine is not None:
            _ = engine.template_context_processors, engine.template_loaders


def language(settings):
    """The catalogues and formats of the default language, which is not made the one of this thread."""
    from django.utils import formats, translation

    translation.gettext("Yes")
    formats.get_format("DATE_FORMAT")


def models(settings):
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
    for part in (imports, templates, language, models):
        with SILENT:
            part(settings)
