"""Load on a WebSocket that sends back what it is sent: one message at a time on each connection."""

import os
import selectors
import socket
import statistics
import time

MESSAGE = b"x" * 64
MASK = b"\x5a\x01\xff\x80"
# RFC 6455 5.2: a client's frame of text, and what a server makes of it.
FRAME = bytes((0x81, 0x80 | len(MESSAGE))) + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(MESSAGE))
ECHO = bytes((0x81, len(MESSAGE))) + MESSAGE
HANDSHAKE = (
    "GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
).encode()
DEADLINE = 10


def connect(target):
    """A connection after its handshake."""
    stream = socket.create_connection(("127.0.0.1", int(target.url.rpartition(":")[2])), DEADLINE)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.sendall(HANDSHAKE)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = stream.recv(1)
        if not piece:
            raise SystemExit(f"{target.name} closed a WebSocket: {head!r}")
        head += piece
    if not head.startswith(b"HTTP/1.1 101 "):
        raise SystemExit(f"{target.name} refused a WebSocket: {head!r}")
    return stream


def load(target, seconds, connections, processor):
    """One round, in the form that `run.load` has."""
    before_affinity = os.sched_getaffinity(0)
    if processor is not None:
        os.sched_setaffinity(0, {processor})
    try:
        return measure(target, seconds, connections)
    finally:
        os.sched_setaffinity(0, before_affinity)


def measure(target, seconds, connections):
    """Messages there and back until time is up."""
    waits, sent = [], {}
    with selectors.DefaultSelector() as selector:
        for stream in [connect(target) for _ in range(connections)]:
            selector.register(stream, selectors.EVENT_READ, [b""])
        before, began = target.cpu_seconds(), time.perf_counter()
        for key in selector.get_map().values():
            sent[key.fd] = time.perf_counter()
            key.fileobj.sendall(FRAME)
        until = began + seconds
        while (now := time.perf_counter()) < until:
            for key, _ in selector.select(until - now):
                received = key.data[0] + key.fileobj.recv(4096)
                if received == ECHO:
                    now = time.perf_counter()
                    waits.append(now - sent[key.fd])
                    sent[key.fd], key.data[0] = now, b""
                    key.fileobj.sendall(FRAME)
                elif not ECHO.startswith(received) or received == key.data[0]:
                    raise SystemExit(f"{target.name} sent back something else: {received!r}")
                else:
                    key.data[0] = received
        cpu, took = target.cpu_seconds() - before, time.perf_counter() - began
        for key in list(selector.get_map().values()):
            key.fileobj.close()
    cuts = [1e3 * cut for cut in statistics.quantiles(waits, n=1000)]
    return {
        "per_second": len(waits) / took,
        "cpu_us": cpu / len(waits) * 1e6,
        "p50_ms": cuts[499],
        "p99_ms": cuts[989],
        "p999_ms": cuts[998],
        "refused": 0,
        "failed": 0,
    }
