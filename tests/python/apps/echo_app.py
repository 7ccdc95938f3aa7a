"""The WSGI twin of the native app ``echo``: what of a request reached the app, as text."""

from urllib.parse import quote


def target(environ):
    """The target as the client sent it, or the nearest that the environ allows."""
    if "RAW_URI" in environ:
        return environ["RAW_URI"]
    path = quote(environ["SCRIPT_NAME"] + environ["PATH_INFO"], safe="/:;=@!$&'()*+,~%", encoding="latin-1")
    return path + ("?" + environ["QUERY_STRING"] if environ["QUERY_STRING"] else "")


def application(environ, start_response):
    """Method and target, one line per field, an empty line, the content."""
    lines = [f"{environ['REQUEST_METHOD']} {target(environ)}"]
    for name, value in environ.items():
        if name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if value:
                lines.append(f"{name.lower().replace('_', '-')}: {value}")
        elif name.startswith("HTTP_"):
            lines.append(f"{name[5:].lower().replace('_', '-')}: {value}")
    content = environ["wsgi.input"].read()
    answer = "\n".join(lines).encode("latin-1") + b"\n\n" + content
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]
