"""Requests whose tasks have begun others, which wait for messages of their own when those end."""

import asyncio
import contextlib
import gc

import gates

# What goes wrong with the next futures that are given a value.
armed = []


def panic():
    """What a method of the server's raises that has panicked."""
    kind = next(kind for kind in BaseException.__subclasses__() if kind.__name__ == "PanicException")
    raise kind("told to panic")


def fail():
    raise RuntimeError("told to fail")


class Failing(asyncio.Future):
    """A future that cannot be given its value where a test wants that."""

    def set_result(self, result):
        if armed:
            armed.pop()()
        super().set_result(result)


# The server takes it from here, when its first app is there.
asyncio.Future = Failing


async def listen(receive, name):
    """Says what it is told last."""
    kind = ""
    try:
        while not kind.endswith(".disconnect"):
            kind = (await receive())["type"]
    except asyncio.CancelledError:
        kind = "cancelled"
    gates.say(f"{name} {kind}")


async def begin(receive, name="child"):
    """A task that waits in `receive()` when this returns."""
    child = asyncio.create_task(listen(receive, name))
    await asyncio.sleep(0)
    return child


async def wait():
    await asyncio.Event().wait()


async def raises(scope, receive, send):
    await begin(receive)
    fail()


async def returns(scope, receive, send):
    await begin(receive)


async def breaks_off(scope, receive, send):
    await begin(receive)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"some", "more_body": True})
    fail()


async def fails_beside_a_sender(scope, receive, send):
    async def pour():
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * (64 << 10), "more_body": True})
        except Exception as error:
            gates.say(f"child {type(error).__name__}")

    await send({"type": "http.response.start", "status": 200})
    child = asyncio.create_task(pour())
    # It has filled the buffer when this goes on.
    await asyncio.sleep(0)
    assert not child.done()
    fail()


async def overlooks(scope, receive, send):
    """Leaves it to another task to hear of the client's leaving."""
    await begin(receive)
    await wait_unheard()


async def polls(scope, receive, send):
    """Asks often whether its client has left, without waiting, as frameworks do."""
    for _ in range(100):
        poll = asyncio.create_task(receive())
        await asyncio.sleep(0)
        poll.cancel()
        await asyncio.wait([poll])
    del poll
    gc.collect()
    kept = sum(type(found) is Failing for found in gc.get_objects())
    gates.say("keeps few" if kept < 10 else f"keeps {kept}")
    await wait_unheard()


async def wait_unheard():
    gates.say("waits")
    try:
        await wait()
    except asyncio.CancelledError:
        gates.say("cancelled")
        raise


async def passes_its_time(scope, receive, send):
    await begin(receive)
    await wait()


async def refuses(scope, receive, send):
    await begin(receive)
    await send({"type": "websocket.close"})
    await asyncio.to_thread(gates.wait)


async def denies(scope, receive, send):
    await begin(receive)
    await send({"type": "websocket.http.response.start", "status": 401})
    await send({"type": "websocket.http.response.body"})
    await asyncio.to_thread(gates.wait)


async def cannot_be_told(scope, receive, send, wrong=(fail,)):
    """Neither this task nor one of its own is given what the client sends."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
    for name in ("first", "second", "third")[: 1 + len(wrong)]:
        await begin(receive, name)
    armed.extend(wrong)
    await wait_unheard()


async def panics(scope, receive, send):
    await cannot_be_told(scope, receive, send, (panic,))


async def neither_can_be_told(scope, receive, send):
    """Nor does it end when it is cancelled."""
    with contextlib.suppress(asyncio.CancelledError):
        await cannot_be_told(scope, receive, send, (fail, fail))
    await asyncio.to_thread(gates.wait)


async def ignores_all(scope, receive, send):
    """Is not told, and goes on when it is cancelled."""
    await receive()
    await send({"type": "websocket.accept"})
    armed.append(fail)
    gates.say("waits")
    while True:
        try:
            await receive()
            await wait()
        except asyncio.CancelledError:
            gates.say("swallowed")


def waits_before_it_fails(scope, receive, send, wrong=fail):
    """Has a future of `receive()` before there is a task, and there will be none."""
    if scope["type"] == "websocket":
        with contextlib.suppress(StopIteration):
            receive().send(None)
    future = receive().send(None)
    future.add_done_callback(lambda future: gates.say(f"child {future.result()['type']}"))
    wrong()


def waits_before_it_panics(scope, receive, send):
    waits_before_it_fails(scope, receive, send, panic)


def has_no_coroutine(scope, receive, send):
    asyncio.create_task(listen(receive, "child"))
    fail()


def app(scope, receive, send):
    """The function that the path names."""
    if scope["type"] == "lifespan":
        raise RuntimeError("no lifespan here")
    return globals()[scope["path"].lstrip("/")](scope, receive, send)
