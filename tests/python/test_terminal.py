"""What the command line leaves a terminal as."""

import fcntl
import os
import pty
import select
import signal
import subprocess
import termios
import time

from support.server import DEADLINE, FERRICORN

CONFIG = """
[[app]]
target = "native:echo"
[auth.issue]
enabled = true
[auth.store]
url = "sqlite:///auth.db"
[[auth.provider]]
name = "local"
[[auth.provider.key]]
alg = "HS256"
use = "sign+verify"
secret_file = "secret"
[[auth.route]]
prefix = "/"
require = "local"
"""


def shows_what_is_typed(terminal):
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)


def test_a_password_that_is_broken_off_leaves_the_terminal_as_it_was(tmp_path):
    (tmp_path / "secret").write_text("s" * 64)
    (tmp_path / "ferricorn.toml").write_text(CONFIG)
    keyboard, terminal = pty.openpty()
    asking = subprocess.Popen(
        [FERRICORN, "user", "add", "ann"],
        cwd=tmp_path,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    try:
        asked, ends = b"", time.monotonic() + DEADLINE
        # It asks first, and is silent then.
        while b"assword" not in asked or shows_what_is_typed(terminal):
            assert asking.poll() is None and time.monotonic() < ends, asked
            if select.select([keyboard], [], [], 0.01)[0]:
                asked += os.read(keyboard, 1024)
        os.write(keyboard, b"half a pass\x03")
        assert asking.wait(DEADLINE) == -signal.SIGINT
        assert shows_what_is_typed(terminal)
    finally:
        asking.kill()
        asking.wait()
        os.close(keyboard)
        os.close(terminal)
