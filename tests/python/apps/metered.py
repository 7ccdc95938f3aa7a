"""Counts what it is asked, in each kind of figure."""

import os

from ferricorn.metrics import CONTENT_TYPE, Counter, Gauge, Histogram, page

LOADED = Counter("app_loaded_total", "How often this module was imported.")
LOADED.inc()
ALIVE = Gauge("app_alive", "1 for each worker.")
ALIVE.set(1)
VERSION = Gauge("app_version", "What was imported last.", merge="last")
VERSION.set(7)
FORKED = Gauge("app_forked", "1 for each process that was forked.")
os.register_at_fork(after_in_child=FORKED.inc)

REQUESTS = Counter("app_requests_total", "Requests, by method.", labels=["method"])
HALVES = Counter("app_halves_total", "Half of the requests.")
SIZES = Histogram("app_sizes", "Length of the query.", buckets=[1, 2])
LAST = Gauge("app_last", "Length of the query asked last.", merge="last")
MOST = Gauge("app_most", "The longest query of a worker.", merge="max")
MANY = Counter("app_many_total", "One series for each query.", labels=["query"])


def application(environ, start_response):
    query = environ["QUERY_STRING"]
    start_response("200 OK", [("Content-Type", CONTENT_TYPE)])
    if environ["PATH_INFO"] == "/metrics":
        return [page().encode()]
    REQUESTS.labels(method=environ["REQUEST_METHOD"]).inc()
    HALVES.inc(0.5)
    SIZES.observe(len(query))
    LAST.set(len(query))
    MOST.set(max(MOST.value(), len(query)))
    if environ["PATH_INFO"] == "/many":
        first, last = map(int, query.split("-"))
        for number in range(first, last):
            MANY.labels(number).inc()
    return [str(os.getpid()).encode()]
