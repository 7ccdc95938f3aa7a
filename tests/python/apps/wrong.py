"""Responds with whatever the query says, as a Python literal: ``(status, fields, body)``."""

import ast
import os
from urllib.parse import unquote


def application(environ, start_response):
    if not environ["QUERY_STRING"]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(os.getpid()).encode()]
    status, fields, body = ast.literal_eval(unquote(environ["QUERY_STRING"]))
    start_response(status, fields)
    return body
