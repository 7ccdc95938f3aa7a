"""The event loop of a worker: asyncio's own or uvloop's, except that it waits by driving the worker's runtime."""

import asyncio
import collections.abc
import inspect
import selectors
import signal
import time
import traceback

# The server's own (docs/signals.md): a worker that did not hear them could not be stopped.
_SERVERS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD}


class _Selector(selectors.EpollSelector):
    """What the app watches is in an epoll of its own, which the runtime watches."""

    wait = None

    def select(self, timeout=None):
        return super().select(0) if self.wait(timeout) else []


class _ServersSignals:
    """What both event loops have in common."""

    _ferricorn_refuse_signal = None

    def add_signal_handler(self, sig, callback, *args):
        if sig in _SERVERS:
            self._ferricorn_refuse_signal(signal.Signals(sig).name)
        else:
            super().add_signal_handler(sig, callback, *args)


class EventLoop(_ServersSignals, asyncio.SelectorEventLoop):
    """asyncio's event loop on top of the worker's runtime: one thread for connections and app."""

    def __init__(self):
        self._ferricorn_selector = _Selector()
        self._ferricorn_wake = None
        super().__init__(self._ferricorn_selector)

    def attach(self, core):
        self._ferricorn_selector.wait = core.wait
        self._ferricorn_wake = core.wake
        self._ferricorn_refuse_signal = core.refuse_signal
        # The first steps of requests are taken out of it; all else takes the same way as ever, with fewer calls.
        self.call_soon = core.call_soon

    def fileno(self):
        return self._ferricorn_selector.fileno()

    def _write_to_self(self):
        if self._ferricorn_wake is not None:
            self._ferricorn_wake()


def make_asyncio():
    return _set(EventLoop())


def make_uvloop():
    import uvloop

    class Loop(_ServersSignals, uvloop.Loop):
        """uvloop's event loop on top of the worker's runtime."""

        # Libraries tell uvloop by this.
        __module__ = "uvloop"

        def attach(self, core):
            self._ferricorn_refuse_signal = core.refuse_signal
            self._ferricorn_leave = core.leave_uvloop
            self.call_soon = core.call_soon

        def fileno(self):
            return self._get_backend_id()

        def close(self):
            # A loop that runs refuses, and goes on.
            if not self.is_running():
                self._ferricorn_leave()
            super().close()

    return _set(Loop())


def _set(loop):
    asyncio.set_event_loop(loop)
    return loop


def accept_as_coroutine(awaitable):
    collections.abc.Coroutine.register(awaitable)


def awaited(given):
    """A coroutine that awaits this; None where it is one itself, or cannot be awaited."""
    return None if asyncio.iscoroutine(given) or not inspect.isawaitable(given) else _wait_for(given)


async def _wait_for(given):
    return await given


def stack(task):
    """Where a task waits: every coroutine on the way to what it waits for, as a traceback has them."""
    frames, waiting = [], task.get_coro()
    while waiting is not None:
        frame = _first(waiting, "cr_frame", "gi_frame", "ag_frame")
        if frame is None:
            break
        frames.append((frame, frame.f_lineno))
        waiting = _first(waiting, "cr_await", "gi_yieldfrom", "ag_await")
    lines = traceback.StackSummary.extract(frames).format()
    return f"{task!r} waits at (most recent call last):\n" + "".join(lines)


def _first(waiting, *names):
    return next((found for found in (getattr(waiting, name, None) for name in names) if found is not None), None)


def run(loop, is_over, report):
    """Turns until the server is done with it; what gets out of it, such as SystemExit, is reported, and ends nothing."""
    while not is_over():
        try:
            loop.run_forever()
            if not is_over():
                raise RuntimeError("the app has called stop() of the event loop, which is the server's")
        except BaseException as error:
            report(error)


async def _end(tasks, limit, left):
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=limit)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=min(1, left()))


# Seconds that each has to end where no time is left.
_LEAST = 0.5


def finish(loop, requests, limit, at_most, lifespans):
    """Waits for what requests have left running, ends the apps, and closes the loop, within `limit` seconds.

    Where they are over already each has a moment nonetheless, until `at_most` seconds are over, too. Returns problems.
    """
    problems = []
    now = time.monotonic()
    due, last = now + limit, now + at_most

    def left():
        return max(last - time.monotonic(), 0)

    def share():
        return min(max(due - time.monotonic(), _LEAST), left())

    def run_step(step):
        try:
            loop.run_until_complete(step)
        except BaseException as error:
            problems.append(error)

    run_step(_end(requests, share(), left))
    for lifespan in lifespans:
        run_step(lifespan.shut_down(share()))
    run_step(_end([task for task in asyncio.all_tasks(loop)], 0, left))
    run_step(loop.shutdown_asyncgens())
    if hasattr(loop, "shutdown_default_executor"):
        # Threads of its own: a call that blocks in one is not waited for.
        executor = getattr(loop, "_default_executor", None)
        if executor is not None:
            executor.shutdown(wait=False)
    asyncio.set_event_loop(None)
    loop.close()
    return problems
