"""Requests of an ASGI app that do not end by themselves."""

import asyncio
import os

import gates

PIECE = b"x" * (64 << 10)


async def large(send):
    """More than any client takes that does not read."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})


async def swallows(send):
    """Ignores its cancellation."""
    gates.say("entered")
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            gates.say("swallowed")


async def swallows_when_open(send):
    """The same in a WebSocket."""
    await send({"type": "websocket.accept"})
    await swallows(send)


async def quick(send):
    """Answers at once, with who it is."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


async def app(scope, receive, send):
    """The function that the path names."""
    if scope["type"] == "lifespan":
        raise RuntimeError("no lifespan here")
    await globals()[scope["path"].lstrip("/")](send)
