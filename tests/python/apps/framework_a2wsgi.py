"""A WSGI app as an ASGI one, and the other way round, by a2wsgi."""

from a2wsgi import ASGIMiddleware, WSGIMiddleware


def wsgi(environ, start_response):
    content = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"wsgi ", content]


async def asgi(scope, receive, send):
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"asgi " + message["body"]})


as_asgi = WSGIMiddleware(wsgi)
as_wsgi = ASGIMiddleware(asgi)
