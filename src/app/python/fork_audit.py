"""Threads and connections that apps begin while they are loaded: a forked worker has not got the former and shares the latter.

Nothing of it outlasts the loading: an audit hook could never be removed (sys.addaudithook), and would cost every request.
"""

import functools
import os
import socket
import sys
import sysconfig
import threading
import weakref
from pathlib import Path

# Python 3.9 has no list of its own modules.
OWN = getattr(sys, "stdlib_module_names", frozenset()) | {"ferricorn", "__main__"}
OWN_DIRECTORY = sysconfig.get_path("stdlib") + os.sep


class Watch:
    """Notes who begins threads and opens sockets, from its making to `strays()`."""

    def __init__(self):
        self.descriptors = descriptors()
        self.threads = weakref.WeakKeyDictionary()
        self.sockets = weakref.WeakKeyDictionary()
        self.patches = [
            (threading.Thread, "start", noting(threading.Thread.start, self.threads)),
            (socket.socket, "__init__", noting(socket.socket.__init__, self.sockets)),
        ]
        for owner, name, patch in self.patches:
            setattr(owner, name, patch)

    def stop(self):
        """Notes nothing any more. What an app has put over it stays, with what lies below."""
        for owner, name, patch in self.patches:
            if getattr(owner, name) is patch:
                setattr(owner, name, patch.__wrapped__)

    def strays(self):
        """What would not survive a fork, each in words."""
        self.stop()
        return [*self.python_threads(), *native_threads(), *self.open_descriptors()]

    def python_threads(self):
        """Threads that Python knows, but for this one."""
        for thread in threading.enumerate():
            if thread.ident != threading.get_ident():
                yield f"the thread {thread.name!r}{running(thread)}{by(self.threads.get(thread), 'begun')}"

    def open_descriptors(self):
        """Connections and event loops that were not there before."""
        openers = {opened.fileno(): who for opened, who in list(self.sockets.items())}
        for number, kind in sorted(descriptors().items()):
            if self.descriptors.get(number) == kind:
                continue
            text = connection(number) if kind.startswith("socket:") else EVENT_LOOPS.get(kind)
            if text:
                yield text + by(openers.get(number), "opened")


EVENT_LOOPS = {
    "anon_inode:[eventpoll]": "an event loop's descriptor (epoll)",
    "anon_inode:[io_uring]": "an event loop's descriptor (io_uring)",
}


def noting(function, notes):
    """The method, which notes who called it for which object."""

    @functools.wraps(function)
    def noted(self, *arguments, **options):
        notes[self] = culprit(sys._getframe(1))
        return function(self, *arguments, **options)

    return noted


def culprit(frame):
    """The innermost module on the stack that is not Python's own, and where in it."""
    while frame:
        name, file = frame.f_globals.get("__name__") or "", frame.f_code.co_filename
        is_own = name.partition(".")[0] in OWN or file.startswith("<frozen")
        if not OWN - {"ferricorn", "__main__"}:
            is_own = is_own or (file.startswith(OWN_DIRECTORY) and "-packages" not in file)
        if not is_own:
            return f"{name} ({file}:{frame.f_lineno})"
        frame = frame.f_back
    return None


def by(who, how):
    """Who did it, where that is known."""
    return f", {how} by {who}" if who else ""


def running(thread):
    """What a thread runs."""
    target = getattr(thread, "_target", None)
    if target is None:
        return "" if type(thread) is threading.Thread else f" of {type(thread).__module__}.{type(thread).__qualname__}"
    return f" running {getattr(target, '__module__', '?')}.{getattr(target, '__qualname__', target)}"


def native_threads():
    """Threads that Python does not know: those of libraries in C."""
    known = {thread.native_id for thread in threading.enumerate()} | {os.getpid()}
    for task in sorted(Path("/proc/self/task").iterdir()):
        if int(task.name) not in known:
            try:
                yield f"a thread of native code (called {(task / 'comm').read_text().strip()!r})"
            except OSError:
                continue  # It has ended.


def descriptors():
    """What is open under which number (proc(5))."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found[int(entry.name)] = os.readlink(entry)
        except OSError:
            continue  # That of this very look.
    return found


def connection(number):
    """A socket in words; None for one of datagrams, whose senders do not disturb each other."""
    with socket.socket(fileno=os.dup(number)) as opened:
        if opened.type == socket.SOCK_DGRAM:
            return None
        if opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return f"a listening socket at {place(opened.getsockname())}"
        try:
            return f"a connection to {place(opened.getpeername())}"
        except OSError:
            return "a socket"


def place(address):
    """An address as people write it."""
    if isinstance(address, tuple):
        return f"{address[0]}:{address[1]}"
    return address or "another socket of its own"
