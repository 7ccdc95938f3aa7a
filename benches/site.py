"""The same small answers as WSGI and as ASGI app, by path."""

SMALL = b"Hello, World!\n"
CONTENTS = {"/": SMALL, "/10k": b"x" * (10 << 10), "/1m": b"x" * (1 << 20)}
PLAIN = "text/plain"


def wsgi(environ, start_response):
    """What the path stands for; of what is posted the length."""
    if environ["REQUEST_METHOD"] == "POST":
        content = b"%d\n" % len(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    else:
        content = CONTENTS[environ["PATH_INFO"]]
    start_response("200 OK", [("Content-Type", PLAIN), ("Content-Length", str(len(content)))])
    return [content]


async def asgi(scope, receive, send):
    """Likewise; a WebSocket is sent back what it sends."""
    kind = scope["type"]
    if kind == "lifespan":
        await lifespan(receive, send)
    elif kind == "websocket":
        await echo(receive, send)
    else:
        content = b"%d\n" % await posted(receive) if scope["method"] == "POST" else CONTENTS[scope["path"]]
        fields = [(b"content-type", PLAIN.encode()), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": content})


async def posted(receive):
    """The length of all content."""
    length = 0
    while True:
        message = await receive()
        length += len(message.get("body", b""))
        if not message.get("more_body"):
            return length


async def lifespan(receive, send):
    """Nothing to begin or to end."""
    while True:
        kind = (await receive())["type"]
        await send({"type": kind + ".complete"})
        if kind == "lifespan.shutdown":
            return


async def echo(receive, send):
    """Each message, until the client leaves."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        await send({"type": "websocket.send", "text": text} if text is not None else {"type": "websocket.send", "bytes": message["bytes"]})
