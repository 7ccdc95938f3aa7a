"""Requests of every kind, as WSGI and as ASGI app, and what the process has after them: `flat.py` asks."""

import asyncio
import gc
import json
import os
import sys
import threading

# `site.py`, under a name that is not the standard library's: see `flat.py`.
from bench_site import echo, lifespan

PLAIN = [("Content-Type", "text/plain")]
FIELDS = [(name.lower().encode(), value.encode()) for name, value in PLAIN]
LONG = b"x" * (64 << 10)


def measures():
    """What grows where something is left behind."""
    gc.collect()
    with open("/proc/self/statm") as statm:
        resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {
        "resident KiB": resident // 1024,
        "blocks": sys.getallocatedblocks(),
        "objects": len(gc.get_objects()),
        # Of a debug interpreter alone.
        "references": getattr(sys, "gettotalrefcount", int)(),
        "references of None": sys.getrefcount(None),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "pid": os.getpid(),
    }


class Pieces:
    """An iterable with a close()."""

    def __init__(self, *pieces):
        self.pieces = iter(pieces)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.pieces)

    def close(self):
        self.pieces = None


def wsgi(environ, start_response):
    """What the path names."""
    return globals()["wsgi_" + environ["PATH_INFO"][1:]](environ, start_response)


def wsgi_measures(environ, start_response):
    start_response("200 OK", PLAIN)
    return [json.dumps(measures()).encode()]


def wsgi_hello(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"hello"]


def wsgi_long(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", str(len(LONG)))])
    return [LONG]


def wsgi_read(environ, start_response):
    stream = environ["wsgi.input"]
    length = len(stream.readline()) + sum(map(len, stream))
    start_response("200 OK", PLAIN)
    return [b"%d" % length]


def wsgi_stream(environ, start_response):
    start_response("200 OK", PLAIN)
    return Pieces(b"a", b"", b"b" * 1000)


def wsgi_endless(environ, start_response):
    start_response("200 OK", PLAIN)
    while True:
        yield LONG


def wsgi_write(environ, start_response):
    write = start_response("200 OK", PLAIN)
    write(b"written")
    return [b"given"]


def wsgi_file(environ, start_response):
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](open(__file__, "rb"))


def wsgi_hinted(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "</a>; rel=preload")])
    return wsgi_hello(environ, start_response)


def wsgi_raises(environ, start_response):
    raise RuntimeError("on purpose")


def wsgi_breaks(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"first"
    raise RuntimeError("on purpose")


def wsgi_wrong(environ, start_response):
    start_response("200 OK", [("Wrong", 1)])
    return [b""]


async def asgi(scope, receive, send):
    """Likewise."""
    kind = scope["type"]
    if kind == "lifespan":
        await lifespan(receive, send)
    elif kind == "websocket":
        await echo(receive, send)
    else:
        await globals()["asgi_" + scope["path"][1:]](receive, send)


async def start(send, fields=FIELDS, **more):
    await send({"type": "http.response.start", "status": 200, "headers": fields, **more})


async def body(send, content=b"", more=False):
    await send({"type": "http.response.body", "body": content, "more_body": more})


async def asgi_measures(receive, send):
    await start(send)
    await body(send, json.dumps(measures()).encode())


async def asgi_hello(receive, send):
    await start(send)
    await body(send, b"hello")


async def asgi_long(receive, send):
    await start(send)
    await body(send, LONG)


async def asgi_read(receive, send):
    length, more = 0, True
    while more:
        message = await receive()
        length, more = length + len(message["body"]), message["more_body"]
    await start(send)
    await body(send, b"%d" % length)


async def asgi_stream(receive, send):
    await start(send)
    for piece in (b"a", b"", b"b" * 1000):
        await asyncio.sleep(0)
        await body(send, piece, True)
    await body(send)


async def asgi_endless(receive, send):
    await start(send)
    while True:
        await body(send, LONG, True)


async def asgi_waits(receive, send):
    await asyncio.wait_for(asyncio.to_thread(int), 1)
    await asgi_hello(receive, send)


async def asgi_file(receive, send):
    await start(send)
    await send({"type": "http.response.pathsend", "path": __file__})


async def asgi_hinted(receive, send):
    await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]})
    await asgi_hello(receive, send)


async def asgi_leaves(receive, send):
    """A task that outlives its request."""
    asyncio.get_running_loop().create_task(asyncio.sleep(0.01))
    await asgi_hello(receive, send)


async def asgi_raises(receive, send):
    raise RuntimeError("on purpose")


async def asgi_breaks(receive, send):
    await start(send)
    await body(send, b"first", True)
    raise RuntimeError("on purpose")


async def asgi_wrong(receive, send):
    await send({"type": "http.response.start", "status": "200"})
