"""What a WSGI app's process is, and what the programs that it starts inherit."""

import json
import signal

from support.client import ask

APP = """
import json
import os
import subprocess

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout
    with open("/proc/self/cmdline") as own:
        title = own.read()
    found = dict(line.split(":", 1) for line in status.splitlines())
    found = {name: value.strip() for name, value in found.items()}
    return [json.dumps({"title": title, "environ": dict(os.environ), **found}).encode()]
"""


def test_programs_that_an_app_starts_inherit_no_signal_settings(serve, tmp_path):
    (tmp_path / "site_app.py").write_text(APP)
    server = serve("site_app", "-w", "1", environment={"FDSTORE": "9"}).ready()
    found = json.loads(ask(server, "GET", "/").content)
    assert int(found["SigBlk"], 16) == 0
    # Python ignores these two itself, here as well as there, and subprocess gives them back; the master takes over the
    # others, some of which nohup(1) and shells have ignored for these tests.
    masters = "HUP INT QUIT USR1 USR2 TERM CHLD TTIN TTOU".split()
    own = sum(1 << signal.Signals[f"SIG{name}"] - 1 for name in ["PIPE", "XFSZ", *masters])
    with open("/proc/self/status") as status:
        inherited = next(int(line.split()[1], 16) for line in status if line.startswith("SigIgn:"))
    # nptl(7): 32 and 33 are the C library's own.
    real = (1 << 31) - 1
    assert int(found["SigIgn"], 16) & real == inherited & ~own & real
    assert found["title"] == "ferricorn: worker 1, generation 1\0"
    # Variables are still where libc and Python look for them, but for the master's own.
    assert "PATH" in found["environ"] and "FDSTORE" not in found["environ"]
