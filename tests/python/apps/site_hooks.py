"""Hooks that write down what they were told, and where they ran."""

import os
import signal


def note(told):
    line = f"{told.hook} slot={told.slot} generation={told.generation} pid={told.pid} reason={told.reason} in={os.getpid()}\n"
    descriptor = os.open(os.environ["TEST_HOOKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def fail(told):
    raise RuntimeError("fails on purpose in a hook")


def hang(told):
    print(f"the hook {told.hook} hangs", flush=True)
    signal.pause()
