"""The life of workers with ASGI apps: preload, recycling, reload, code that holds the loop up, tokens, nginx."""

import hashlib
import json
import os
import random
import re
import subprocess
import time

import jwt
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from support.client import Client, Load, ask
from support.nginx import documented_sites
from support.server import DEADLINE, FERRICORN, clean_environment

LOOPS = ["asyncio", "uvloop"]
SECRET = "a secret that is known to this test alone"


@pytest.mark.parametrize("loop", LOOPS)
def test_preloaded_app_begins_its_life_in_each_worker(serve, loop):
    server = serve("asgi_responses:app", "-w", "2", "--preload", environment={"FERRICORN_PYTHON_LOOP": loop}).ready()
    pids = set(server.workers().values())
    assert ask(server, "GET", "/async").content == b"real"
    assert {int(found[1]) for found in server.log.wait_for(r"lifespan.startup seen by (\d+)", count=2)} == pids
    assert server.stop() == 0
    assert server.log.text().count("lifespan.shutdown seen") == 2


@pytest.mark.parametrize("loop", LOOPS)
def test_recycling_and_reloads_under_load_lose_nothing(serve, loop):
    flags = ["-w", "2", "--max-requests", "150", "--asgi-loop", loop]
    server = serve("asgi_responses:app", *flags).ready()
    with Load(server, "/plain", clients=2) as plain, Load(server, "/pieces", clients=2, kept=False) as pieces:
        server.log.wait_for("worker left", count=3)
        server.reload()
        plain.more(200)
        pieces.more(50)
    assert plain.failures == [] and pieces.failures == []
    assert "killed" not in server.log.text() and "crashed" not in server.log.text()


@pytest.mark.parametrize("loop", LOOPS)
def test_loop_that_is_held_up_in_c_code_is_told_of_and_its_worker_replaced(serve, gates, loop):
    environment = {
        **gates.environment,
        "FERRICORN_PYTHON_LOOP": loop,
        "FERRICORN_TIMEOUTS_REQUEST": "300ms",
        "FERRICORN_TIMEOUTS_GRACEFUL": "1s",
    }
    server = serve("asgi_responses:app", "-w", "1", environment=environment).ready()
    first = server.workers()[1]
    client = Client(server)
    assert client.ask("GET", "/sits_in_c").status == 504
    client.close()
    gates.expect("entered")
    server.log.wait_for("the event loop stands still")
    assert re.search(r"    \|.* in answer_sits_in_c", server.log.text())
    server.log.wait_for("worker ready", count=2)
    assert ask(server, "GET", "/plain").content == b"plain"
    server.log.wait_for(rf"worker killed: .*pid={first}\b")


def test_operator_cancels_what_holds_the_loop_up(serve, gates, tmp_path):
    socket = str(tmp_path / "ctl.sock")
    environment = {**gates.environment, "FERRICORN_ADMIN_SOCKET": socket}
    server = serve("asgi_responses:app", "-w", "1", environment=environment).ready()

    def ctl(*arguments):
        command = [FERRICORN, "ctl", "--socket", socket, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, env=clean_environment())

    client = Client(server)
    client.request("GET", "/spins")
    gates.expect("entered")
    request = re.search(r"[0-9a-f]{16}", ctl("requests", "--json").stdout)[0]
    assert "in answer_spins" in ctl("stack", request).stdout
    assert ctl("cancel", request).returncode == 0
    assert client.getresponse().status == 503
    client.close()
    gates.expect("RequestInterrupted")
    assert ask(server, "GET", "/plain").content == b"plain"
    assert len(set(server.workers().values())) == 1


