"""Requests that hang, workers that die: what the log says, and what becomes of everybody else."""

import os
import signal
import threading

from support.client import Client, answer_to, ask


def entered(server, gates, target="/gated"):
    """A connection whose request is in the app."""
    connection = server.connect()
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    gates.expect("entered")
    return connection


def test_a_killed_workers_request_is_named(serve, gates, transport):
    server = serve("responses", "-w", "1", transport=transport, environment=gates.environment).ready()
    with entered(server, gates, "/gated?a=%20b"):
        os.kill(server.workers()[1], signal.SIGKILL)
        line = r"worker was serving GET /gated\?a=%20b \(id [0-9a-f]{16}, client (\S+), \d.*, in app\)"
        client = server.log.wait_for(line)[0][1]
        assert client.startswith("127.0.0.1:" if transport == "tcp" else "unix")
        server.log.wait_for("worker ready", count=2)
    assert ask(server, "GET", "/plain").status == 200
