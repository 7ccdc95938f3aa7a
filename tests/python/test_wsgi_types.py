"""What an app says arrives byte for byte, or is a 500 and an exception in the log: no type or value ends a worker."""

from urllib.parse import quote

import pytest

from support.client import ask, exchange

PLAIN = [("Content-Type", "text/plain")]
# RFC 9110, section 5.5: a field value has no control characters but the tab.
FORBIDDEN = [*range(0x09), *range(0x0A, 0x20), 0x7F]


def said(status="200 OK", fields=PLAIN, body=(b"body",)):
    """The target that has the app say this."""
    return f"/?{quote(repr((status, fields, body)))}"


def raw_answer(server, target):
    """Head and content as they are on the wire."""
    request = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    head, content = exchange(server, request.encode()).split(b"\r\n\r\n", 1)
    return head, content


@pytest.fixture
def server(serve):
    """One worker, so that a dead one is seen by its successor's id."""
    return serve("wrong", "-w", "1").ready()


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": 200},
        {"status": b"200 OK"},
        {"status": None},
        {"status": ""},
        {"status": "20"},
        {"status": "2000 OK"},
        {"status": "099 Low"},
        {"status": "100 Continue"},
        {"status": "103 Early Hints"},
        {"status": "200 O\r\nK"},
        {"status": "200 \ud800"},
        {"fields": None},
        {"fields": {"Content-Type": "text/plain"}},
        {"fields": (("Content-Type", "text/plain"),)},
        {"fields": [["Content-Type", "text/plain"]]},
        {"fields": [("Content-Type",)]},
        {"fields": [("Content-Type", "text/plain", "third")]},
        {"fields": [()]},
        {"fields": [None]},
        {"fields": ["ab"]},
        {"fields": [(b"X-A", "1")]},
        {"fields": [("X-A", b"1")]},
        {"fields": [("X-A", 1)]},
        {"fields": [("", "1")]},
        {"fields": [("X A", "1")]},
        {"fields": [("X-A:", "1")]},
        {"fields": [("X-\xe4", "1")]},
        {"fields": [("X-A", "\u0100")]},
        {"fields": [("X-A", "\ud800")]},
        {"body": None},
        {"body": 5},
        {"body": b"bytes are an iterable of int"},
        {"body": "text"},
        {"body": ["text"]},
        {"body": [b"a", None]},
        {"body": (b"a", 1)},
        {"body": {1: b"a"}},
    ],
    ids=repr,
)
def test_wrong_type_or_value_is_a_500_and_in_the_log(server, wrong):
    worker = ask(server, "GET", "/").content
    assert ask(server, "GET", said(**wrong)).status == 500
    server.log.wait_for("the app failed request=[0-9a-f]{16}")
    server.log.wait_for(r"^[ |]+(TypeError|ValueError): ")
    assert ask(server, "GET", "/").content == worker


def test_field_values_are_the_bytes_of_latin_1(server):
    for byte in range(256):
        value = f"a{chr(byte)}b"
        target = said(fields=[("X-Value", value)])
        if byte in FORBIDDEN:
            assert ask(server, "GET", target).status == 500, byte
        else:
            head, content = raw_answer(server, target)
            assert head.startswith(b"HTTP/1.1 200 OK\r\n") and content == b"body", byte
            lines = [line for line in head.split(b"\r\n") if line.lower().startswith(b"x-value: ")]
            assert [line[len(b"x-value: ") :] for line in lines] == [value.encode("latin-1")], byte


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_status_without_content_has_none_whatever_the_app_gave(server, status):
    head, content = raw_answer(server, said(status, []))
    assert head.startswith(f"HTTP/1.1 {status}\r\n".encode())
    assert content == b""
    assert b"transfer-encoding" not in head.lower()


def test_reason_is_the_apps_own(server):
    head, _ = raw_answer(server, said("299 As the app says"))
    assert head.startswith(b"HTTP/1.1 299 As the app says\r\n")


def test_strings_may_be_of_a_subclass(serve):
    head, content = raw_answer(serve("texts", "-w", "1").ready(), "/")
    assert head.startswith(b"HTTP/1.1 299 Gr\xfcn\r\n") and content == b"body"
    lines = head.lower().split(b"\r\n")
    assert {b"x-kind: a text", b"x-latin: gr\xfcn", b"content-length: 4"} <= set(lines)
