"""The end of a worker's interpreter, as Python itself would end: but an app's thread cannot keep it for ever."""

import sys
import threading


def join_threads(limit):
    """Runs the exit callbacks of `threading`, and waits for the threads that are no daemons, `limit` seconds at most in all.

    Returns the names of those that go on.
    """
    if others():
        # Up to Python 3.12 the main thread is among those that are waited for, unless it is the one that waits.
        getattr(threading, "_shutdown_locks", set()).discard(getattr(threading.main_thread(), "_tstate_lock", None))
        # It tells thread pools to end, too: they are among the callbacks (concurrent.futures).
        end = threading._shutdown
    elif callbacks():
        # Alone: the other one would wait for ever where eventlet has put its own threads in place of Python's.
        end = run_callbacks
    else:
        return []
    waiting = threading.Thread(target=end, name="exit callbacks of threading", daemon=True)
    waiting.start()
    waiting.join(limit)
    if not waiting.is_alive():
        return []
    return [thread.name for thread in others()] or [waiting.name]


def callbacks():
    """What libraries have given to `threading._register_atexit`."""
    return getattr(threading, "_threading_atexits", [])


def run_callbacks():
    """As `threading._shutdown` does: the last one first."""
    for callback in reversed(callbacks()):
        callback()


def others():
    """The threads that are no daemons, without the main one: eventlet gives that another object, of a class that is called so, too."""
    return [thread for thread in threading.enumerate() if not thread.daemon and type(thread).__name__ != "_MainThread"]


def flush():
    """What is still in buffers."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                pass  # Nobody reads it any more, or the app has closed it.
