"""What RFC 6455 and RFC 7692 ask of a server, case by case, as the sections of Autobahn's test suite have it."""

import struct
import zlib

import pytest
from test_websocket import Raw

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x81, 0x82, 0x80, 0x88, 0x89, 0x8A
# First frames of a message that goes on, and frames that do.
TEXT_BEGINS, BINARY_BEGINS, GOES_ON = 0x01, 0x02, 0x00
KOSME = "\u03ba\u1f79\u03c3\u03bc\u03b5\U0001f600".encode()


@pytest.fixture
def server(serve, gates):
    """One worker with the app that sends everything back."""
    return serve("asgi_sockets:app", "-w", "1", environment=gates.environment).ready()


def bytewise(first, content):
    """A message in frames of one byte each."""
    last = len(content) - 1
    return [
        ((first & 0x0F if at == 0 else GOES_ON) | (0x80 if at == last else 0), content[at : at + 1])
        for at in range(len(content))
    ]


def code(number, reason=b""):
    """The content of a close frame."""
    return struct.pack("!H", number) + reason


def deflated(content):
    """A message's content as RFC 7692 7.2.1 has it."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(content) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


SENT_BACK = {
    "1 sizes": [[(TEXT, b"x" * size)] for size in (0, 125, 126, 127, 128, 65535, 65536)],
    "1 bytes": [[(BINARY, bytes(range(256)) * 300)]],
    "6 text cut within its characters": [bytewise(TEXT, KOSME)],
    "5 empty pieces": [[(TEXT_BEGINS, b""), (GOES_ON, b""), (CONTINUATION, b"")]],
    "9 many pieces": [[(BINARY_BEGINS, b"a" * 999), *[(GOES_ON, b"b" * 999)] * 60, (CONTINUATION, b"c")]],
    "6 noncharacters": [[(TEXT, text.encode())] for text in ("\ufffe", "\uffff", "\U0010ffff", "\ud7ff", "\ue000", "\0")],
}


@pytest.mark.parametrize("section", SENT_BACK)
def test_messages_come_back_whole(server, section):
    client = Raw(server)
    for frames in SENT_BACK[section]:
        for first, content in frames:
            client.send(first, content)
        whole = b"".join(content for _, content in frames)
        assert client.receive() == (0x80 | frames[0][0], whole)
    client.close()


def test_control_frames_are_answered_in_order_also_within_a_message(server):
    client = Raw(server)
    for frames, answers in [
        ([(PING, b"")], [(PONG, b"")]),
        ([(PING, bytes(range(125)))], [(PONG, bytes(range(125)))]),
        ([(PING, b"%d" % number) for number in range(10)], [(PONG, b"%d" % number) for number in range(10)]),
        ([(PONG, b"unasked"), (TEXT, b"a")], [(TEXT, b"a")]),
        (
            [(TEXT_BEGINS, b"a"), (PING, b"1"), (GOES_ON, b"b"), (PING, b"2"), (PONG, b"3"), (CONTINUATION, b"c")],
            [(PONG, b"1"), (PONG, b"2"), (TEXT, b"abc")],
        ),
    ]:
        for first, content in frames:
            client.send(first, content)
        assert [client.receive() for _ in answers] == answers
    client.close()


def test_frames_may_arrive_byte_by_byte(server):
    client = Raw(server)
    frames = []
    client.connection, connection = type("Collected", (), {"sendall": frames.append})(), client.connection
    client.send(TEXT_BEGINS, KOSME[:3])
    client.send(PING, b"p")
    client.send(CONTINUATION, KOSME[3:])
    client.connection = connection
    for byte in b"".join(frames):
        connection.sendall(bytes([byte]))
    assert [client.receive(), client.receive()] == [(PONG, b"p"), (TEXT, KOSME)]
    client.close()


@pytest.mark.parametrize(
    ("section", "cases"),
    [
        ("2 long ping", [[(PING, b"x" * 126)]]),
        ("3 reserved bits", [[(TEXT | bit, b"x")] for bit in (0x10, 0x20, 0x40, 0x70)] + [[(PING | 0x40, b"")]]),
        ("4 reserved opcodes", [[(0x80 | number, b"")] for number in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)]),
        ("5 control frame in pieces", [[(number, b"a")] for number in (0x08, 0x09, 0x0A)]),
        ("5 nothing to go on", [[(CONTINUATION, b"a")], [(GOES_ON, b"a")], [(TEXT, b"a"), (CONTINUATION, b"b")]]),
        ("5 message within a message", [[(TEXT_BEGINS, b"a"), (TEXT, b"b")], [(BINARY_BEGINS, b"a"), (BINARY_BEGINS, b"b")]]),
        ("7 content of close", [[(CLOSE, b"\x03")], [(CLOSE, code(1000, b"x" * 124))]]),
        (
            "7 codes that mean nothing",
            [[(CLOSE, code(number))] for number in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)],
        ),
    ],
)
def test_violation_is_1002(server, section, cases):
    for frames in cases:
        ends_with(server, frames, 1002)


def ends_with(server, frames, number, **options):
    """One connection that ends so."""
    client = Raw(server, **options)
    for first, content in frames:
        client.send(first, content)
    while (frame := client.receive()) and frame[0] != CLOSE:
        assert frames[0][0] in (TEXT, BINARY), f"{frames}: {frame}"
    assert frame and frame[1][:2] == struct.pack("!H", number), f"{frames}: {frame}"
    client.close()


def test_frame_without_a_mask_is_1002(server):
    client = Raw(server)
    client.connection.sendall(b"\x81\x01a")
    assert client.closed() == 1002
    client.close()


def test_length_past_63_bits_is_1002(server):
    client = Raw(server)
    client.connection.sendall(b"\x82\xff\x80" + bytes(7) + b"\x01\x02\x03\x04")
    assert client.closed() == 1002
    client.close()


@pytest.mark.parametrize(
    "text",
    [
        b"\x80", b"\xbf", b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x80\xaf", b"\xe0\x9f\xbf", b"\xf0\x80\x80\xaf", b"\xf0\x8f\xbf\xbf",
        b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xfe", b"\xff", b"\xf8\x88\x80\x80\x80",
        b"\xe2\x28\xa1", b"\xce", b"\xf0\x9f\x98",
    ],
    ids=bytes.hex,
)  # fmt: skip
def test_text_that_is_none_is_1007(server, text):
    ends_with(server, [(TEXT, KOSME + text)], 1007)
    ends_with(server, [(CLOSE, code(1000, text))], 1007)
    if text not in (b"\xce", b"\xf0\x9f\x98"):
        # Said before the message is at its end.
        ends_with(server, [(TEXT_BEGINS, KOSME), (GOES_ON, text)], 1007)


@pytest.mark.parametrize("reason", [b"", KOSME, b"x" * 123])
def test_close_is_answered_with_its_code_and_what_follows_is_nobodys(server, reason):
    for number in [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999]:
        client = Raw(server)
        client.send(CLOSE, code(number, reason))
        client.send(TEXT, b"too late")
        assert client.receive()[1][:2] == code(number)
        assert client.receive() is None
        client.close()


def test_close_without_a_code_is_answered_without_one(server):
    client = Raw(server)
    client.send(CLOSE, b"")
    assert client.closed() is None and client.receive() is None
    client.close()


def test_compressed_messages_in_pieces_and_plain_ones_come_back(server):
    client = Raw(server, extensions="permessage-deflate; client_max_window_bits")
    packed = deflated(KOSME * 500)
    for frames in [
        [(TEXT | 0x40, packed)],
        [(TEXT_BEGINS | 0x40, packed[:7]), (GOES_ON, packed[7:9]), (CONTINUATION, packed[9:])],
        [(TEXT, KOSME * 500)],
        [(TEXT_BEGINS | 0x40, packed[:7]), (PING, b""), (CONTINUATION, packed[7:])],
    ]:
        for first, content in frames:
            client.send(first, content)
        first, content = client.receive()
        if first == PONG:
            first, content = client.receive()
        assert first == TEXT | 0x40
        assert zlib.decompressobj(wbits=-15).decompress(content + b"\x00\x00\xff\xff") == KOSME * 500
    client.close()


@pytest.mark.parametrize(
    ("frames", "number"),
    [
        ([(TEXT_BEGINS | 0x40, deflated(b"a")), (CONTINUATION | 0x40, b"")], 1002),
        ([(PING | 0x40, b"")], 1002),
        ([(TEXT | 0x40, b"\xff\xff\xff")], 1007),
        ([(TEXT | 0x40, deflated(b"\xff"))], 1007),
    ],
    ids=["bit on a later piece", "bit on a ping", "no deflate", "no text"],
)
def test_wrong_compression_ends_the_connection(server, frames, number):
    ends_with(server, frames, number, extensions="permessage-deflate")
