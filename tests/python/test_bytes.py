"""Every byte value through every place that takes bytes, in both directions; and nothing is left behind by many requests."""

import ast
import random
import re
import socket
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import pytest

from support.client import Client, ask, exchange

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 9110 5.5 and 5.6.2; a tab or a space at either end is not part of a value.
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
# RFC 9112 3.2: what may stand in a request line.
TARGET = re.compile(rb"[\x21-\x7e]+")
REQUESTS = 100_000
SEED = 20_260_131


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """A directory for the server of this module."""
    return tmp_path_factory.mktemp("bytes")


@pytest.fixture
def server(serve):
    """One worker, whose death would be seen."""
    return serve("mirror", "-w", "1").ready()


def worker_of(server):
    return server.workers()[1]


def raw(server, head, content=b""):
    """Status, fields and content of the answer to a head as it is."""
    answer = exchange(server, head + b"\r\nConnection: close\r\n\r\n" + content)
    first, _, body = answer.partition(b"\r\n\r\n")
    return int(first[9:12]), first.split(b"\r\n"), body


def shown(body):
    return ast.literal_eval(body.decode("ascii"))


@pytest.fixture(autouse=True)
def same_worker(server):
    """Whatever a test sends, it costs no worker."""
    before = worker_of(server)
    yield
    assert ask(server, "GET", "/").status == 200
    assert worker_of(server) == before
    assert "panicked" not in server.log.text()


def test_request_values_arrive_as_the_bytes_of_latin_1(server):
    for byte in range(256):
        value = b"a" + bytes([byte]) + b"b"
        status, _, body = raw(server, b"GET / HTTP/1.1\r\nHost: a\r\nX-Value: " + value)
        if VALUE.fullmatch(value):
            assert status == 200 and shown(body)["fields"]["HTTP_X_VALUE"] == value.decode("latin-1"), byte
        elif byte == 0x0A:
            assert status in (200, 400), "a bare LF ends a line, or is refused"
        else:
            assert status == 400, byte


def test_request_names_are_tokens(server):
    for byte in range(256):
        name = b"X" + bytes([byte]) + b"a"
        status, _, body = raw(server, b"GET / HTTP/1.1\r\nHost: a\r\n" + name + b": value")
        if not TOKEN.fullmatch(name):
            # "X:a: value" is a field named X.
            assert status == 400 or bytes([byte]) in b":\n", byte
        elif byte == ord("_"):
            # It could pass for another one.
            assert status == 200 and "HTTP_X_A" not in shown(body)["fields"]
        else:
            key = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
            assert status == 200 and shown(body)["fields"][key] == "value", byte


def test_targets_arrive_as_they_were_sent(server):
    for byte in range(256):
        target = b"/a" + bytes([byte]) + b"b"
        status, _, body = raw(server, b"GET " + target + b" HTTP/1.1\r\nHost: a")
        if not TARGET.fullmatch(target):
            assert status == 400, byte
        elif byte in b"%#":
            # Half an escape, and a fragment, which no client sends.
            assert status in (200, 400)
        else:
            path, _, query = target.partition(b"?")
            assert status == 200, byte
            told = shown(body)
            assert told["RAW_URI"] == target.decode() and told["PATH_INFO"] == path.decode() and told["QUERY_STRING"] == query.decode()


def test_encoded_paths_are_decoded_once_to_the_bytes_of_latin_1(server):
    for byte in range(256):
        for target in (b"/a%%%02Xb" % byte, b"/a%%%02xb?q=%%%02x" % (byte, byte), b"/a%%25%02Xb" % byte):
            status, _, body = raw(server, b"GET " + target + b" HTTP/1.1\r\nHost: a")
            if status == 400:
                # A path that proxies and apps read differently.
                assert byte in (0x00, 0x2F, 0x5C, 0x2E, 0x0A, 0x0D), (byte, target)
                continue
            path, _, query = target.partition(b"?")
            told = shown(body)
            assert told["PATH_INFO"] == unquote_to_bytes(path).decode("latin-1"), target
            assert told["QUERY_STRING"] == query.decode()


def said(server, status=b"200 OK", name=b"X-Said", value=b"value"):
    """What the server makes of an app that says this."""
    query = "&".join(quote(part, safe="") for part in (status, name, value))
    return raw(server, b"GET /?say=" + query.encode() + b" HTTP/1.1\r\nHost: a")


