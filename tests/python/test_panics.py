"""A panic in the server's own code under a Python app costs one request, and is counted; its worker lives."""

import pytest

from support.client import ask, exchange
from support.figures import AT_ANY_PORT, admin_page, parsed

PATHS = {"wsgi": ["before", "written", "pieces"], "asgi": ["before", "pieces"]}
WEBSOCKET = b"".join(
    field + b"\r\n"
    for field in [
        b"GET / HTTP/1.1",
        b"Host: a",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"",
    ]
)


@pytest.mark.parametrize("interface", PATHS)
def test_panic_costs_one_request_and_is_counted(serve, interface):
    environment = {**AT_ANY_PORT, "RUST_BACKTRACE": "0"}
    server = serve(f"panicking:{interface}", "-w", "1", environment=environment).ready()
    worker = server.workers()
    for path in PATHS[interface]:
        raw = exchange(server, f"GET /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        if path == "before":
            assert raw.startswith(b"HTTP/1.1 500 "), raw
        else:
            # Nobody takes what has come for the whole.
            assert raw.startswith(b"HTTP/1.1 200 ") and b"some" in raw and not raw.endswith(b"0\r\n\r\n"), raw
    panics = len(PATHS[interface])
    if interface == "asgi":
        # 1011: an internal error (RFC 6455 7.4.1).
        assert exchange(server, WEBSOCKET).endswith(b"\x88\x02\x03\xf3")
        panics += 1
    assert parsed(admin_page(server))["ferricorn_panics_total"] == panics
    # PEP 3333: close() is called however the iteration ended.
    assert ask(server, "GET", "/").content == {"wsgi": b"1 closed", "asgi": b"fine"}[interface]
    assert server.workers() == worker
