"""Answers with its environ as JSON: every value that is text, the others by their type's name."""

import json


def application(environ, start_response):
    """One JSON object."""
    shown = {
        name: value if isinstance(value, (str, bool, list, tuple, type(None))) else type(value).__name__
        for name, value in environ.items()
    }
    # After the last read, so that a server's own accounting of the content is seen to be right.
    shown["test.content"] = environ["wsgi.input"].read().decode("latin-1")
    answer = json.dumps(shown).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]
