"""Requests that take too long, each in a way of its own."""

import os
import re
import time

import gates

PLAIN = [("Content-Type", "text/plain")]


def spins(environ, start_response):
    """Python code without end; says what has ended it."""
    gates.say("entered")
    try:
        while True:
            pass
    except BaseException as error:
        gates.say(type(error).__name__)
        raise


def swallows(environ, start_response):
    """Ignores whatever is raised in it until the test lets it go."""
    gates.say("entered")
    while True:
        try:
            gates.wait()
            break
        except BaseException:
            gates.say("swallowed")
    start_response("200 OK", PLAIN)
    return [b"late"]


def sits_in_c(environ, start_response):
    """C code that keeps the interpreter's lock for hours: an expression that tries every way to fail."""
    gates.say("entered")
    re.match(r"(a+)+$", "a" * 60 + "b")


def sleeps(environ, start_response):
    """Waits in the kernel, without the interpreter's lock, and then in Python."""
    gates.say("entered")
    while True:
        time.sleep(0.05)


def waits(environ, start_response):
    """Waits in the kernel and would not come back; says what has ended it, by then in another wait."""
    gates.say("entered")
    try:
        time.sleep(3600)
    except BaseException as error:
        time.sleep(0.01)
        gates.say(type(error).__name__)
        raise


def stalls(environ, start_response):
    """Gives a beginning and no more."""
    start_response("200 OK", PLAIN)
    yield b"beginning"
    while True:
        time.sleep(0.05)


def steady(environ, start_response):
    """Takes longer than any limit, and never long for a piece."""
    start_response("200 OK", PLAIN)
    for _ in range(8):
        time.sleep(0.1)
        yield b"piece"


def large(environ, start_response):
    """More than fits between server and client: most of the time is the client's."""
    start_response("200 OK", PLAIN)
    for _ in range(100):
        yield b"x" * (256 << 10)


def gated(environ, start_response):
    """Takes as long as the test wants."""
    gates.say("entered")
    gates.wait()
    start_response("200 OK", PLAIN)
    return [b"done"]


def quick(environ, start_response):
    """Answers at once, with who it is."""
    start_response("200 OK", PLAIN)
    return [str(os.getpid()).encode()]


def application(environ, start_response):
    """The function that the path names."""
    return globals()[environ["PATH_INFO"].lstrip("/")](environ, start_response)
