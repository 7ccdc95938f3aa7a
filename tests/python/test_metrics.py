"""`ferricorn.metrics`: figures of Python apps, right over all workers there have ever been."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from test_ctl import ctl

from support.client import ask
from support.figures import AT_ANY_PORT, admin_page, parsed, told
from support.server import clean_environment


def ask_often(server, requests, clients=4):
    """So many requests, each on a connection of its own."""
    failures = []

    def run(share):
        for _ in range(share):
            answer = ask(server, "GET", "/")
            if answer.status != 200:
                failures.append(answer)

    threads = [threading.Thread(target=run, args=(requests // clients,)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and requests % clients == 0


@pytest.mark.parametrize("preload", ["false", "true"])
def test_every_request_is_counted_once_however_often_workers_are_recycled(serve, preload):
    environment = {**AT_ANY_PORT, "FERRICORN_WORKERS_PRELOAD": preload}
    server = serve("metered", "-w", "8", "--max-requests", "50", environment=environment).ready()
    asked = 0
    # Two of eight are replaced at a time, and all serve on until it is their turn: how many are within a number of requests is a
    # matter of how long a successor takes to start.
    while asked < 10_000 or server.log.text().count("worker left") < 100:
        assert asked < 100_000, "they are hardly recycled"
        ask_often(server, 1_000)
        asked += 1_000
    figures = told(server)
    assert figures['app_requests_total{method="GET"}'] == asked
    assert figures["app_halves_total"] == asked / 2
    assert figures["app_sizes_count"] == figures['app_sizes_bucket{le="1.0"}'] == asked


def test_counts_stay_whatever_becomes_of_the_workers(serve):
    server = serve("metered", "-w", "3", environment=AT_ANY_PORT).ready()
    counts = ["app_requests_total{method=\"GET\"}", "app_halves_total", "app_sizes_count", 'app_sizes_bucket{le="+Inf"}']
    asked = 0

    def is_exact():
        nonlocal asked
        ask_often(server, 40)
        asked += 40
        figures = told(server)
        assert [figures[name] for name in counts] == [asked, asked / 2, asked, asked]

    is_exact()
    since = server.log.position()
    os.kill(server.workers()[2], signal.SIGKILL)
    server.log.wait_for(r"worker ready.*slot=2\b", since)
    is_exact()
    server.reload("reload done")
    is_exact()
    assert ctl(server, "scale", "1", "--wait")[0] == 0
    is_exact()
    assert ctl(server, "upgrade", "--wait")[0] == 0
    is_exact()
    assert server.stop() == 0


def settled(server, name, value):
    """The figures, once one of them is so much: those of a worker that leaves are told until it has ended."""
    limit = time.monotonic() + 30
    while (figures := told(server)).get(name) != value:
        assert time.monotonic() < limit, figures
    return figures


@pytest.mark.parametrize(("preload", "loaded"), [("false", 3), ("true", 1)])
def test_gauges_are_merged_as_they_say_and_those_of_the_dead_are_gone(serve, preload, loaded):
    environment = {**AT_ANY_PORT, "FERRICORN_WORKERS_PRELOAD": preload}
    server = serve("metered", "-w", "3", environment=environment).ready()
    figures = told(server)
    assert figures["app_loaded_total"] == loaded
    # What is set at import is each worker's, also where the import was before the fork.
    assert figures["app_alive"] == 3
    assert figures["app_version"] == 7
    if preload == "true":
        assert figures["app_forked"] == 3
    pid = int(ask(server, "GET", "/?longest").content)
    ask(server, "GET", "/?abc")
    figures = told(server)
    assert (figures["app_last"], figures["app_most"]) == (3, 7)
    since = server.log.position()
    os.kill(pid, signal.SIGKILL)
    server.log.wait_for(r"worker ready", since)
    figures = settled(server, "app_alive", 3)
    # Of the largest each worker has its own; what was set last has no owner.
    assert figures["app_last"] == 3 and figures.get("app_most", 0) <= 7
    assert ctl(server, "scale", "1", "--wait")[0] == 0
    settled(server, "app_alive", 1)


def test_any_worker_tells_the_figures_of_all(serve):
    server = serve("metered", "-w", "4", environment=AT_ANY_PORT).ready()
    ask_often(server, 40)
    pages = {ask(server, "GET", "/metrics").content.decode() for _ in range(10)}
    assert len(pages) == 1
    page = pages.pop()
    assert parsed(page) == told(server)
    # Those of the server stand around them.
    assert page in admin_page(server)


def test_the_server_tells_how_long_its_apps_take(serve):
    server = serve("metered", "-w", "2", environment=AT_ANY_PORT).ready()
    ask_often(server, 40)
    figures = parsed(admin_page(server))
    assert figures['ferricorn_response_seconds_count{code="2xx"}'] == 40
    assert figures['ferricorn_response_seconds_bucket{code="2xx",le="+Inf"}'] == 40
    assert figures['ferricorn_response_seconds_count{code="5xx"}'] == 0
    assert figures['ferricorn_response_seconds_sum{code="2xx"}'] > 0


def test_a_full_registry_fails_nobody_and_is_told_once(serve):
    server = serve("metered", "-w", "1", environment=AT_ANY_PORT).ready()
    assert ask(server, "GET", "/many?0-1500").status == 200
    assert "is not told" not in server.log.text()
    assert ask(server, "GET", "/many?1500-4000").status == 200
    server.log.wait_for(r"a metric of the app is not told: app_many_total: there is room for \d+ series")
    assert ask(server, "GET", "/many?0-4000").status == 200
    figures = parsed(admin_page(server))
    many = [value for name, value in figures.items() if name.startswith("app_many_total")]
    assert 1500 < len(many) < 4000 and many[:1500] == [2] * 1500
    assert figures["ferricorn_metric_series_refused_total"] >= 4000 - len(many)
    assert figures['app_requests_total{method="GET"}'] == 3
    assert server.log.text().count("is not told") == 1


def alone(code):
    """What code prints in an interpreter without a server."""
    run = subprocess.run([sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_without_a_server_they_count_for_the_process():
    assert alone(
        "from ferricorn.metrics import Counter, Gauge, Histogram, page\n"
        "orders = Counter('orders_total', 'Orders\\n\\\\', ['kind'])\n"
        "orders.labels('a\"b').inc(2); orders.labels(kind='a\"b').inc(0.5)\n"
        "depth = Gauge('depth'); depth.set(4); depth.dec(1.5); depth.inc()\n"
        "times = Histogram('times', buckets=[0.5, float('inf')])\n"
        "times.observe(0.5); times.observe(2)\n"
        "with times.time(): pass\n"
        "@times.time()\ndef twice(value):\n    return 2 * value\n"
        "assert (twice(4), twice.__name__) == (8, 'twice')\n"
        "assert (times.count(), depth.value(), orders.labels('a\"b').value()) == (4, 3.5, 2.5)\n"
        "assert 2.5 <= times.sum() < 3\n"
        "print(page())\n"
    ).startswith(
        "# HELP depth \n# TYPE depth gauge\ndepth 3.5\n"
        '# HELP orders_total Orders\\n\\\\\n# TYPE orders_total counter\norders_total{kind="a\\"b"} 2.5\n'
        '# HELP times \n# TYPE times histogram\ntimes_bucket{le="0.5"} 3\ntimes_bucket{le="+Inf"} 4\n'
    )


def test_a_task_is_timed_until_it_is_done():
    assert alone(
        "import asyncio, inspect\n"
        "from ferricorn.metrics import Histogram\n"
        "times = Histogram('times', buckets=[1])\n"
        "@times.time()\nasync def wait(started, go):\n    started.set()\n    await go.wait()\n    return times.count()\n"
        "async def main():\n"
        "    started, go = asyncio.Event(), asyncio.Event()\n"
        "    task = asyncio.create_task(wait(started, go))\n"
        "    await started.wait(); before = times.count(); go.set()\n"
        "    print(inspect.iscoroutinefunction(wait), before, await task, times.count())\n"
        "asyncio.run(main())\n"
    ) == "True 0 0 1\n"


def test_a_label_may_have_any_value():
    told = [
        'c_total{of=""} 1',
        'c_total{of="1.5"} 1',
        'c_total{of="None"} 1',
        'c_total{of="\xfc\x00"} 1',
        # Bytes of a client that are no text, as Python has them.
        'c_total{of="\ufffd\ufffd\ufffd"} 1',
    ]
    assert alone(
        "from ferricorn.metrics import Counter, page\n"
        "c = Counter('c_total', labels=['of'])\n"
        "for value in ['', '\\udcff', '\\xfc\\0', None, 1.5, 'x' * 1000]:\n"
        "    c.labels(value).inc()\n"
        "print(ascii(page().splitlines()[2:]))\n"
    ) == f"{ascii(told)}\n"


@pytest.mark.parametrize(
    "wrong",
    [
        "Counter('a b')",
        "Counter('ferricorn_x_total')",
        "Counter('x_total', labels=['1'])",
        "Counter('x_total', labels='kind')",
        "Counter('x_total').inc(-1)",
        "Counter('x_total', labels=['kind']).inc()",
        "Counter('x_total', labels=['kind']).labels()",
        "Counter('x_total', labels=['kind']).labels('a', 'b')",
        "Counter('x_total', labels=['kind']).labels(other='a')",
        "Counter('x_total', labels=['kind']).labels('a', kind='a')",
        "Counter('taken')",
        "Gauge('x', merge='median')",
        "Histogram('x', labels=['le'])",
        "Histogram('x', buckets=[2, 1])",
        "Histogram('x', buckets=[])",
        "Histogram('taken', buckets=[2])",
        "Counter('taken_count')",
        "Gauge('taken_sum', labels=['of'])",
        "Histogram('part')",
    ],
)
def test_what_cannot_be_is_refused_where_it_is_written(wrong):
    printed = alone(
        "from ferricorn.metrics import *\n"
        "Histogram('taken', buckets=[1]); Histogram('taken', buckets=[1]); Counter('part_bucket', labels=['of'])\n"
        f"try:\n    {wrong}\nexcept ValueError as error:\n    print('refused:', error)\n"
    )
    assert printed.startswith("refused: ")


def test_many_threads_count_together():
    assert alone(
        "import threading\n"
        "from ferricorn.metrics import Counter, Histogram\n"
        "c, h = Counter('c', labels=['n']), Histogram('h')\n"
        "def run():\n"
        "    for n in range(2000):\n"
        "        c.labels(n % 10).inc(); c.labels(0).inc(0.25); h.observe(0.5)\n"
        "threads = [threading.Thread(target=run) for _ in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "print(sum(c.labels(n).value() for n in range(10)), h.count(), h.sum())\n"
    ) == "20000.0 16000 8000.0\n"
