"""WebSockets of a pure ASGI app: one way per path."""

import asyncio

import gates


async def app(scope, receive, send):
    if scope["type"] != "websocket":
        raise ValueError(f"{scope['type']} is not wanted")
    assert (await receive())["type"] == "websocket.connect"
    name = scope["path"][len(scope["root_path"]) :].strip("/").split("/")[0]
    await globals()[f"on_{name}"](scope, receive, send)


async def each(receive):
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            gates.say(f"disconnect {message['code']} {message['reason']}".strip())
            return
        yield message


async def on_echo(scope, receive, send):
    await send({"type": "websocket.accept"})
    async for message in each(receive):
        kind = "text" if message.get("text") is not None else "bytes"
        await send({"type": "websocket.send", kind: message[kind]})


async def on_protocols(scope, receive, send):
    await send(
        {"type": "websocket.accept", "subprotocol": scope["subprotocols"][-1], "headers": [(b"x-app", b"yes")]}
    )
    await send({"type": "websocket.send", "text": " ".join([scope["scheme"], scope["query_string"].decode()])})
    await send({"type": "websocket.close", "code": 4001, "reason": "as asked"})


async def on_chooses(scope, receive, send):
    """The subprotocol that the query names, whatever the client offers."""
    await send({"type": "websocket.accept", "subprotocol": scope["query_string"].decode()})
    await send({"type": "websocket.send", "text": "welcome"})


async def on_silent(scope, receive, send):
    """Takes messages only when the test lets it."""
    await send({"type": "websocket.accept"})
    await asyncio.to_thread(gates.wait)
    async for message in each(receive):
        await send({"type": "websocket.send", "text": str(len(message["text"]))})


async def on_refuses(scope, receive, send):
    await send({"type": "websocket.close"})


async def on_denies(scope, receive, send):
    await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"www-authenticate", b"X")]})
    await send({"type": "websocket.http.response.body", "body": b"who ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"are you"})


async def on_fails(scope, receive, send):
    raise ValueError("before the handshake")


async def on_returns(scope, receive, send):
    await send({"type": "websocket.accept"})


async def on_fails_within(scope, receive, send):
    await send({"type": "websocket.accept"})
    raise ValueError("within the WebSocket")


async def on_exits_within(scope, receive, send):
    await send({"type": "websocket.accept"})
    raise SystemExit("within the WebSocket")


async def on_flood(scope, receive, send):
    """More than any buffer holds."""
    await send({"type": "websocket.accept"})
    try:
        while True:
            await asyncio.wait_for(send({"type": "websocket.send", "bytes": bytes(1 << 16)}), 2)
    except asyncio.TimeoutError:
        gates.say("full")
    async for _ in each(receive):
        pass


WRONG = [
    {"type": "websocket.send"},
    {"type": "websocket.send", "text": "a", "bytes": b"b"},
    {"type": "websocket.send", "text": b"a"},
    {"type": "websocket.send", "bytes": "a"},
    {"type": "websocket.accept"},
    {"type": "websocket.close", "code": 1006},
    {"type": "websocket.close", "code": 70000},
    {"type": "websocket.http.response.start", "status": 200},
    {"type": "http.response.start", "status": 200},
    {},
]


WRONG_BEFORE = [
    {"type": "websocket.send", "text": "early"},
    {"type": "websocket.accept", "subprotocol": "no token"},
    {"type": "websocket.accept", "headers": [(b"x-a", b"1\r\nx-b: 2")]},
    {"type": "websocket.http.response.start", "status": 101},
]


async def on_wrong(scope, receive, send):
    refused = 0
    for message in [*WRONG_BEFORE, {"type": "websocket.accept"}, *WRONG]:
        try:
            await send(message)
        except (TypeError, ValueError, RuntimeError):
            refused += 1
    await send({"type": "websocket.send", "text": f"{refused} of {len(WRONG_BEFORE + WRONG)}"})
