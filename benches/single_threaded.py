"""What Ferricorn is compared with: the standard library's server, one request at a time."""

import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

from hello import application


class Quiet(WSGIRequestHandler):
    """Without a line per request, as a production server by default."""

    def log_message(self, format, *arguments):
        """Logs nothing."""


if __name__ == "__main__":
    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        print(f"listening at http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
        server.serve_forever()