@pytest.fixture
def guarded(serve, gates, tmp_path):
    """One worker whose apps need a token."""
    (tmp_path / "secret").write_text(SECRET)
    os.chmod(tmp_path / "secret", 0o600)
    (tmp_path / "ferricorn.toml").write_text(
        '[[app]]\ntarget = "asgi_responses:app"\n[[app]]\nmount = "/ws"\ntarget = "asgi_sockets:app"\n'
        '[auth]\n[[auth.provider]]\nname = "local"\nsubject_claim = "sub"\ntoken_type = ""\nleeway = "0s"\n'
        '[[auth.provider.key]]\nalg = "HS256"\nsecret_file = "secret"\n[[auth.route]]\nprefix = "/"\nrequire = "local"\n'
    )
    return serve("-w", "1", environment=gates.environment).ready()


def token(lifetime, **claims):
    """A token of the site."""
    return jwt.encode({"sub": "ann", "jti": "one", "exp": time.time() + lifetime, **claims}, SECRET, "HS256")


def test_claims_are_in_the_scope_and_nowhere_else(guarded):
    fields = {"Authorization": f"Bearer {token(60, role='admin')}", "ferricorn.jwt": "forged"}
    said = json.loads(ask(guarded, "GET", "/claims", fields=fields).content)
    assert said["provider"] == "local" and said["claims"]["role"] == "admin" and said["claims"]["sub"] == "ann"
    assert ask(guarded, "GET", "/claims").status == 401
    forged = jwt.encode({"sub": "ann", "jti": "one", "exp": time.time() + 60}, SECRET + "?", "HS256")
    assert ask(guarded, "GET", "/claims", fields={"Authorization": f"Bearer {forged}"}).status == 401


def test_websocket_ends_with_its_token(guarded):
    fields = {"Authorization": f"Bearer {token(2)}"}
    url = f"ws://127.0.0.1:{guarded.port}/ws/echo"
    with connect(url, additional_headers=fields, open_timeout=DEADLINE, close_timeout=DEADLINE) as client:
        client.send("before")
        assert client.recv(DEADLINE) == "before"
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(DEADLINE)
    assert closed.value.rcvd.code == 1008


def test_upload_of_100_mb_arrives(serve):
    server = serve("asgi_responses:app", "-w", "2").ready()
    content = random.Random(1).randbytes(1 << 20) * 100
    answer = ask(server, "POST", "/digest", content)
    assert answer.content.split()[1].decode() == hashlib.sha256(content).hexdigest()


def test_websockets_pass_through_nginx_as_it_is_documented(serve, nginx, gates):
    site = documented_sites()["deploy"]
    site, plain = re.subn(r'\n *proxy_set_header Connection "";', "", site)
    site, lines = re.subn(r"# (proxy_set_header (?:Upgrade|Connection) +\$)", r"\1", site)
    assert (plain, lines) == (1, 2)
    site = "map $http_upgrade $connection_upgrade { default upgrade; '' ''; }\n" + site
    server = serve("asgi_sockets:app", "-w", "2", environment=gates.environment).ready()
    front = nginx(site, server)
    with connect(f"ws://127.0.0.1:{front.port}/echo", open_timeout=DEADLINE, close_timeout=DEADLINE) as client:
        for message in ("text", b"bytes", "x" * 100_000):
            client.send(message)
            assert client.recv(DEADLINE) == message
    assert ask(front, "GET", "/no_websocket").status in (404, 500)


NEVER_ENDS = """
import asyncio, atexit

atexit.register(print, "the exit handler has run", flush=True)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 204})
    await send({"type": "http.response.body"})
    await asyncio.Event().wait()
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_does_not_end_is_left_in_time_for_the_exit_handlers(serve, tmp_path, loop):
    """A task that goes on after its response, and a lifespan; however short the limits are."""
    (tmp_path / "never_ends.py").write_text(NEVER_ENDS)
    environment = {"FERRICORN_PYTHON_LOOP": loop, "FERRICORN_TIMEOUTS_GRACEFUL": "0s"}
    server = serve("never_ends:app", "-w", "1", environment=environment).ready()
    assert ask(server, "GET", "/").status == 204
    assert server.stop() == 0
    server.log.wait_for("lifespan.shutdown was not answered within 0.5 s")
    server.log.wait_for("the exit handler has run")
    assert "killed" not in server.log.text()
