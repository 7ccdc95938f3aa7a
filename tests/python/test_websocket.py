"""WebSockets of ASGI apps: messages, limits, compression, pings, and every way to end."""

import os
import signal
import socket
import struct
import zlib

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from support.server import DEADLINE


@pytest.fixture
def server(serve, gates, request):
    """One worker with the app of many WebSockets."""
    environment = {**gates.environment, "FERRICORN_PYTHON_LOOP": getattr(request, "param", "auto")}
    return serve("asgi_sockets:app", "-w", "1", environment=environment).ready()


in_each_loop = pytest.mark.parametrize("server", ["asyncio", "uvloop"], indirect=True)


def join(server, path, **options):
    """A client of the library `websockets`."""
    options = {"open_timeout": DEADLINE, "close_timeout": DEADLINE, "max_size": None, **options}
    return connect(f"ws://127.0.0.1:{server.port}/{path}", **options)


class Raw:
    """A client that sends whatever it is told to."""

    def __init__(self, server, path="echo", extensions=None):
        self.connection = server.connect()
        offer = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
        self.connection.sendall(
            f"GET /{path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{offer}"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        self.file = self.connection.makefile("rb")
        self.head = b""
        while not self.head.endswith(b"\r\n\r\n"):
            self.head += self.file.readline()

    def send(self, first, content, mask=b"\x01\x02\x03\x04", length=None):
        """One frame; its first byte as it is."""
        length = len(content) if length is None else length
        if length < 126:
            head = struct.pack("!BB", first, 0x80 | length)
        elif length < 65536:
            head = struct.pack("!BBH", first, 0x80 | 126, length)
        else:
            head = struct.pack("!BBQ", first, 0x80 | 127, length)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(content))
        self.connection.sendall(head + mask + masked)

    def receive(self):
        """First byte and content of the next frame; None at the end."""
        head = self.file.read(2)
        if len(head) < 2:
            return None
        length = head[1]
        assert length < 128, "a server does not mask"
        if length == 126:
            length = struct.unpack("!H", self.file.read(2))[0]
        elif length == 127:
            length = struct.unpack("!Q", self.file.read(8))[0]
        return head[0], self.file.read(length)

    def closed(self):
        """The status code that the server ends with."""
        while True:
            frame = self.receive()
            assert frame is not None, "no close frame"
            if frame[0] == 0x88:
                return struct.unpack("!H", frame[1][:2])[0] if frame[1] else None

    def close(self):
        """Leaves without a word."""
        self.connection.close()
        self.file.close()


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_of_every_size_come_back(server, compression):
    with join(server, "echo", compression=compression) as client:
        for size in (0, 1, 125, 126, 127, 128, 4096, 65535, 65536, 1 << 20, 5 << 20):
            text, data = "\u00e9" * (size // 2), os.urandom(size)
            client.send(text)
            assert client.recv(DEADLINE) == text
            client.send(data)
            assert client.recv(DEADLINE) == data
        client.send(iter(["in ", "three ", "pieces"]))
        assert client.recv(DEADLINE) == "in three pieces"
        assert client.ping(b"there?").wait(DEADLINE)


def test_compression_is_agreed_on_without_a_past(server):
    client = Raw(server, extensions="permessage-deflate; client_max_window_bits")
    assert b"permessage-deflate; server_no_context_takeover; client_no_context_takeover" in client.head
    text = b"again and again " * 100
    for _ in range(2):
        deflater = zlib.compressobj(wbits=-15)
        client.send(0xC1, (deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4])
        first, content = client.receive()
        assert first == 0xC1 and len(content) < 200
        assert zlib.decompressobj(wbits=-15).decompress(content + b"\0\0\xff\xff") == text
    client.close()
    plain = Raw(server, extensions="permessage-deflate; server_max_window_bits=9")
    assert b"permessage-deflate" not in plain.head
    plain.close()


def test_subprotocol_fields_and_close_code_are_the_apps(server):
    with join(server, "protocols?q=1", subprotocols=["one", "two"]) as client:
        assert client.subprotocol == "two" and client.response.headers["x-app"] == "yes"
        assert client.recv(DEADLINE) == "ws q=1"
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(DEADLINE)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as asked")


@pytest.mark.parametrize(
    ("offered", "agreed"), [(["one", "two"], "two"), (["one"], None), (["Two"], None), (None, None)]
)
def test_subprotocol_that_is_not_offered_is_not_agreed_on(server, offered, agreed):
    """RFC 6455 4.2.2; the client here ends a connection whose answer names another."""
    with join(server, "chooses?two", subprotocols=offered) as client:
        assert client.subprotocol == agreed and client.recv(DEADLINE) == "welcome"
    if not agreed:
        server.log.wait_for("WARN.* a subprotocol that its client has not offered.*two")


@in_each_loop
def test_app_learns_how_the_client_left(server, gates):
    with join(server, "echo") as client:
        client.close(4321, "enough")
    gates.expect("disconnect 4321 enough")
    client = Raw(server)
    client.send(0x88, b"")
    assert client.receive() == (0x88, b"")
    gates.expect("disconnect 1005")
    client.close()
    client = Raw(server)
    client.close()
    gates.expect("disconnect 1006")


@pytest.mark.parametrize(("path", "status", "content"), [("refuses", 403, b"refuses"), ("denies", 401, b"who are you"), ("fails", 500, b"failed")])
def test_refused_handshake_is_a_response(server, path, status, content):
    with pytest.raises(InvalidStatus) as refused:
        join(server, path)
    assert refused.value.response.status_code == status and content in refused.value.response.body


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"426"),
        ("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short", b"400"),
        ("Sec-WebSocket-Version: 13", b"400"),
    ],
)
def test_malformed_handshake_is_refused(server, line, status):
    with server.connect() as connection:
        connection.sendall(
            f"GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{line}\r\n\r\n".encode()
        )
        assert connection.recv(65536).split()[1] == status


