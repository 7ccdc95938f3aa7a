"""`ferricorn.prometheus`: metrics of prometheus_client, right over all workers."""

import os
import signal
import subprocess
import sys
from importlib.metadata import version

import pytest

from support.client import ask
from support.figures import AT_ANY_PORT, parsed, told
from support.server import clean_environment

# Those of each process's own, and of the registry of the one that is asked.
OWN = ("python_", "process_")


def shown(server):
    """What a worker tells that is asked by `generate_latest()`."""
    figures = parsed(ask(server, "GET", "/metrics").content.decode())
    return {name: value for name, value in figures.items() if not name.startswith(OWN)}


@pytest.mark.parametrize("preload", ["false", "true"])
def test_any_worker_tells_what_all_have_counted(serve, preload):
    print(f"prometheus_client {version('prometheus_client')}")
    environment = {**AT_ANY_PORT, "FERRICORN_WORKERS_PRELOAD": preload}
    server = serve("prometheus_app", "-w", "3", environment=environment).ready()
    served = [ask(server, "GET", "/a?" + str(number)).content.decode() for number in range(60)]
    assert len(set(served)) == 3
    for _ in range(10):
        figures = shown(server)
        assert figures['shop_requests_total{path="/a"}'] == 60
        assert {name: value for name, value in figures.items() if name.startswith("shop_by_worker")} == {
            f'shop_by_worker_total{{pid="{pid}"}}': served.count(pid) for pid in served
        }
        assert (figures["shop_workers"], figures["shop_running"]) == (3, 1)
        assert figures['shop_last{of="\\"\\\\\\n"}'] == 2
        buckets = {le: figures[f'shop_times_bucket{{le="{le}",path="/a"}}'] for le in ("0.5", "1.0", "+Inf")}
        assert buckets == {"0.5": 0, "1.0": 60, "+Inf": 60}
        assert (figures['shop_times_count{path="/a"}'], figures['shop_times_sum{path="/a"}']) == (60, 45)
        assert (figures["shop_sizes_count"], figures["shop_sizes_sum"]) == (60, 150)
    at_admin = told(server)
    assert at_admin.pop("shop_running") == figures.pop("shop_running") - 1
    # Labels are told in another order.
    ordered = {name.replace('path="/a",le=', "le=").replace('"}', '",path="/a"}') if "_bucket" in name else name: value
               for name, value in at_admin.items()}
    assert ordered == figures


def test_counts_stay_when_workers_die(serve):
    server = serve("prometheus_app", "-w", "2", environment=AT_ANY_PORT).ready()
    for asked in range(1, 4):
        pid = int(ask(server, "GET", "/a").content)
        since = server.log.position()
        os.kill(pid, signal.SIGKILL)
        server.log.wait_for("worker ready", since)
        figures = shown(server)
        assert figures['shop_requests_total{path="/a"}'] == figures["shop_sizes_count"] == asked
    server.reload("reload done")
    assert shown(server)['shop_times_bucket{le="1.0",path="/a"}'] == 3


def test_django_prometheus_is_right_over_all_workers(serve, site):
    (site / "metered_settings.py").write_text(
        "from demo.settings import *\n"
        "INSTALLED_APPS += ['django_prometheus']\n"
        "ROOT_URLCONF = 'metered_urls'\n"
        "MIDDLEWARE = ['django_prometheus.middleware.PrometheusBeforeMiddleware', *MIDDLEWARE,\n"
        "              'django_prometheus.middleware.PrometheusAfterMiddleware']\n"
    )
    (site / "metered_urls.py").write_text(
        "from django.urls import include, path\nfrom demo.urls import urlpatterns\n"
        "urlpatterns = [*urlpatterns, path('', include('django_prometheus.urls'))]\n"
    )
    (site / "metered_site.py").write_text(
        "import os\nfrom ferricorn import prometheus\nprometheus.install()\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'metered_settings'\n"
        "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
    )
    server = serve("metered_site", "-w", "3", directory=site, environment=AT_ANY_PORT).ready()
    fields = {"Host": "localhost"}
    for _ in range(60):
        assert ask(server, "GET", "/whoami", fields=fields).status == 200
    latency = 'django_http_requests_latency_seconds_by_view_method_count{method="GET",view="notes.views.whoami"}'
    for asked in range(1, 6):
        figures = parsed(ask(server, "GET", "/metrics", fields=fields).content.decode())
        assert figures["django_http_requests_before_middlewares_total"] == 60 + asked
        assert figures[latency] == 60
    assert told(server)["django_http_requests_before_middlewares_total"] == 65


def alone(code, **variables):
    """What code prints in an interpreter without a server."""
    environment = clean_environment(PYTHONWARNINGS="always", **variables)
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    return run.returncode, run.stdout, run.stderr


def test_without_a_server_it_is_as_without_this():
    code = (
        "{install}\nimport prometheus_client as client\nclient.disable_created_metrics()\n"
        "registry = client.CollectorRegistry()\n"
        "c = client.Counter('c', 'C', registry=registry); c.inc(); c.inc(2.5)\n"
        "g = client.Gauge('g', 'G', ['l'], registry=registry); g.labels('x').set(3); g.labels('x').dec()\n"
        "h = client.Histogram('h', 'H', registry=registry); [h.observe(n / 10) for n in range(100)]\n"
        "s = client.Summary('s', 'S', registry=registry); s.observe(-1.5)\n"
        "i = client.Info('i', 'I', registry=registry); i.info({{'a': 'b'}})\n"
        "print(client.generate_latest(registry).decode())\n"
        "c.reset(); print(float(c._value.get()))\n"
    )
    plain = alone(code.format(install=""))
    shared = alone(code.format(install="from ferricorn import prometheus; prometheus.install()"))
    assert shared == plain and plain[0] == 0, shared


def test_what_does_not_go_together_is_told():
    install = "from ferricorn import prometheus; prometheus.install(); prometheus.install()"
    code, _, complaint = alone(install, PROMETHEUS_MULTIPROC_DIR="/nowhere")
    assert code == 1 and "unset PROMETHEUS_MULTIPROC_DIR" in complaint
    early = f"import prometheus_client as c; c.Counter('early', ''); {install}"
    code, _, complaint = alone(early)
    assert code == 0 and complaint.count("made before ferricorn.prometheus.install()") == 1 and "early" in complaint
    # Two registries, one name: the second is told by each worker for itself.
    twice = f"{install}; import prometheus_client as c; c.Gauge('x', ''); h = c.Histogram('x', '', registry=None); h.observe(2)"
    code, output, complaint = alone(f"{twice}; print(h._sum.get(), h._buckets[-5].get())")
    assert (code, output) == (0, "2.0 1.0\n") and "x is told by each worker for itself" in complaint
