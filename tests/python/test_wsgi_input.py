"""wsgi.input (PEP 3333): every call on it comes to what it comes to on a file with the same content."""

import io
import json
from urllib.parse import quote

import pytest

from apps.read_as_told import replay
from support.client import Client

LINES = b"one\ntwo\n\nthree\r\n" + bytes(range(256)) + b"no end"
LARGE = b"a line of a large upload\n" * (3 << 16)  # Beyond what is kept in memory.

CALLS = [
    [["read"], ["read"]],
    [["read", None], ["readline"]],
    [["read", -1], ["read", 1]],
    [["read", 0], ["readline", 0], ["read", 5], ["read"]],
    [["read", 1 << 40]],
    [["readline"], ["readline", 2], ["readline", 100], ["readline", -1], ["readline", None]],
    [["readlines"], ["readlines"]],
    [["readlines", 0], ["read"]],
    [["readlines", -1], ["read"]],
    [["readlines", None], ["read"]],
    [["readlines", 1], ["readlines", 4], ["readlines", 5], ["read"]],
    [["list"], ["list"]],
    [["readline"], ["read", 2], ["list"], ["read"]],
]


@pytest.fixture(scope="module")
def contents():
    """By what is special about them."""
    return {"empty": b"", "line": b"\n", "lines": LINES, "large": LARGE}


@pytest.mark.parametrize("name", ["empty", "line", "lines", "large"])
def test_every_call_comes_to_what_it_does_on_a_file(serve, contents, name):
    content = contents[name]
    client = Client(serve("read_as_told", "-w", "1").ready())
    for calls in CALLS:
        target = f"/?{quote(json.dumps(calls))}"
        expected = repr(replay(io.BytesIO(content), calls)).encode()
        for sent in (content, iter([content[:1000], content[1000:]])):  # Of known length, and chunked.
            answer = client.ask("POST", target, sent)
            assert answer.status == 200, calls
            # Not compared in the assertion: pytest would explain the difference of megabytes.
            same = answer.content == expected
            assert same, (calls, answer.content[:200], expected[:200])
    client.close()
