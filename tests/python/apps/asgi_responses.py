"""A pure ASGI app: one way to answer per path, right ones, late ones, wrong ones."""

import asyncio
import contextvars
import hashlib
import json
import os
import re
import sys
import threading

import gates
from asgi_wrong import WRONG

PLAIN = [(b"content-type", b"text/plain")]
MARK = contextvars.ContextVar("mark", default="unset")


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    name = scope["path"][len(scope["root_path"]) :].strip("/").split("/")[0] or "plain"
    await globals()[f"answer_{name}"](scope, receive, send)


async def lifespan(scope, receive, send):
    scope["state"]["started"] = [os.getpid()]
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            # In one write: other workers say the same at this moment.
            os.write(1, f"lifespan.startup seen by {os.getpid()}\n".encode())
            await send({"type": "lifespan.startup.complete"})
        else:
            # The loop turns on meanwhile, as often as it takes.
            await asyncio.sleep(0.01)
            print("lifespan.shutdown seen", flush=True)
            await send({"type": "lifespan.shutdown.complete"})
            return


async def reply(send, content, status=200, headers=PLAIN):
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def read(receive):
    content = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        content += message["body"]
        if not message["more_body"]:
            return content


async def answer_plain(scope, receive, send):
    await reply(send, b"plain")


async def answer_gathers_a_wrong_message(scope, receive, send):
    results = await asyncio.gather(send({"type": "wrong"}), receive(), return_exceptions=True)
    await reply(send, type(results[0]).__name__.encode())


async def answer_stops_the_loop(scope, receive, send):
    asyncio.get_running_loop().stop()
    # It stops at its next turn.
    await asyncio.sleep(0)
    await reply(send, b"stopped")


async def answer_closes_the_loop(scope, receive, send):
    asyncio.get_running_loop().close()


async def answer_exits_in_a_callback(scope, receive, send):
    asyncio.get_running_loop().call_soon(sys.exit)
    await reply(send, b"exited")


async def answer_scope(scope, receive, send):
    """The scope as JSON; bytes as latin-1."""
    shown = json.dumps(scope, default=lambda value: value.decode("latin-1") if isinstance(value, bytes) else str(value))
    await reply(send, shown.encode())


async def answer_digest(scope, receive, send):
    pieces, digest = 0, hashlib.sha256()
    while True:
        message = await receive()
        pieces += 1
        digest.update(message["body"])
        if not message["more_body"]:
            break
    await reply(send, f"{pieces} {digest.hexdigest()}".encode())


async def answer_no_content(scope, receive, send):
    await send({"type": "http.response.start", "status": 204})
    await send({"type": "http.response.body"})


async def answer_pieces(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN})
    for piece in (b"one ", b"", b"two "):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": bytearray(b"three"), "more_body": True})
    await send({"type": "http.response.body"})


async def answer_declared(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [[b"content-length", b"6"]]})
    await send({"type": "http.response.body", "body": b"abc", "more_body": True})
    await asyncio.sleep(0.001)
    await send({"type": "http.response.body", "body": memoryview(b"def")})


async def answer_declared_twice(scope, receive, send):
    await reply(send, b"twice", headers=[(b"content-length", b" 5"), (b"Content-Length", b"05")])


