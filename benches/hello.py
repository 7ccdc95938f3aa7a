"""The smallest WSGI app."""

ANSWER = b"Hello, World!\n"


def application(environ, start_response):
    """The same text for everybody."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(ANSWER)))])
    return [ANSWER]
