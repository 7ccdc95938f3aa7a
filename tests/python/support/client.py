"""Clients: one exchange, kept connections, and load whose every failure is kept."""

import http.client
import json
import threading
from collections import namedtuple

Answer = namedtuple("Answer", "status fields content")


class Client(http.client.HTTPConnection):
    """http.client over whatever the server listens on."""

    def __init__(self, server):
        super().__init__("localhost")
        self.server = server

    def connect(self):
        """Called by http.client when a connection is needed."""
        self.sock = self.server.connect()

    def ask(self, method, target, content=None, fields=None):
        """One exchange on this connection."""
        self.request(method, target, content, fields or {})
        response = self.getresponse()
        return Answer(response.status, response.headers, response.read())


def ask(server, method, target, content=None, fields=None):
    """One exchange on a connection of its own."""
    client = Client(server)
    try:
        return client.ask(method, target, content, fields)
    finally:
        client.close()


def post_json(server, target, **members):
    """Posts a JSON object: the status, and the object that is the answer."""
    content = json.dumps(members).encode()
    answer = ask(server, "POST", target, content, {"Content-Type": "application/json"})
    return answer.status, json.loads(answer.content)


def exchange(server, raw):
    """Everything the server sends until it closes, for bytes as they are."""
    with server.connect() as connection:
        connection.sendall(raw)
        received = b""
        while piece := connection.recv(65536):
            received += piece
        return received


def answer_to(server, raw):
    """The one answer to bytes as they are, read as its framing says."""
    with server.connect() as connection:
        connection.sendall(raw)
        response = http.client.HTTPResponse(connection, method=raw.split(b" ", 1)[0].decode("latin-1"))
        response.begin()
        return Answer(response.status, response.headers, response.read())


class Load:
    """Clients that ask without a pause, on kept connections or on one per request."""

    def __init__(self, server, target="/", clients=4, kept=True):
        self.server, self.target, self.kept = server, target, kept
        self.answered, self.failures = 0, []
        self.lock = threading.Lock()
        self.progress = threading.Condition(self.lock)
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def _run(self):
        client = Client(self.server)
        while not self.over.is_set():
            try:
                answer = client.ask("GET", self.target)
                problem = None if answer.status == 200 else f"status {answer.status}"
            except (OSError, http.client.HTTPException) as error:
                problem = repr(error)
            with self.progress:
                if problem:
                    self.failures.append(problem)
                else:
                    self.answered += 1
                self.progress.notify_all()
            if problem or not self.kept:
                client.close()
        client.close()

    def more(self, answers=50):
        """Waits until so many further requests have been answered."""
        with self.progress:
            goal = self.answered + answers
            assert self.progress.wait_for(lambda: self.answered >= goal, 30), f"stalled: {self.failures}"

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.more()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self.threads), "a client hangs"
