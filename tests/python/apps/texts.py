"""Answers in strings of a class of its own, as Django's SafeString is one; what else it needs of them the interpreter makes."""


class Text(str):
    """A str, and no ordinary one."""


def application(environ, start_response):
    fields = [(Text("X-Kind"), Text("a text")), (Text("X-Latin"), Text("gr\xfcn")), (Text("Content-Length"), Text("4"))]
    start_response(Text("299 Gr\xfcn"), fields)
    return [b"body"]
