"""One way to respond per path: right ones, late ones, wrong ones."""

import hashlib
import os
import sys
import tempfile

import gates

PLAIN = [("Content-Type", "text/plain")]
MIB = 1 << 20


class Pieces:
    """An iterable that says when it is closed."""

    def __init__(self, pieces):
        self.pieces = iter(pieces)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.pieces)

    def close(self):
        gates.say("closed")


def plain(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"plain"]


def worker(environ, start_response):
    start_response("200 OK", PLAIN)
    return [str(os.getpid()).encode()]


def gated(environ, start_response):
    """Enters, waits for the test, answers."""
    gates.say("entered")
    gates.wait()
    start_response("200 OK", PLAIN)
    return [b"released"]


def gated_stream(environ, start_response):
    """The second piece is made only when the test has seen the first."""
    start_response("200 OK", PLAIN)

    def pieces():
        yield b"first"
        gates.wait()
        yield b"second"

    return Pieces(pieces())


def written(environ, start_response):
    write = start_response("200 OK", PLAIN)
    write(b"one ")
    write(b"two ")
    return [b"three"]


def generator(environ, start_response):
    """Calls start_response only when the first piece is asked for."""
    start_response("200 OK", PLAIN)
    yield b"lazy"


def empty_pieces(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"", b"a", b"", b"b", b""]


def no_content(environ, start_response):
    start_response("204 No Content", [])
    return []


def cookies(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return [b""]


def closed(environ, start_response):
    start_response("200 OK", PLAIN)
    return Pieces([b"closed ", b"after this"])


def closed_after_error(environ, start_response):
    start_response("200 OK", PLAIN)

    def pieces():
        yield b"begun"
        raise RuntimeError("fails on purpose after its first piece")

    return Pieces(pieces())


def raises(environ, start_response):
    raise RuntimeError("fails on purpose before it starts")


def starts_then_raises(environ, start_response):
    start_response("200 OK", PLAIN)
    raise RuntimeError("fails on purpose after start_response")


def replaces_response(environ, start_response):
    start_response("200 OK", [("X-First", "1")])
    try:
        raise ValueError("on purpose")
    except ValueError:
        start_response("503 Service Unavailable", PLAIN, sys.exc_info())
    return [b"replaced"]


def replaces_too_late(environ, start_response):
    write = start_response("200 OK", PLAIN)
    write(b"begun")
    try:
        raise ValueError("on purpose, too late")
    except ValueError:
        # PEP 3333: with the head sent, start_response raises what it was given.
        start_response("500 Internal Server Error", PLAIN, sys.exc_info())
    return [b"never sent"]


def never_starts(environ, start_response):
    return [b"no start_response"]


def starts_twice(environ, start_response):
    start_response("200 OK", PLAIN)
    start_response("200 OK", PLAIN)
    return [b"twice"]


def splits_response(environ, start_response):
    start_response("200 OK", [("X-Evil", "a\r\nSet-Cookie: forged=1")])
    return [b"split"]


def bad_status(environ, start_response):
    start_response("abc", PLAIN)
    return [b"status"]


def text_piece(environ, start_response):
    start_response("200 OK", PLAIN)
    return ["text, not bytes"]


def short(environ, start_response):
    """Fewer bytes than Content-Length says."""
    start_response("200 OK", [*PLAIN, ("Content-Length", "10")])
    return [b"short"]


def long(environ, start_response):
    """More bytes than Content-Length says."""
    start_response("200 OK", [*PLAIN, ("Content-Length", "4")])
    return [b"long", b"er than said"]


def digest(environ, start_response):
    """SHA-256 of the content, read piece by piece."""
    result, length = hashlib.sha256(), 0
    while piece := environ["wsgi.input"].read(65536):
        result.update(piece)
        length += len(piece)
    start_response("200 OK", PLAIN)
    return [f"{length} {result.hexdigest()}".encode()]


def big(environ, start_response):
    """32 MiB in pieces of 1 MiB, length unknown beforehand."""
    start_response("200 OK", PLAIN)
    return (bytes([number]) * MIB for number in range(32))


def file(environ, start_response):
    """A file through the server's wrapper, if it has one."""
    content = tempfile.TemporaryFile()
    content.write(b"0123456789" * 100_000)
    content.seek(0)
    start_response("200 OK", PLAIN)
    wrapper = environ.get("wsgi.file_wrapper")
    return wrapper(content, 8192) if wrapper else iter(lambda: content.read(8192), b"")


def application(environ, start_response):
    """The function that the path names."""
    return globals()[environ["PATH_INFO"].lstrip("/") or "plain"](environ, start_response)
