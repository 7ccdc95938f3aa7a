"""Reads its content by the calls that the query names, as JSON: ``[["read", 3], ["readline"]]``."""

import json
from urllib.parse import unquote


def replay(stream, calls):
    """What each call on the stream comes to; the method ``list`` is the iteration to its end."""
    return [list(stream) if name == "list" else getattr(stream, name)(*arguments) for name, *arguments in calls]


def application(environ, start_response):
    calls = json.loads(unquote(environ["QUERY_STRING"]))
    results = replay(environ["wsgi.input"], calls)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(results).encode()]
