"""What a Django project imports and builds at its first requests, done before workers are forked: they share its memory then, and
answer sooner.

Only what requests do anyway is done, by Django's own functions; no view, no middleware and no database is entered. What fails here
fails at the first request as well, and is told there.
"""

import contextlib
import io
import sys
from importlib import import_module

# An app that ends the interpreter when it is imported ends a request by it, and must not end this process.
SILENT = contextlib.suppress(Exception, SystemExit)

# CPython 3.11 adapts a function when it has been called eight times.
ROUNDS = 10

# Modules, by those that import them in the middle of their first request.
LATE = {
    "rest_framework_simplejwt.tokens": "rest_framework_simplejwt.state",
    "rest_framework_simplejwt.views": "rest_framework_simplejwt.serializers",
}


def imports(settings):
    """The modules that requests look up by their names in the settings, of those of Django's apps that the project has."""
    from django.apps import apps

    names = ["django.core.cache.utils", *(late for early, late in LATE.items() if early in sys.modules)]
    if apps.is_installed("django.contrib.admin"):
        names.append("django.contrib.admin.forms")
    if apps.is_installed("django.contrib.auth"):
        named = [*settings.AUTHENTICATION_BACKENDS, *settings.PASSWORD_HASHERS]
        names += [name.rpartition(".")[0] for name in named]
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


def rest_framework(settings):
    """What views of Django REST framework look up by names in its settings, and in those of packages that keep theirs by its means."""
    if "rest_framework.settings" not in sys.modules:
        return
    from rest_framework.settings import APISettings

    modules = [module for name, module in sys.modules.items() if name.endswith(".settings")]
    for module in modules:
        found = getattr(module, "api_settings", None)
        if isinstance(found, APISettings):
            for name in found.import_strings:
                with SILENT:
                    getattr(found, name)


def urls(settings):
    """What names of views stand for, in each namespace."""
    from django.urls import get_resolver

    within(get_resolver(), "")


def within(resolver, prefix):
    """The names that begin with this prefix; `resolver` knows them."""
    from django.urls import NoReverseMatch, reverse

    for namespace, (_, inner) in resolver.namespace_dict.items():
        # The resolvers of namespaces are made when a name in one is looked up, be it there or not.
        with contextlib.suppress(NoReverseMatch):
            reverse(f"{prefix}{namespace}:")
        within(inner, f"{prefix}{namespace}:")


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
        _ = options.fields, options.concrete_fields, options.related_objects, options.base_manager, options.default_manager
        for field in options.get_fields():
            if hasattr(field, "get_lookup"):
                field.get_lookup("exact")
    for connection in connections.all():
        connection.ops.compiler("SQLCompiler")


def exchanges(settings):
    """A request that nobody has sent, read by Django's own code, its path looked up, and answers to it.

    CPython adapts code to what it meets as it runs; done here, the adapted code is shared.
    """
    from django.core.handlers.wsgi import WSGIRequest
    from django.http import HttpResponse, JsonResponse
    from django.urls import Resolver404, resolve
    from django.utils.cache import patch_vary_headers

    for _ in range(ROUNDS):
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": "a=b", "HTTP_COOKIE": "a=b", "HTTP_HOST": "localhost"}
        environ |= {"SERVER_NAME": "localhost", "SERVER_PORT": "80", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO()}
        request = WSGIRequest(environ)
        _ = request.GET, request.COOKIES, request.headers, request.is_secure(), request.get_full_path()
        with contextlib.suppress(Resolver404):
            resolve(request.path_info)
        response = HttpResponse("text")
        response.set_cookie("name", "value")
        patch_vary_headers(response, ("Cookie",))
        response.serialize_headers()
        JsonResponse({"name": "value"}).serialize_headers()


def forms(settings):
    """A form with the fields that most have, shown and filled in."""
    from django import forms

    class Form(forms.Form):
        text = forms.CharField(label="text")
        secret = forms.CharField(widget=forms.PasswordInput)
        number = forms.IntegerField(required=False)
        choice = forms.BooleanField(required=False)

    for _ in range(ROUNDS):
        str(Form())
        Form({"text": "a", "secret": "b", "number": "1"}).is_valid()


def build(settings):
    """All of it; `settings` are the project's."""
    for part in (imports, rest_framework, urls, templates, language, models, exchanges, forms):
        with SILENT:
            part(settings)