async def answer_declares(scope, receive, send):
    """Eight bytes in so many messages, of which so many are declared."""
    length, messages = map(int, scope["query_string"].split(b"&"))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % length)]})
    for piece in range(0, 8, 8 // messages):
        content = b"12345678"[piece:piece + 8 // messages]
        await send({"type": "http.response.body", "body": content, "more_body": piece + len(content) < 8})


async def answer_cookies(scope, receive, send):
    await reply(send, b"", headers=iter([(b"Set-Cookie", b"a=1"), [b"set-cookie", b"b=\xe9"]]))


async def answer_gated(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await asyncio.to_thread(gates.wait)
    await send({"type": "http.response.body", "body": b"second"})


async def answer_waits(scope, receive, send):
    """Says when it is entered, and what it comes to."""
    gates.say("entered")
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        gates.say("cancelled")
        raise


async def answer_listens(scope, receive, send):
    await read(receive)
    gates.say("entered")
    gates.say((await receive())["type"])
    try:
        await reply(send, b"to nobody")
    except OSError as error:
        gates.say(type(error).__name__)


async def answer_listens_within(scope, receive, send):
    """As streams of events do: with their client they end, in the middle of the response."""
    await read(receive)
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    gates.say("entered")
    gates.say((await receive())["type"])


async def answer_listens_after(scope, receive, send):
    await reply(send, b"answered")
    await read(receive)
    gates.say((await receive())["type"])


async def answer_endless(scope, receive, send):
    """More than any buffer holds: says how much was taken before the client was waited for."""
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN})
    sent, piece = 0, bytes(64 << 10)
    try:
        while True:
            await asyncio.wait_for(send({"type": "http.response.body", "body": piece, "more_body": True}), 2)
            sent += len(piece)
    except asyncio.TimeoutError:
        gates.say(f"full {sent >> 20 < 16}")
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        gates.say("cancelled")
        raise


async def answer_background(scope, receive, send):
    await reply(send, b"answered")
    await asyncio.sleep(0.01)
    gates.say("background")


async def answer_async(scope, receive, send):
    """What a real loop and task give."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task in asyncio.all_tasks() and task.get_loop() is loop and not task.done()
    assert threading.current_thread() is threading.main_thread()
    assert MARK.get() == "unset"
    MARK.set("set")
    await asyncio.sleep(0.001)
    assert MARK.get() == "set" and asyncio.current_task() is task
    assert await asyncio.to_thread(MARK.get) == "set"
    if hasattr(asyncio, "timeout"):
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(3600)
        except TimeoutError:
            pass
    first = asyncio.create_task(receive())
    assert (await first)["type"] == "http.request"
    waiting = asyncio.ensure_future(receive())
    done, _ = await asyncio.wait([waiting], timeout=0.01)
    assert not done
    waiting.cancel()
    reader, writer = await asyncio.open_connection(*scope["server"])
    writer.write(b"GET /plain HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    assert (await reader.read()).endswith(b"plain")
    writer.close()
    process = await asyncio.create_subprocess_exec("echo", "child", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert out == b"child\n" and process.returncode == 0
    await reply(send, b"real")


async def answer_context(scope, receive, send):
    before = MARK.get()
    MARK.set("leaked")
    await reply(send, before.encode())


async def answer_state(scope, receive, send):
    scope["state"]["of this request"] = True
    await reply(send, json.dumps(sorted(scope["state"])).encode())


async def answer_blocks(scope, receive, send):
    gates.say("entered")
    gates.wait()
    await reply(send, b"released")


async def answer_blocks_later(scope, receive, send):
    await asyncio.sleep(0.001)
    gates.say("entered")
    gates.wait()
    await reply(send, b"released")


async def answer_path(scope, receive, send):
    path = scope["query_string"].decode()
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN})
    await send({"type": "http.response.pathsend", "path": path})


async def answer_trailers(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN, "trailers": True})
    await send({"type": "http.response.body", "body": b"content"})
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": True})
    await send({"type": "http.response.trailers", "headers": [(b"x-end", b"2"), (b"x-sum", b"3")]})


async def answer_many_trailers(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN, "trailers": True})
    await send({"type": "http.response.body", "body": b"content"})
    for half in range(2):
        fields = [(b"x-%d-%d" % (half, number), b"") for number in range(20_000)]
        await send({"type": "http.response.trailers", "headers": fields, "more_trailers": True})


async def answer_ends_late(scope, receive, send):
    """All that was declared, and the end of the response only when the test lets it, as middleware may send it."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8")]})
    await send({"type": "http.response.body", "body": b"declared", "more_body": True})
    await asyncio.to_thread(gates.wait)
    await send({"type": "http.response.body"})
    gates.say("ended")


