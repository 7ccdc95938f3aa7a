"""More than a server can do: what it still does, and how soon all is well when the crowd has left.

The app waits 10 ms for each request. How much the server can do is measured first, by a few clients that never let it
rest; then requests begin at random times, at a part or a multiple of that rate, whatever becomes of those before them
(an open loop). A client waits for its answer until its deadline and then closes the connection. What counts is goodput:
answers of the app that came in time.
"""

import asyncio
import contextlib
import random
import statistics
import time

from sites import Site

# Clients that measure the capacity, for each worker: enough that no worker waits for one.
CLIENTS_PER_WORKER = 4
CAPACITY_SECONDS = 3
# (name, rate as a multiple of the capacity)
PHASES = (("before", 0.7), ("overload", 3.0), ("after", 0.7))
# The beginning of the last phase, told apart: this is when all must be well again.
AT_ONCE_SECONDS = 1
LEAST_GOODPUT = 0.8
LEAST_RECOVERED = 0.97
PATH = "/slow"

GOOD, SHED, LATE, FAILED = "good", "503", "late", "failed"


class Client:
    """Open-loop requests at one door."""

    def __init__(self, address, kept, deadline):
        self.address, self.kept, self.deadline = address, kept, deadline
        self.idle = []

    async def ask(self):
        """One request: what became of it, and how long it took."""
        began = time.monotonic()
        connection = None
        try:
            async with asyncio.timeout(self.deadline):
                connection = self.idle.pop() if self.idle else await self._connect()
                status, keeps = await self._exchange(*connection)
        except TimeoutError:
            status, keeps = None, False
        except (OSError, ValueError, EOFError):
            status, keeps = 0, False
        if keeps:
            self.idle.append(connection)
        elif connection:
            connection[1].close()
        fate = {200: GOOD, 503: SHED, None: LATE}.get(status, FAILED)
        return fate, time.monotonic() - began

    async def _connect(self):
        if isinstance(self.address, str):
            return await asyncio.open_unix_connection(self.address)
        return await asyncio.open_connection(*self.address)

    async def _exchange(self, reader, writer):
        keeps = "keep-alive" if self.kept else "close"
        writer.write(f"GET {PATH} HTTP/1.1\r\nHost: stress.example\r\nConnection: {keeps}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = head.partition("content-length: ")[2].partition("\r\n")[0]
        await reader.readexactly(int(length))
        return int(head.split()[1]), self.kept and "connection: close" not in head

    def close(self):
        """Leaves."""
        for _, writer in self.idle:
            writer.close()
        self.idle.clear()


async def capacity(client, clients):
    """Requests per second that are answered when somebody always waits."""
    until = time.monotonic() + CAPACITY_SECONDS

    async def one():
        count = 0
        while time.monotonic() < until:
            fate, _ = await client.ask()
            count += fate == GOOD
        return count

    counts = await asyncio.gather(*(one() for _ in range(clients)))
    return sum(counts) / CAPACITY_SECONDS


async def load(client, plan, seed):
    """Asks at the rates of the plan, phase after phase without a pause: (phase, begun at, fate, seconds) of each request."""
    loop, chance = asyncio.get_running_loop(), random.Random(seed)
    results, asking = [], set()

    async def one(phase, since):
        results.append((phase, since, *await client.ask()))

    due = loop.time()
    for phase, rate, seconds in plan:
        began = due
        while (due := due + chance.expovariate(rate)) < began + seconds:
            await asyncio.sleep(max(0, due - loop.time()))
            task = asyncio.create_task(one(phase, due - began))
            asking.add(task)
            task.add_done_callback(asking.discard)
        due = began + seconds
    await asyncio.gather(*asking)
    return results


def rows(results, per_second, plan):
    """What became of each phase."""
    for phase, rate, seconds in plan:
        its = [result for result in results if result[0] == phase]
        yield row(phase, its, per_second, rate / per_second, seconds)
    at_once = [result for result in results if result[0] == PHASES[-1][0] and result[1] < AT_ONCE_SECONDS]
    yield row("  its first second", at_once, per_second, PHASES[-1][1], AT_ONCE_SECONDS)


def row(phase, results, per_second, multiple, seconds):
    """One phase, or a part of it."""
    times = {fate: sorted(took for *_, its, took in results if its == fate) for fate in (GOOD, SHED, LATE, FAILED)}
    good = len(times[GOOD])
    return {
        "phase": phase,
        "multiple": multiple,
        "requests": len(results),
        **{fate: len(its) for fate, its in times.items()},
        "goodput": good / seconds / per_second,
        "answered": good / len(results) if results else 1.0,
        "p50_ms": quantile(times[GOOD], 50),
        "p99_ms": quantile(times[GOOD], 99),
        "shed_p50_ms": quantile(times[SHED], 50),
        "broken": [],
    }


def judge(found):
    """Says in the rows what is not as expected."""
    for its in found:
        if its["multiple"] > 1 and its["goodput"] < LEAST_GOODPUT:
            its["broken"].append(f"goodput {its['goodput']:.0%} of the capacity")
        if its["multiple"] < 1 and its["answered"] < LEAST_RECOVERED:
            its["broken"].append(f"only {its['answered']:.1%} answered in time")
        if its[FAILED]:
            its["broken"].append(f"{its[FAILED]} failed otherwise")


def quantile(times, percent):
    """In milliseconds; None of nothing."""
    if len(times) < 2:
        return times[0] * 1e3 if times else None
    return statistics.quantiles(times, n=100, method="inclusive")[percent - 1] * 1e3


def run(options, say):
    """The experiment at each door, with connections of both kinds; prints as it goes."""
    found = []
    site = Site(options.wheel, "wsgi", "own", options.workers, options.overload_config)
    try:
        for door in site.doors(False):
            for kept in (False, True):
                client = Client(door["address"], kept, options.deadline_ms / 1e3)
                per_second, its = asyncio.run(play(client, options))
                kind = "kept-alive connections" if kept else "one request per connection"
                say(options, heading(door["name"], kind, per_second, options))
                for line in its:
                    say(options, told(line))
                    found.append({"door": door["name"], "kept": kept, "capacity": per_second, **line})
                say(options, "")
    finally:
        site.close()
    say(options, FOOT)
    return found


async def play(client, options):
    """The capacity, and what became of the phases."""
    with contextlib.closing(client):
        per_second = await capacity(client, CLIENTS_PER_WORKER * options.workers)
        plan = [(phase, multiple * per_second, options.seconds) for phase, multiple in PHASES]
        found = list(rows(await load(client, plan, options.seed), per_second, plan))
    judge(found)
    return per_second, found


COLUMNS = ("load", "requests", "in time", "503", "late", "failed", "goodput", "p50 ms", "p99 ms", "503 p50")


def heading(door, kind, per_second, options):
    """What the rows below are about."""
    about = f"{options.workers} workers, {door}, {kind}: capacity {per_second:.0f}/s, deadline {options.deadline_ms:.0f} ms"
    return about + f"\n{'':20}" + "".join(f"{name:>10}" for name in COLUMNS)


def told(its):
    """A row for people."""
    milliseconds = [its["p50_ms"], its["p99_ms"], its["shed_p50_ms"]]
    values = [f"{its['multiple']:.1f} x", its["requests"], its[GOOD], its[SHED], its[LATE], its[FAILED]]
    values += [f"{its['goodput']:.0%}", *("-" if value is None else f"{value:.1f}" for value in milliseconds)]
    return f"{its['phase']:20}" + "".join(f"{value:>10}" for value in values) + "".join(f"\n    ! {why}" for why in its["broken"])


FOOT = """
load: requests per second as a multiple of the capacity · in time: the app's answer came before the client's deadline · late: nothing
came by then, and the client has left · goodput: answers in time, as a part of the capacity · p50, p99: of answers in time · 503 p50:
how soon half of those knew that were refused"""
