"""The Python half of `ferricorn bench`, run by the interpreter that hosts the app.

`describe` says what is known about an app and what it can be compared with; `serve` serves it with
the standard library's server, one request at a time.
"""

import ast
import importlib
import json
import os
import sys


def load(target):
    """The app, and its name with the callable spelt out; names are read as `ferricorn serve` reads them."""
    module_name, _, name = target.partition(":")
    module = importlib.import_module(module_name)
    if not name:
        name = "application" if hasattr(module, "application") else "app"
    app = module
    path, is_call, given = name.partition("(")
    for part in path.split("."):
        app = getattr(app, part)
    if is_call:
        call = ast.parse(f"app({given}", mode="eval").body
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        app = app(*map(ast.literal_eval, call.args), **named)
    return app, f"{module_name}:{name}"


def describe(target):
    """Prints one line of JSON."""
    app, full_name = load(target)
    facts = {"python": sys.version.split()[0], "app": full_name, "django": django(app), "gunicorn": gunicorn()}
    print("ferricorn-bench-facts " + json.dumps(facts), flush=True)


def django(app):
    """How Django's own server would serve this very app; None where it would not."""
    settings_module = os.environ.get("DJANGO_SETTINGS_MODULE")
    if "django" not in sys.modules or not settings_module:
        return None
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.core.servers.basehttp import get_internal_wsgi_application

    if not settings.configured:
        return None
    # Without WSGI_APPLICATION, runserver makes a plain handler of its own.
    same = isinstance(app, WSGIHandler) if settings.WSGI_APPLICATION is None else get_internal_wsgi_application() is app
    if not same:
        return None
    return {
        "version": django.get_version(),
        "settings": settings_module,
        "debug": bool(settings.DEBUG),
        "command": ["manage.py"] if os.path.exists("manage.py") else ["-m", "django"],
    }


def gunicorn():
    """Gunicorn's version, and its flags for a run beside others; None where it is not installed."""
    try:
        import gunicorn
        from gunicorn.config import make_settings
    except ImportError:
        return None
    known = {flag for setting in make_settings().values() for flag in setting.cli or []}
    # Its control socket has one path for all servers of a user.
    return {"version": gunicorn.__version__, "flags": [flag for flag in ["--no-control-socket"] if flag in known]}


def serve(target, prefix):
    """Serves on a port of the kernel's choice until it is ended."""
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

    app, _ = load(target)

    def mounted(environ, start_response):
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = prefix, environ["PATH_INFO"][len(prefix) :]
        return app(environ, start_response)

    class Server(WSGIServer):
        # As many as connect at once: by default five, and handshakes are lost beyond.
        request_queue_size = 128

    class Quiet(WSGIRequestHandler):
        def log_message(self, format, *arguments):
            """Logs nothing, as the server that it is compared with."""

    with Server(("127.0.0.1", 0), Quiet) as server:
        server.set_app(mounted if prefix else app)
        print(f"listening at http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    {"describe": describe, "serve": serve}[sys.argv[1]](*sys.argv[2:])
