#!/usr/bin/env python
"""Whether memory and references stay flat over millions of requests of every kind; needs `wrk` and `make build`.

One worker answers requests of `kinds.py` in turns: most from wrk, and between its rounds what wrk cannot make, such as clients
that leave in the middle. What the process has is shown after a tenth of the requests, when all caches are warm, and after
all of them.
"""

import argparse
import contextlib
import json
import shutil
import socket
import struct
import sys
import tempfile
import urllib.request
from pathlib import Path

import echo
from run import HERE, WHEEL, Target, load, processors

KINDS = {
    "wsgi": "hello long read stream write file hinted raises wrong breaks".split(),
    "asgi": "hello long read stream waits file hinted leaves raises wrong breaks".split(),
}
# Their answers are errors, and the log has a traceback of each: a few are enough.
RARE = {"raises", "wrong", "breaks", "waits"}
# wrk asks for each in turn, and posts sized and chunked content; errors are expected here.
SCRIPT = """
local requests, at = {{}}, 0
local plain = {{ "{plain}" }}
init = function(args)
  for round = 1, 50 do
    for _, path in ipairs(plain) do
      requests[#requests + 1] = path == "/read" and wrk.format("POST", path, nil, string.rep("line\\n", 100)) or wrk.format("GET", path)
    end
    requests[#requests + 1] = wrk.format("GET", "/hello", {{ ["Connection"] = "close" }})
    requests[#requests + 1] = "POST /read HTTP/1.1\\r\\nHost: a\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n5\\r\\nhello\\r\\n0\\r\\n\\r\\n"
  end
  for _, path in ipairs({{ "{rare}" }}) do
    requests[#requests + 1] = wrk.format("GET", path)
  end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
"""
SECONDS = 10


def odd_requests(target):
    """What a load generator does not do; returns how many there were."""
    port = int(target.url.rpartition(":")[2])
    head = "{} HTTP/1.1\r\nHost: a\r\n{}\r\n"
    leaving = [
        head.format("GET /endless", ""),
        head.format("POST /read", "Content-Length: 100000\r\n") + "some",
        head.format("POST /read", "Transfer-Encoding: chunked\r\n") + "zz\r\n",
        "GET /hello HTTP/1.1\r\n",
        head.format("GET /hel\x01lo", ""),
        head.format("HEAD /stream", ""),
        "GET /stream HTTP/1.0\r\n\r\n",
    ]
    for text in leaving:
        with socket.create_connection(("127.0.0.1", port), 10) as stream:
            stream.sendall(text.encode())
            with contextlib.suppress(OSError):
                stream.settimeout(0.05)
                stream.recv(1000)
            # socket(7): closed by RST.
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return len(leaving)


def web_sockets(target):
    """Messages on a connection, which its client then leaves."""
    with echo.connect(target) as stream:
        for _ in range(100):
            stream.sendall(echo.FRAME)
            received = b""
            while len(received) < len(echo.ECHO):
                received += stream.recv(100)
    return 101


def measure(target):
    """What the worker has now."""
    with urllib.request.urlopen(target.url + "/measures", timeout=60) as answer:
        return json.load(answer)


def run(interface, goal, connections, folder):
    """What the worker had after a tenth of the requests, and after all."""
    plain = '", "'.join("/" + kind for kind in KINDS[interface] if kind not in RARE)
    rare = '", "'.join("/" + kind for kind in KINDS[interface] if kind in RARE)
    script = Path(folder, "requests.lua")
    script.write_text(SCRIPT.format(plain=plain, rare=rare) + (HERE / "report.lua").read_text())
    for name in ("kinds", "site"):
        shutil.copy(HERE / f"{name}.py", Path(folder, f"bench_{name}.py"))
    server_processor, load_processor = processors()
    command = [str(WHEEL), "serve", f"bench_kinds:{interface}", "-b", "127.0.0.1:0", "-w", "1"]
    target = Target(interface, command, "ready:", server_processor, None, {"PYTHONPATH": folder})
    done, early = 0, None
    try:
        while done < goal:
            # It holds a traceback for each of the rare ones.
            target.log.clear()
            result = load(target, SECONDS, connections, load_processor, script=script)
            done += result["requests"] + odd_requests(target)
            if interface == "asgi":
                done += web_sockets(target)
            if early is None and done >= goal / 10:
                early = done, measure(target)
            print(f"{interface}: {done} requests", file=sys.stderr, flush=True)
        return early, (done, measure(target))
    finally:
        target.stop()


def main():
    """Prints a table for each interface; 1 where the worker is another one at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=float, default=1e7, help="in all, half of them by WSGI, half by ASGI [%(default)g]")
    parser.add_argument("--connections", type=int, default=32)
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed (on Debian: apt install wrk)")
    same = True
    for interface in KINDS:
        with tempfile.TemporaryDirectory(prefix="ferricorn-flat-") as folder:
            (first, early), (last, late) = run(interface, arguments.requests / 2, arguments.connections, folder)
        same = same and early["pid"] == late["pid"]
        print(f"\n{interface:22} {f'after {first}':>18} {f'after {last}':>18} {'each million':>14}")
        for name, before in early.items():
            if name == "pid":
                continue
            grown = (late[name] - before) / (last - first) * 1e6
            print(f"{name:22} {before:18} {late[name]:18} {grown:14.1f}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
