"""Frameworks through their own features, over sockets, two workers each."""

import importlib.metadata
import json

import pytest
from websockets.sync.client import connect

from support.client import Client, Load, ask
from support.server import DEADLINE

# What is driven here, for the record of a run.
DRIVEN = ["fastapi", "starlette", "anyio", "quart", "litestar", "channels", "django", "a2wsgi", "websockets"]


@pytest.fixture(autouse=True, scope="module")
def versions():
    """Printed with the run."""
    print(*(f"{name} {importlib.metadata.version(name)}" for name in DRIVEN), sep="\n")


def join(server, path):
    """A client of a WebSocket."""
    return connect(f"ws://127.0.0.1:{server.port}/{path}", open_timeout=DEADLINE, close_timeout=DEADLINE)


def test_fastapi(serve, gates):
    server = serve("framework_fastapi:app", "-w", "2", environment=gates.environment).ready()
    client = Client(server)
    answer = client.ask("GET", "/json/7", fields={"X-User": "ann"})
    assert json.loads(answer.content) == {"number": 7, "pool": "the pool", "user": "ann"}
    assert answer.fields["x-user"] == "ann"
    assert json.loads(client.ask("GET", "/threads", fields={"X-User": "bob"}).content) == {"user": "bob"}
    assert client.ask("GET", "/json/x").status == 422
    assert client.ask("GET", "/missing").status == 404
    assert client.ask("GET", "/file").content.startswith(b'"""FastAPI')
    assert client.ask("GET", "/background").content == b"soon"
    gates.expect("background")
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + bytes(5 << 20) + b"\r\n--b--\r\n"
    answer = client.ask("POST", "/upload", form, {"Content-Type": "multipart/form-data; boundary=b"})
    assert json.loads(answer.content) == {"name": "f", "size": 5 << 20}
    assert client.ask("GET", "/docs").status == 200
    client.close()
    assert server.stop() == 0
    assert server.log.text().count("fastapi: started") == server.log.text().count("fastapi: ended") == 2


def test_events_of_starlette_end_with_their_client(serve, gates):
    server = serve("framework_fastapi:app", "-w", "2", environment=gates.environment).ready()
    with server.connect() as connection:
        connection.sendall(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        received = b""
        while b"data: 2" not in received:
            received += connection.recv(65536)
    gates.expect("events ended")


def test_websockets_of_starlette(serve, gates):
    server = serve("framework_fastapi:app", "-w", "2", environment=gates.environment).ready()
    with join(server, "ws/one") as client:
        client.send('{"a": 1}')
        assert json.loads(client.recv(DEADLINE)) == {"name": "one", "data": {"a": 1}, "pool": "the pool"}
    gates.expect("left 1000")


def test_fastapi_under_reload(serve, gates):
    server = serve("framework_fastapi:app", "-w", "2", environment=gates.environment).ready()
    with Load(server, "/json/1") as load:
        for _ in range(2):
            server.reload()
            load.more()
    assert not load.failures


def test_quart(serve):
    server = serve("framework_quart:app", "-w", "2").ready()
    fields = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = ask(server, "POST", "/form", b"a=1&b=%C3%A9", fields)
    assert json.loads(answer.content) == {"started": True, "values": {"a": "1", "b": "\u00e9"}}
    assert ask(server, "GET", "/stream").content == b"0\n1\n2\n3\n4\n"
    with join(server, "ws") as client:
        client.send("back")
        assert client.recv(DEADLINE) == "back"


def test_litestar(serve):
    server = serve("framework_litestar:app", "-w", "2").ready()
    assert json.loads(ask(server, "GET", "/items/3").content) == {"number": 3}
    assert ask(server, "GET", "/sync").content == b"from a thread"
    answer = ask(server, "POST", "/items", b'{"a": "b"}', {"Content-Type": "application/json"})
    assert (answer.status, json.loads(answer.content)) == (201, {"a": "b"})
    with join(server, "ws") as client:
        client.send("back")
        assert client.recv(DEADLINE) == "back"


def test_channels_and_django(serve):
    server = serve("framework_channels", "-w", "1").ready()
    assert ask(server, "GET", "/plain").content == b"plain /plain "
    assert json.loads(ask(server, "POST", "/async", bytes(100_000)).content) == {"body": 100_000, "one": 1}
    assert ask(server, "GET", "/stream").content == b"0\n1\n2\n3\n4\n"
    assert ask(server, "GET", "/nothing").status == 404
    with join(server, "sync") as client:
        client.send("loud")
        assert client.recv(DEADLINE) == "LOUD"
    with join(server, "group") as one, join(server, "group") as two:
        one.send('{"to": "all"}')
        assert json.loads(one.recv(DEADLINE)) == json.loads(two.recv(DEADLINE)) == {"to": "all"}
    # Without a lifespan, which is nothing to speak of.
    assert "lifespan" not in server.log.text()


@pytest.mark.parametrize(("target", "said"), [("as_asgi", b"wsgi abc"), ("as_wsgi", b"asgi abc")])
def test_a2wsgi(serve, target, said):
    server = serve(f"framework_a2wsgi:{target}", "-w", "2").ready()
    assert ask(server, "POST", "/", b"abc").content == said


@pytest.mark.parametrize("interface", ["auto", "asgi"])
def test_project_of_django_by_asgi(serve, site, interface):
    (site / "by_asgi.py").write_text(
        "import os\nfrom django.core.asgi import get_asgi_application\n"
        'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.settings")\napplication = get_asgi_application()\n'
    )
    server = serve("by_asgi", "-w", "2", "--interface", interface, directory=site).ready()
    client = Client(server)
    assert client.ask("GET", "/").status == 200
    assert client.ask("GET", "/admin/login/").status == 200
    client.close()
    assert "Traceback" not in server.log.text()