@pytest.mark.parametrize(("path", "code"), [("returns", 1000), ("fails_within", 1011), ("exits_within", 1011)])
def test_app_that_ends_closes(server, path, code):
    client = Raw(server, path)
    assert client.closed() == code
    client.close()


def test_wrong_messages_are_refused_where_they_are_sent(server):
    with join(server, "wrong") as client:
        assert client.recv(DEADLINE) == "14 of 14"


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([(0x83, b"")], 1002),
        ([(0xA1, b"")], 1002),
        ([(0xC1, b"")], 1002),
        ([(0x80, b"")], 1002),
        ([(0x09, b"")], 1002),
        ([(0x01, b"a"), (0x01, b"b")], 1002),
        ([(0x89, b"x" * 126)], 1002),
        ([(0x88, b"\x03")], 1002),
        ([(0x88, struct.pack("!H", 1005))], 1002),
        ([(0x88, struct.pack("!H", 999))], 1002),
        ([(0x81, b"\xff")], 1007),
        ([(0x01, b"\xe2"), (0x80, b"\x28\xa1")], 1007),
        ([(0x88, struct.pack("!H", 1000) + b"\xff")], 1007),
    ],
)
def test_violation_ends_one_connection_with_its_code(server, frames, code):
    client = Raw(server)
    for first, content in frames:
        client.send(first, content)
    assert client.closed() == code
    client.close()
    with join(server, "echo") as other:
        other.send("still there")
        assert other.recv(DEADLINE) == "still there"


def test_message_past_its_limit_is_refused_before_it_is_there(serve, gates, tmp_path):
    (tmp_path / "ferricorn.toml").write_text('[websocket]\nmax_message = "64 KiB"\n')
    server = serve("asgi_sockets:app", "-w", "1", environment=gates.environment).ready()
    client = Raw(server)
    client.send(0x82, b"", length=(64 << 10) + 1)
    assert client.closed() == 1009
    client.close()
    client = Raw(server)
    client.send(0x02, bytes(40 << 10))
    client.send(0x80, b"", length=30 << 10)
    assert client.closed() == 1009
    client.close()
    bomb = Raw(server, extensions="permessage-deflate")
    deflater = zlib.compressobj(wbits=-15)
    bomb.send(0xC2, (deflater.compress(bytes(50 << 20)) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4])
    assert bomb.closed() == 1009
    bomb.close()


def test_unanswered_ping_ends_the_connection(serve, gates, tmp_path):
    (tmp_path / "ferricorn.toml").write_text('[websocket]\nping_interval = "50ms"\nping_timeout = "100ms"\n')
    server = serve("asgi_sockets:app", "-w", "1", environment=gates.environment).ready()
    silent = Raw(server)
    assert silent.closed() == 1011
    silent.close()
    gates.expect("disconnect 1011 the answer to a ping is overdue")


def test_app_that_takes_nothing_holds_its_client_up(serve, gates, tmp_path):
    (tmp_path / "ferricorn.toml").write_text("[websocket]\nqueue = 4\n")
    server = serve("asgi_sockets:app", "-w", "1", environment=gates.environment).ready()
    client = Raw(server, "silent")
    client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    client.connection.settimeout(1)
    sent = 0
    # TimeoutError by its older name, which alone Python 3.9 has.
    with pytest.raises(socket.timeout):
        while sent < 4000:
            client.send(0x81, b"x" * 65000)
            sent += 1
    assert sent < 1000
    client.close()
    gates.release()


@in_each_loop
def test_client_that_takes_nothing_holds_the_app_up(server, gates):
    client = Raw(server, "flood")
    gates.expect("full")
    client.close()
    gates.expect("disconnect 1006")


@in_each_loop
def test_drain_says_1001(server, gates):
    client = Raw(server)
    client.send(0x81, b"one")
    assert client.receive() == (0x81, b"one")
    server.signal(signal.SIGTERM)
    assert client.closed() == 1001
    client.send(0x88, struct.pack("!H", 1001))
    gates.expect("disconnect 1001 the server leaves")
    client.close()
    assert server.wait() == 0
