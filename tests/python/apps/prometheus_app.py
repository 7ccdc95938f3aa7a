"""Counts by prometheus_client, which knows nothing of the server's workers."""

import os

from ferricorn import prometheus

prometheus.install()

import prometheus_client as client  # noqa: E402

REQUESTS = client.Counter("shop_requests", "Requests.", ["path"])
BY_WORKER = client.Counter("shop_by_worker", "Requests by who has served them.", ["pid"])
RUNNING = client.Gauge("shop_running", "Requests in the app.")
WORKERS = client.Gauge("shop_workers", "1 for each.", multiprocess_mode="livesum")
LAST = client.Gauge("shop_last", "Set last.", ["of"], multiprocess_mode="mostrecent")
TIMES = client.Histogram("shop_times", "Times.", ["path"], buckets=(0.5, 1))
SIZES = client.Summary("shop_sizes", "Sizes.")
WORKERS.set(1)


@RUNNING.track_inprogress()
def application(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [("Content-Type", client.CONTENT_TYPE_LATEST)])
    if path == "/metrics":
        return [client.generate_latest()]
    pid = str(os.getpid())
    REQUESTS.labels(path).inc()
    BY_WORKER.labels(pid).inc()
    LAST.labels(of='"\\\n').set(len(path))
    TIMES.labels(path).observe(0.75)
    SIZES.observe(2.5)
    return [pid.encode()]
