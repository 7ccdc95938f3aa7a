"""Apps at the edges of PEP 3333: what they write, close, raise, delete, start and leave behind."""

import os
import sys
import threading
import time

import gates
from responses import PLAIN, Pieces, plain, worker


class ClosedList(list):
    """A list that has to be closed, as a middleware might return it."""

    def close(self):
        gates.say("closed")


class OddList(list):
    """A list whose items are not what it holds."""

    def __iter__(self):
        return iter([b"made ", b"anew"])


def closed_list(environ, start_response):
    start_response("200 OK", PLAIN)
    return ClosedList([b"a list"])


def odd_list(environ, start_response):
    start_response("200 OK", PLAIN)
    return OddList()


def status(environ, start_response):
    """A stream under the status that the query names."""
    start_response(environ["QUERY_STRING"].replace("%20", " "), [("X-Kept", "1")])
    return Pieces([b"one", b"two"])


def write_gated(environ, start_response):
    """The second piece is written only when the test has seen the first."""
    write = start_response("200 OK", PLAIN)
    write(b"first")
    gates.wait()
    write(b"second")
    return Pieces([b"third"])


def write_for_ever(environ, start_response):
    """Stops when write() raises, as it must once the client has gone."""
    write = start_response("200 OK", PLAIN)
    try:
        while True:
            write(b"x" * 65536)
    except BrokenPipeError:
        gates.say("told")
        raise


def write_head(environ, start_response):
    """What is written in answer to HEAD goes nowhere, and is no error."""
    write = start_response("200 OK", PLAIN)
    for _ in range(3):
        write(b"nobody reads this")
    return []


KEPT = []


def write_late(environ, start_response):
    """Uses the write() of the response before."""
    if KEPT:
        try:
            KEPT.pop()(b"too late")
        except RuntimeError as error:
            start_response("200 OK", PLAIN)
            return [str(error).encode()]
    KEPT.append(start_response("200 OK", PLAIN))
    return [b"kept"]


def write_then_raise(environ, start_response):
    start_response("200 OK", PLAIN)(b"begun")
    raise RuntimeError("fails on purpose after write()")


def write_in_exc_info(environ, start_response):
    """The exception is looked up by code of the app's."""
    write = start_response("200 OK", PLAIN)
    write(b"begun")

    class Info:
        def __getitem__(self, index):
            write(b"looked up")
            return RuntimeError("fails on purpose in exc_info")

    start_response("500 Failed", PLAIN, Info())


def write_in_thread(environ, start_response):
    """Content may come from a thread of the app's."""
    write = start_response("200 OK", PLAIN)
    thread = threading.Thread(target=lambda: [write(b"%d" % number) for number in range(10)])
    thread.start()
    thread.join()
    return []


def endless(environ, start_response):
    """Declares five bytes and goes on for ever."""
    start_response("200 OK", [*PLAIN, ("Content-Length", "5")])

    def pieces():
        while True:
            yield b"ab"

    return Pieces(pieces())


def whole_then_waits(environ, start_response):
    """All that was declared, and then code that takes as long as the test wants."""
    start_response("200 OK", [*PLAIN, ("Content-Length", "5")])
    yield b"whole"
    gates.wait()


def many_small(environ, start_response):
    """As many bytes as the query says, one by one; says when they are made."""
    start_response("200 OK", PLAIN)

    def pieces():
        for _ in range(int(environ["QUERY_STRING"])):
            yield b"x" * 16
        gates.say("made")

    return pieces()


def fails_in_close(environ, start_response):
    class Failing(Pieces):
        def close(self):
            super().close()
            raise RuntimeError("fails on purpose in close()")

    start_response("200 OK", PLAIN)
    return Failing([b"whole"])


def leaves(kind):
    def leave(environ, start_response):
        raise kind("on purpose")

    return leave


exits, interrupts, ends = leaves(SystemExit), leaves(KeyboardInterrupt), leaves(GeneratorExit)


def exits_late(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"begun"
    sys.exit("on purpose")


def raises_undecodable(environ, start_response):
    raise RuntimeError("no text: \udcff")


def recurses(environ, start_response):
    return recurses(environ, start_response)


def deletes(environ, start_response):
    environ.clear()
    start_response("200 OK", PLAIN)
    return [b"nothing is left"]


def threads(environ, start_response):
    """Starts threads that outlive the request."""
    for _ in range(8):
        threading.Thread(target=time.sleep, args=(0.2,)).start()
    return plain(environ, start_response)


def errors(environ, start_response):
    stream = environ["wsgi.errors"]
    stream.write("one line of the app\n")
    stream.writelines(["two ", "parts\n"])
    print("printed with its end apart", file=stream)
    stream.write("first of several\n  second\n")
    stream.flush()
    return plain(environ, start_response)


LINK = ("Link", "</style.css>; rel=preload; as=style")


def hints(environ, start_response):
    """Hints, and an answer that waits until the test has seen them."""
    environ["wsgi.early_hints"]([LINK, (b"X-Bytes", b"\xe4")])
    environ["wsgi.early_hints"](iter([("Link", "</more.js>")]))
    gates.wait()
    start_response("200 OK", PLAIN)
    return [b"answer"]


def hints_wrong(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "a\r\nSet-Cookie: forged=1")])
    return plain(environ, start_response)


def hints_late(environ, start_response):
    write = start_response("200 OK", PLAIN)
    write(b"begun ")
    environ["wsgi.early_hints"]([LINK])
    return [b"and ended"]


def fields(environ, start_response):
    """Fields that are the server's business, and some that are not."""
    start_response(
        "200 OK",
        [
            ("Connection", "X-Hop"),
            ("Keep-Alive", "timeout=5"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "nonsense"),
            ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("Server", "the app's"),
            ("X-App", "1"),
        ],
    )
    return [b"content"]


def length(environ, start_response):
    """The Content-Length that the query says, three bytes of content."""
    lengths = environ["QUERY_STRING"].split(",")
    start_response("200 OK", [("Content-Length", length.replace("%20", " ")) for length in lengths])
    return [b"abc"]


def nothing(environ, start_response):
    """Declares ten bytes, and a generator makes none."""
    start_response("200 OK", [("Content-Length", "10")])
    return iter([])


def application(environ, start_response):
    """The function that the path names."""
    return globals()[environ["PATH_INFO"].lstrip("/") or "plain"](environ, start_response)
