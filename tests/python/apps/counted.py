"""The Django example with a line in a file for each call that Python gets to see."""

import os

from demo.wsgi import application as demo

LOG = os.path.join(os.path.dirname(os.path.abspath(__file__)), "entered.log")


def application(environ, start_response):
    """Notes the path, then calls Django."""
    descriptor = os.open(LOG, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, environ["PATH_INFO"].encode("latin-1") + b"\n")
    finally:
        os.close(descriptor)
    return demo(environ, start_response)
