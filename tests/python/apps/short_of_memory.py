"""Content of a request where there is no memory for it."""

import resource
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def short():
    """Leaves room for 1 MiB more."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def wsgi(environ, start_response):
    try:
        with short():
            environ["wsgi.input"].read()
    except MemoryError:
        start_response("507 Insufficient Storage", [])
    return []


async def asgi(scope, receive, send):
    if scope["type"] == "http":
        try:
            with short():
                await receive()
        except MemoryError:
            await send({"type": "http.response.start", "status": 507})
            await send({"type": "http.response.body"})
