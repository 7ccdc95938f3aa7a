"""Tells WSGI from ASGI by what an app looks like; it is not called."""

import functools
import inspect


def detect(app):
    """Returns "wsgi", "asgi3" or "asgi2"."""
    function = app
    while isinstance(function, functools.partial):
        function = function.func
    # What is called says of which kind it is; what is left to be given, only the app itself.
    if inspect.isclass(function):
        # ASGI 2: made with the scope, called with receive and send. ASGI 3: made with all three, and awaited.
        if hasattr(function, "__await__"):
            return "asgi3"
        return "asgi2" if _is_async(getattr(function, "__call__", None)) else _by_parameters(app)
    if _is_async(function) or _is_async(getattr(function, "__call__", None)):
        return "asgi3" if _required(app) != 1 else "asgi2"
    return _by_parameters(app)


def _is_async(function):
    while isinstance(function, functools.partial):
        function = function.func
    function = getattr(function, "__func__", function)
    return inspect.iscoroutinefunction(function) or _is_marked(function)


def _is_marked(function):
    # asgiref and asyncio mark what returns coroutines without being a coroutine function.
    marker = getattr(function, "_is_coroutine", None) or getattr(function, "_is_coroutine_mark", None)
    return marker is not None and not inspect.isclass(function)


def _by_parameters(app):
    names = _names(app)
    if len(names) == 3:
        return "asgi3"
    if len(names) == 1 and names[0] in ("scope", "_scope"):
        return "asgi2"
    return "wsgi"


def _required(app):
    return len(_names(app))


def _names(app):
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.kind in positional and p.default is inspect.Parameter.empty]


class DoubleCallable:
    """An ASGI 2 app as an ASGI 3 one."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        await self.app(scope)(receive, send)
