"""One way to respond per path: right ones, late ones, wrong ones."""

import gc
import gzip
import hashlib
import io
import os
import sys
import tempfile
import types

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
        start_response("503 Service Unavailable", PLAIN, exc_info=sys.exc_info())
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


def too_many_fields(environ, start_response):
    start_response("200 OK", [("X-A", "b")] * 100_000)
    return [b"never seen"]


def returns_nothing(environ, start_response):
    start_response("200 OK", PLAIN)


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


class Closed:
    """A file-like object that says when it is closed."""

    def __init__(self, file):
        self.file = file

    def read(self, size):
        return self.file.read(size)

    def close(self):
        self.file.close()
        gates.say("closed")


def whole_file(size=100_000):
    """An open file with digits in it."""
    content = tempfile.TemporaryFile()
    content.write(b"0123456789" * size)
    content.seek(0)
    return content


def file(environ, start_response):
    """A file through the server's wrapper."""
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](whole_file(), 8192)


def file_in_the_middle(environ, start_response):
    """A file that has been read from already."""
    content = whole_file(1)
    content.read(3)
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](content)


def file_declared_short(environ, start_response):
    """A file of which Content-Length says to send the beginning only."""
    start_response("200 OK", [*PLAIN, ("Content-Length", "4")])
    return environ["wsgi.file_wrapper"](whole_file())


def file_declared_long(environ, start_response):
    """A file shorter than Content-Length says."""
    start_response("200 OK", [*PLAIN, ("Content-Length", "11")])
    return environ["wsgi.file_wrapper"](whole_file(1))


def file_written(environ, start_response):
    """A file with something written to it that has not left its buffer, behind write()."""
    content = tempfile.TemporaryFile()
    content.write(b"0123456789")
    content.seek(0)
    write = start_response("200 OK", PLAIN)
    write(b"before ")
    return environ["wsgi.file_wrapper"](content)


def file_unflushed(environ, start_response):
    """Standing at 4 of 8 bytes of which none has left the buffer."""
    content = tempfile.TemporaryFile()
    content.write(b"buffered")
    content.seek(4)
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](content)


def file_in_memory(environ, start_response):
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](io.BytesIO(b"in memory"), 4)


def file_compressed(environ, start_response):
    """Its descriptor is that of the compressed file."""
    compressed = tempfile.TemporaryFile()
    compressed.write(gzip.compress(b"what was compressed"))
    compressed.seek(0)
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](io.BufferedReader(gzip.GzipFile(fileobj=compressed)))


def file_of_the_kernel(environ, start_response):
    """A regular file whose length is 0 until it is read."""
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](open("/proc/self/cmdline", "rb"))


def file_pipe(environ, start_response):
    """A file that has no position."""
    receiving, sending = os.pipe()
    os.write(sending, b"through a pipe")
    os.close(sending)
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](open(receiving, "rb"))


def file_own_read(environ, start_response):
    """Not a file at all, but something to read and to close."""
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](Closed(whole_file(1)), 3)


def file_own_close(environ, start_response):
    """A plain file with a close of its own, as Django's responses have."""
    content = whole_file(1)
    close = content.close

    def say_closed():
        close()
        gates.say("closed")

    content.close = say_closed
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](content)


def file_closed_before(environ, start_response):
    """A file that cannot be read any more."""
    content = whole_file(1)
    content.close()
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](content)


def written_last(environ, start_response):
    """What is given to write() after the last piece."""
    write = start_response("200 OK", PLAIN)
    yield b"pieces, "
    yield b"then "
    write(b"written")


KEPT = []


def keeps(environ, start_response):
    """Keeps all that it is given, and says whether it got anything twice and what was kept unread."""
    mine = (environ, start_response, environ["wsgi.input"], start_response("200 OK", PLAIN))
    again = any(one is other for kept in KEPT for one, other in zip(kept, mine))
    unread = KEPT[-1][2].read() if KEPT else b""
    KEPT.append(mine)
    return [f"{again} {unread.decode()}".encode()]


def starters(environ, start_response):
    """How many start_response there are."""
    gc.collect()
    start_response("200 OK", PLAIN)
    methods = [each for each in gc.get_objects() if isinstance(each, types.BuiltinMethodType)]
    return [str(sum(each.__name__ == "start_response" for each in methods)).encode()]


def application(environ, start_response):
    """The function that the path names."""
    return globals()[environ["PATH_INFO"].lstrip("/") or "plain"](environ, start_response)
