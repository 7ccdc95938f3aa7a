"""Shows what it is given, byte for byte, and says what the query tells it."""

import gc
import sys
from urllib.parse import unquote_to_bytes


def show(environ, _content):
    """The parts of a request, as a literal."""
    names = ("REQUEST_METHOD", "RAW_URI", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL", "CONTENT_TYPE")
    shown = {name: environ.get(name) for name in names}
    shown["fields"] = {name: value for name, value in environ.items() if name.startswith("HTTP_")}
    return repr(shown).encode("ascii", "backslashreplace")


def echo(environ, content):
    return content


def counts(environ, content):
    """Objects and blocks that are alive."""
    gc.collect()
    return repr((len(gc.get_objects()), sys.getallocatedblocks())).encode()


def application(environ, start_response):
    content = environ["wsgi.input"].read()
    query = environ["QUERY_STRING"]
    if query.startswith("say="):
        # Status, name and value, each a byte string in percent-encoding.
        status, name, value = (unquote_to_bytes(part).decode("latin-1") for part in query[4:].split("&"))
        start_response(status, [(name, value), ("Content-Type", "text/plain")])
        return [b"said"]
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    handler = {"/echo": echo, "/counts": counts}.get(environ["PATH_INFO"], show)
    return [handler(environ, content)]
