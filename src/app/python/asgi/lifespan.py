"""The lifespan protocol (ASGI 3): an app's own beginning and end."""

import asyncio


class Refused(RuntimeError):
    """A message that is no answer: of an app without a lifespan, as likely as not, which takes the scope for a request."""


class Lifespan:
    """One app's lifespan. `mode`: "auto" (an app without one is left alone), "on" or "off"."""

    def __init__(self, app, mode):
        self._app = app
        self._mode = mode
        self.state = {}
        self.has_started = False
        self._has_asked = False
        self._is_ending = False
        self._messages = asyncio.Queue()
        self._task = None
        self._started = None
        self._stopped = None

    async def start_up(self):
        """Returns None, or why the app has not started: a message, and an exception if there is one."""
        if self._mode == "off":
            return None
        loop = asyncio.get_running_loop()
        self._started = loop.create_future()
        self._stopped = loop.create_future()
        self._messages.put_nowait({"type": "lifespan.startup"})
        self._task = loop.create_task(self._run(), name="lifespan")
        return await self._started

    async def shut_down(self, limit):
        """Tells the app that it ends, and gives it so many seconds."""
        if self._task is None or self._task.done():
            return
        self._is_ending = True
        self._messages.put_nowait({"type": "lifespan.shutdown"})
        loop = asyncio.get_running_loop()
        due = loop.time() + limit
        try:
            problem = await asyncio.wait_for(asyncio.shield(self._stopped), limit)
        except asyncio.TimeoutError:
            self._task.cancel()
            raise TimeoutError(f"lifespan.shutdown was not answered within {limit:.3g} s") from None
        if problem is not None:
            raise problem
        # An app answers, and returns.
        await asyncio.wait([self._task], timeout=max(0, min(1, due - loop.time())))

    async def _run(self):
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except asyncio.CancelledError:
            self._end(RuntimeError("the lifespan was cancelled"))
            raise
        except BaseException as error:
            self._end(error)
        else:
            self._end(None)

    def _end(self, error):
        if not self._started.done():
            if self._mode == "auto":
                # Most apps without a lifespan raise something at its scope: there is nothing to say about that.
                if self._has_asked and error is not None and not isinstance(error, Refused):
                    self._report("the app failed at lifespan.startup, and is served as one without a lifespan", error)
                self._started.set_result(None)
            elif error is None:
                self._started.set_result(("the app returned without lifespan.startup.complete", None))
            else:
                self._started.set_result(("the app failed at lifespan.startup", error))
        elif error is not None and not self._is_ending:
            self._report("the lifespan of the app has ended by an exception; the app is served on", error)
        if not self._stopped.done():
            self._stopped.set_result(error)

    def _report(self, text, error):
        asyncio.get_running_loop().call_exception_handler({"message": text, "exception": error})

    async def _receive(self):
        message = await self._messages.get()
        self._has_asked = True
        return message

    async def _send(self, message):
        kind = message["type"]
        if kind == "lifespan.startup.complete" and not self._started.done():
            self.has_started = True
            self._started.set_result(None)
        elif kind == "lifespan.startup.failed" and not self._started.done():
            text = message.get("message") or "the app answered lifespan.startup.failed"
            self._started.set_result((text, None))
        elif kind == "lifespan.shutdown.complete" and not self._stopped.done():
            self._stopped.set_result(None)
        elif kind == "lifespan.shutdown.failed" and not self._stopped.done():
            self._stopped.set_result(RuntimeError(message.get("message") or "lifespan.shutdown.failed"))
        else:
            raise Refused(f"{kind!r} is no answer to what the lifespan is at")
