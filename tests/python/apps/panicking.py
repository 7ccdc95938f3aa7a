"""Apps that meet a panic of the server's own code: in Python it is an exception of a class of its own."""

import asyncio
import signal
import sys

closed = 0
armed = False


def panic():
    """Raises what a method of the server's raises that has panicked; the server panics on when it gets it."""
    kind = next(kind for kind in BaseException.__subclasses__() if kind.__name__ == "PanicException")
    raise kind("told to panic")


signal.signal(signal.SIGALRM, lambda number, frame: panic())


def panic_once():
    global armed
    if armed:
        armed = False
        panic()


class Task(asyncio.Task):
    """One that cannot be asked how it has ended, or where it waits."""

    def exception(self):
        panic_once()
        return super().exception()

    def __repr__(self):
        panic_once()
        return super().__repr__()


def make_task(loop, coroutine, **options):
    return Task(coroutine, loop=loop, **options)


class Pieces:
    """Content whose second piece cannot be had."""

    def __iter__(self):
        yield b"some"
        panic()

    def close(self):
        global closed
        closed += 1


def wsgi(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/before":
        panic()
    write = start_response("200 OK", [])
    if path == "/written":
        write(b"some")
        panic()
    return Pieces() if path == "/pieces" else [b"%d closed" % closed]


async def live(receive, send):
    await receive()
    asyncio.get_running_loop().set_task_factory(make_task)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def asgi(scope, receive, send):
    global armed
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await receive()
        panic()
    if scope["path"] == "/before":
        panic()
    if scope["path"].startswith("/ends"):
        armed = True
        if scope["path"] == "/ends_later":
            await asyncio.sleep(0)
        if scope["path"] == "/ends_at_once_beside":
            await receive()
            future = receive().send(None)
            future.add_done_callback(lambda future: print("beside it:", future.result(), file=sys.stderr, flush=True))
        return
    if scope["path"] == "/overdue":
        armed = True
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 200})
    if scope["path"] == "/pieces":
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        panic()
    await send({"type": "http.response.body", "body": b"fine"})