def test_reasons_names_and_values_of_an_app_arrive_byte_for_byte_or_are_a_500(server):
    for byte in range(256):
        text = b"a" + bytes([byte]) + b"b"
        status, lines, _ = said(server, status=b"200 " + text)
        if VALUE.fullmatch(text):
            assert lines[0] == b"HTTP/1.1 200 " + text, byte
        else:
            assert status == 500, byte
        status, lines, _ = said(server, value=text)
        if VALUE.fullmatch(text):
            assert b"x-said: " + text in lines, byte
        else:
            assert status == 500, byte
        status, lines, _ = said(server, name=text)
        if TOKEN.fullmatch(text):
            assert text.lower() + b": value" in lines, byte
        else:
            assert status == 500, byte


def test_status_codes_are_three_digits_and_final(server):
    for status in (b"", b"1", b"20", b"0200 OK", b"2000", b"099 a", b"100 a", b"199 a", b"-20 a", b"+20 a", b"2 0 a", b"\xb2\xb3\xb9 a", b"abc"):
        assert said(server, status=status)[0] == 500, status
    for status in (b"200", b"200 ", b"299 a", b"418 teapot", b"599 \xff", b"999 a"):
        assert said(server, status=status)[1][0].rstrip() == b"HTTP/1.1 " + status.rstrip(), status


def test_contents_of_all_bytes_arrive_both_ways(server):
    dice = random.Random(SEED)
    client = Client(server)
    for number in range(200):
        content = dice.randbytes(dice.choice([0, 1, 255, 4096, 16_384, 65_537, 300_000]))
        # Of known length, or in chunks of any size.
        cuts = sorted(dice.sample(range(len(content) + 1), min(len(content), dice.randint(0, 20))))
        pieces = [content[start:end] for start, end in zip([0, *cuts], [*cuts, len(content)])]
        sent = content if number % 2 else iter([piece for piece in pieces if piece])
        assert client.ask("POST", "/echo", sent).content == content, number
    client.close()


def test_inputs_kept_of_the_fuzzer_reach_the_app_or_are_refused(server):
    """`make fuzz` tries them on the conversions alone; here they come from outside."""
    kept = Path(__file__).parents[1] / "corpus" / "fuzz"
    for file in sorted((kept / "python_request").iterdir()):
        with server.connect() as connection:
            connection.sendall(file.read_bytes())
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert re.match(rb"HTTP/1\.1 (200|4\d\d) ", answer), (file.name, answer[:200])
    for file in sorted((kept / "python_response").iterdir()):
        parts, rest = [], file.read_bytes()[1:]
        while rest:
            parts.append(rest[1 : 1 + rest[0]])
            rest = rest[1 + rest[0] :]
        status, lines, _ = said(server, *parts[:3])
        assert status == 500 or lines[0].startswith(b"HTTP/1.1 " + parts[0][:3]), (file.name, lines)


def resident(pid):
    """Bytes of memory of a process."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * int(re.search(r"^Private_Dirty:\s+(\d+)", text, re.MULTILINE)[1])


def test_many_requests_leave_nothing_behind(server):
    """Requests of several kinds on kept connections; memory, objects and blocks of the worker are what they were."""
    kinds = [
        b"GET /path?query HTTP/1.1\r\nHost: a\r\nX-Field: value\r\nCookie: a=b\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /?say=200%20OK&X-Said&value HTTP/1.1\r\nHost: a\r\n\r\n",
    ]
    batch = b"".join(kinds) * 20

    def load(requests):
        done = 0
        with server.connect() as connection:
            stream = connection.makefile("rb")
            while done < requests:
                connection.sendall(batch)
                for number in range(100):
                    length, status = 0, stream.readline()
                    assert status.startswith(b"HTTP/1.1 200 "), status
                    while (line := stream.readline()) != b"\r\n":
                        if line.lower().startswith(b"content-length:"):
                            length = int(line.split(b":")[1])
                    if number % 5 != 3:
                        stream.read(length)
                done += 100

    pid = worker_of(server)
    load(20_000)
    counted, memory = shown(ask(server, "GET", "/counts").content), resident(pid)
    load(REQUESTS)
    objects, blocks = (after - before for after, before in zip(shown(ask(server, "GET", "/counts").content), counted))
    # Not one object or block in a hundred requests, nor a byte in each.
    assert objects < REQUESTS / 100 and blocks < REQUESTS / 100, (objects, blocks)
    assert resident(pid) - memory < 2 << 20
