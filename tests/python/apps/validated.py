"""Apps under ``wsgiref.validate``: whatever the server does against PEP 3333 becomes a 500."""

from wsgiref.validate import validator


def read_at_once(stream, _length):
    return stream.read(1 << 20)


def read_in_pieces(stream, _length):
    pieces = []
    while piece := stream.read(3):
        pieces.append(piece)
    return b"".join(pieces)


def read_lines(stream, _length):
    lines = []
    while line := stream.readline():
        lines.append(line)
    return b"".join(lines)


def read_line_list(stream, _length):
    return b"".join(stream.readlines())


def iterate(stream, _length):
    return b"".join(stream)


def read_exactly(stream, length):
    return stream.read(length)


READERS = {
    f"/{reader.__name__}": reader
    for reader in (read_at_once, read_in_pieces, read_lines, read_line_list, iterate, read_exactly)
}


def answer(environ, start_response):
    """The content, read in the way that the path names."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    content = READERS[environ["PATH_INFO"]](environ["wsgi.input"], length)
    environ["wsgi.errors"].write("")
    environ["wsgi.errors"].flush()
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(content)))])
    return [content] if environ["REQUEST_METHOD"] != "HEAD" else []


application = validator(answer)