async def answer_listens_late(scope, receive, send):
    """All that was declared, and the end of the response once the client has it."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8")]})
    await send({"type": "http.response.body", "body": b"declared", "more_body": True})
    gates.say((await receive())["type"])
    await send({"type": "http.response.body"})
    gates.say("ended")


async def answer_declares_much(scope, receive, send):
    """More than the buffer holds."""
    piece = b"x" * (1 << 20)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % (4 << 20))]})
    for _ in range(4):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})
    gates.say("ended")


async def answer_receives_again(scope, receive, send):
    """Who gives up before the first step has taken nothing."""
    task = asyncio.create_task(receive())
    task.cancel()
    await asyncio.wait([task])
    receive()
    try:
        await asyncio.wait_for(receive(), 0)
    except asyncio.TimeoutError:
        await reply(send, (await receive())["body"])


async def answer_path_and_trailers(scope, receive, send):
    path = scope["query_string"].decode()
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN, "trailers": True})
    await send({"type": "http.response.pathsend", "path": path})
    await asyncio.sleep(0)
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})


async def answer_declared_path_and_trailers(scope, receive, send):
    path = scope["query_string"].decode()
    length = [(b"content-length", b"%d" % os.path.getsize(path))]
    await send({"type": "http.response.start", "status": 200, "headers": length, "trailers": True})
    await send({"type": "http.response.pathsend", "path": path})
    await asyncio.to_thread(gates.wait)
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})
    gates.say("ended")


async def answer_hint(scope, receive, send):
    await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]})
    await asyncio.to_thread(gates.wait)
    await reply(send, b"hinted")


async def answer_sits_in_c(scope, receive, send):
    """C code that keeps the interpreter's lock for hours: an expression that tries every way to fail."""
    await asyncio.sleep(0.001)
    gates.say("entered")
    re.match(r"(a+)+$", "a" * 60 + "b")


async def answer_spins(scope, receive, send):
    """Python code without end; says what has ended it."""
    gates.say("entered")
    try:
        while True:
            pass
    except BaseException as error:
        gates.say(type(error).__name__)
        raise


async def answer_claims(scope, receive, send):
    said = scope["extensions"]["ferricorn.jwt"]
    assert scope["state"]["jwt"] is said
    await reply(send, json.dumps(said).encode())


# ---- content that is still arriving ----


async def answer_mirror(scope, receive, send):
    """Sends each piece back as it comes."""
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN})
    more = True
    while more:
        message = await receive()
        more = message["more_body"]
        await send({"type": "http.response.body", "body": message["body"], "more_body": more})


async def answer_listens_to_upload(scope, receive, send):
    gates.say((await receive())["body"].decode())
    gates.say((await receive())["type"])


async def answer_takes_later(scope, receive, send):
    gates.say("entered")
    await asyncio.to_thread(gates.wait)
    await answer_digest(scope, receive, send)


# ---- what is left to the loop when the request is over; each answers in its first step ----


async def answer_connects(scope, receive, send):
    """Opens a connection for those that follow."""
    global WRITER
    _, WRITER = await asyncio.open_connection("127.0.0.1", int(scope["query_string"]))
    await reply(send, b"connected")


async def answer_writes(scope, receive, send):
    WRITER.write(b"writes")
    await reply(send, b"answered")


async def answer_writes_later(scope, receive, send):
    async def write():
        await asyncio.sleep(0)
        WRITER.write(b"writes_later")

    WRITER.task = asyncio.create_task(write())
    await reply(send, b"answered")


async def answer_calls_later(scope, receive, send):
    asyncio.get_running_loop().call_later(0.02, WRITER.write, b"calls_later")
    await reply(send, b"answered")


# ---- wrong ones ----


async def answer_raises(scope, receive, send):
    raise ValueError("raised at once")


async def answer_raises_later(scope, receive, send):
    await asyncio.sleep(0)
    raise ValueError("raised later")


async def answer_raises_within(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    raise ValueError("raised within")


async def answer_raises_after(scope, receive, send):
    await reply(send, b"complete")
    raise ValueError("raised after")


async def answer_nothing(scope, receive, send):
    return


async def answer_head_only(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})


async def answer_half(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})


async def answer_exits(scope, receive, send):
    raise SystemExit(3)


async def answer_exits_later(scope, receive, send):
    await asyncio.sleep(0.001)
    raise SystemExit(3)


async def answer_cancels_itself(scope, receive, send):
    asyncio.current_task().cancel()
    await asyncio.sleep(1)


async def answer_wrong(scope, receive, send):
    """Sends the messages of a list, and says which kind of exception the last one raised."""
    messages = WRONG[int(scope["query_string"])]
    for message in messages[:-1]:
        await send(message)
    try:
        await send(messages[-1])
    except Exception as error:
        print(f"wrong {scope['query_string'].decode()}: {type(error).__name__}: {error}", flush=True)
        raise

