"""A view that answers at once, and one that waits as for a slow database."""

import time

SECONDS = 0.3


def application(environ, start_response):
    """What was asked for, so that nobody takes the answer for another's."""
    if environ["PATH_INFO"] == "/slow":
        time.sleep(SECONDS)
    content = f"{environ['REQUEST_METHOD']} {environ['RAW_URI']}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))])
    return [content]
