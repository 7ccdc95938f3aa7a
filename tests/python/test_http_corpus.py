"""The corpus of HTTP requests against a WSGI app; `tests/corpus/http/README.md` describes its files."""

import re
from pathlib import Path

import pytest

CORPUS = Path(__file__).resolve().parent.parent / "corpus" / "http"
ROUTES = """
[[route]]
prefix = "/small"
body = "1 KiB"

[[route]]
prefix = "/length-required"
length_required = true
"""
ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|\{(\d+)\*([^}]*)\}|(.))")
PLAIN = {"r": b"\r", "n": b"\n", "t": b"\t", "\\": b"\\"}


class Expected:
    """One answer that a case expects."""

    def __init__(self, statuses):
        self.statuses = [int(status) for status in statuses.split(" or ")]
        self.echo, self.fields, self.absent, self.body = None, [], [], b""

    def add(self, key, value):
        """Takes one `# echo…` line."""
        if key == "echo":
            self.echo = None if value == "nothing" else unescape(value)
        elif key == "echo-field":
            self.fields.append(unescape(value))
        elif key == "echo-without":
            self.absent.append(value.encode())
        elif key == "echo-body":
            self.body = unescape(value)
        else:
            raise ValueError(f"not understood: {key}: {value}")


class Case:
    """One file: what one client sends, and what it must get."""

    def __init__(self, path):
        self.name = f"{path.parent.name}/{path.stem}"
        head, message = path.read_text().split("\n\n", 1)
        self.bytes = unescape(message.replace("\n", ""))
        self.answers, self.closes, self.half_closed = [], path.parent.name == "refused", False
        for line in head.splitlines()[1:]:
            key, value = line.removeprefix("# ").split(": ", 1)
            if key == "expect":
                self.answers.append(Expected(value))
            elif key == "then":
                self.closes = value == "closes"
            elif key == "end":
                self.half_closed = value == "shuts down writing"
            elif key not in ("source", "nearest", "static"):
                self.answers[-1].add(key, value)


class Peer:
    """The client's end of one connection."""

    def __init__(self, connection):
        self.connection, self.buffer = connection, b""

    def answer(self, has_content=True):
        """Status and content of the next final answer."""
        while True:
            head = self.until(b"\r\n\r\n").decode("latin-1")
            status = int(head.split(" ")[1])
            if status >= 200:
                break
        if not has_content:
            return status, b""
        fields = {name.lower(): value.strip() for name, value in re.findall(r"\r\n([^:]+):([^\r]*)", head)}
        if fields.get("transfer-encoding") == "chunked":
            return status, self.chunks()
        return status, self.exactly(int(fields["content-length"]))

    def chunks(self):
        """Chunked content."""
        content = b""
        while size := int(self.until(b"\r\n"), 16):
            content += self.exactly(size + 2)[:-2]
        assert self.until(b"\r\n") == b"\r\n"
        return content

    def until(self, end):
        """Everything up to these bytes, and them."""
        while end not in self.buffer:
            self.fill()
        at = self.buffer.index(end) + len(end)
        taken, self.buffer = self.buffer[:at], self.buffer[at:]
        return taken

    def exactly(self, length):
        """So many bytes."""
        while len(self.buffer) < length:
            self.fill()
        taken, self.buffer = self.buffer[:length], self.buffer[length:]
        return taken

    def fill(self):
        """More bytes, or an error at the end."""
        piece = self.connection.recv(65536)
        assert piece, f"the connection ended after {self.buffer!r}"
        self.buffer += piece

    def must_have_ended(self):
        """A FIN and nothing before it; a reset raises."""
        assert not self.buffer, f"more bytes: {self.buffer!r}"
        more = self.connection.recv(65536)
        assert not more, f"more bytes: {more!r}"


def unescape(text):
    """Undoes the escapes of the corpus."""
    parts, end = [], 0
    for match in ESCAPE.finditer(text):
        parts.append(text[end : match.start()].encode())
        code, count, repeated, letter = match.groups()
        if code:
            parts.append(bytes.fromhex(code))
        elif count:
            parts.append(repeated.encode() * int(count))
        else:
            parts.append(PLAIN[letter])
        end = match.end()
    return b"".join([*parts, text[end:].encode()])


def judge(server, case):
    """Sends a case and compares what comes back."""
    with server.connect() as connection:
        try:
            connection.sendall(case.bytes)
        except (BrokenPipeError, ConnectionResetError):
            pass  # A server that has refused may stop to listen; its answer is still to be read.
        else:
            if case.half_closed:
                connection.shutdown(1)
        peer = Peer(connection)
        for expected in case.answers:
            head_alone = expected.statuses == [200] and expected.echo is None
            status, content = peer.answer(has_content=not head_alone)
            assert status in expected.statuses, f"expected {expected.statuses}, got {status} {content[:200]!r}"
            if expected.echo is not None:
                compare(content, expected)
        if not case.closes:
            connection.sendall(b"GET /next HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
            status, content = peer.answer()
            assert status == 200 and content.startswith(b"GET /next\n"), f"next request: {status} {content[:200]!r}"
        peer.must_have_ended()


def compare(content, expected):
    """What the app was given with what the client meant."""
    head, _, body = content.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    assert first == expected.echo, f"another request line: {first!r}"
    wanted = {}
    for field in expected.fields:
        name, value = field.split(b": ", 1)
        wanted.setdefault(name, []).append(value)
    for name, values in wanted.items():
        # An environ has one value per name: what was repeated is joined, cookies by a semicolon.
        joined = [name + b": " + sign.join(values) for sign in (b",", b", ", b"; ")]
        assert any(line in lines for line in joined), f"no {joined} in {head[:400]!r}"
    for name in expected.absent:
        assert not any(line.startswith(name + b":") for line in lines), f"{name!r} in {head[:400]!r}"
    assert body == expected.body, f"another content: {body[:200]!r}"


@pytest.mark.parametrize("kind", ["refused", "taken"])
def test_every_case_gets_its_answers(kind, serve, tmp_path, transport):
    """Nothing bad reaches a WSGI app, and nothing legitimate is kept from it."""
    (tmp_path / "ferricorn.toml").write_text(ROUTES)
    server = serve("echo_app:application", "--workers", "1", transport=transport).ready()
    cases = [Case(path) for path in sorted((CORPUS / kind).glob("*.http"))]
    assert cases
    failures = []
    for case in cases:
        try:
            judge(server, case)
        except (AssertionError, OSError, LookupError, ValueError) as error:
            failures.append(f"{case.name}: {error}")
    assert not failures, f"{len(failures)} of {len(cases)} fail:\n" + "\n".join(failures)
