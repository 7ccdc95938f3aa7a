"""Metrics of ``prometheus_client``, right over all workers.

`install` has counters, gauges, histograms and summaries of that library, the app's own and those of libraries such as
``django-prometheus``, count in the memory that the workers share. Call it before any of them is made, first thing in the module that
is served::

    from ferricorn import prometheus

    prometheus.install()

``/metrics`` of the admin address tells them then, and so does any worker that is asked by ``generate_latest()``. No directory, no
files, no hook at a worker's end: ``PROMETHEUS_MULTIPROC_DIR`` must not be set.
"""

from __future__ import annotations

import os
import re
import threading
import warnings
from typing import Any, Iterable

import prometheus_client
from prometheus_client import metrics as client_metrics
from prometheus_client import values
from prometheus_client.registry import REGISTRY, CollectorRegistry

from ._ferricorn import Figure, metrics_labels

__all__ = ["install"]

# Where the library looks for what it keeps a number in, whenever it makes one.
client_values: Any = values


def install(registry: CollectorRegistry = REGISTRY) -> None:
    """Have all metrics that are made from now on count for all workers; may be called again, for another registry."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ or "prometheus_multiproc_dir" in os.environ:
        raise RuntimeError("unset PROMETHEUS_MULTIPROC_DIR: the server adds up the workers' metrics by itself")
    if not any(isinstance(collector, _Labels) for collector in _collectors(registry)):
        early = [metric._name for metric in _collectors(registry) if isinstance(metric, client_metrics.MetricWrapperBase)]
        if early:
            text = f"made before ferricorn.prometheus.install(), so each worker tells its own: {', '.join(sorted(early))}"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        registry.register(_Labels(registry))
    if client_values.ValueClass is not SharedValue:
        client_values.ValueClass = SharedValue
        # Each worker has its own times of birth of the series, and would tell those.
        disable_created: Any = prometheus_client.disable_created_metrics
        disable_created()


class SharedValue:
    """What ``prometheus_client`` keeps a number in; one for each bucket and each sum."""

    _multiprocess = False

    def __init__(
        self,
        typ: str,
        metric_name: str,
        name: str,
        labelnames: Iterable[str],
        labelvalues: Iterable[str],
        help_text: str,
        multiprocess_mode: str = "",
        **_: Any,
    ) -> None:
        self._figure: Figure | _Own = _Own()
        self._part = 0
        labels = list(zip(labelnames, labelvalues))
        if typ == "histogram":
            self._join(metric_name, name, labels, help_text)
            return
        if typ == "summary":
            kind, self._part = typ, 0 if name.endswith("_count") else 1
            name = metric_name
        else:
            kind = f"gauge {_MERGES[multiprocess_mode]}" if typ == "gauge" else typ
        self._figure = _figure(kind, name, help_text, labels, [])

    def _join(self, name: str, part: str, labels: list[tuple[str, str]], help_text: str) -> None:
        """The sum of a histogram is made first, then its buckets, of which the last has no bound: then all bounds are known."""
        if part.endswith("_sum"):
            _parts.values, _parts.bounds = [self], []
            return
        _parts.values.append(self)
        bound = labels.pop()[1]
        if bound != "+Inf":
            _parts.bounds.append(float(bound))
            return
        figure = _figure("histogram", name, help_text, labels, _parts.bounds)
        total, *buckets = _parts.values
        for number, value in enumerate([*buckets, total]):
            value._figure, value._part = figure, number

    def inc(self, amount: float) -> None:
        """Adds to this worker's part."""
        self._figure.add(amount, self._part)

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Sets this worker's part."""
        self._figure.set(value, self._part)

    def get(self) -> float:
        """The number over all workers."""
        return self._figure.read(self._part)

    def set_exemplar(self, exemplar: object) -> None:
        """Exemplars are not kept."""

    def get_exemplar(self) -> None:
        """Exemplars are not kept."""


class _Own:
    """The numbers of a series that cannot be shared."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[int, float] = {}

    def add(self, amount: float, part: int) -> None:
        with self._lock:
            self._numbers[part] = self._numbers.get(part, 0.0) + amount

    def set(self, value: float, part: int) -> None:
        self._numbers[part] = value

    def read(self, part: int) -> float:
        return self._numbers.get(part, 0.0)


class _Labels:
    """Collected first: makes the series that only other workers have used, so that this one tells them, too."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> list[Any]:
        known = metrics_labels()
        for metric in _collectors(self._registry):
            names = getattr(metric, "_labelnames", ())
            if not names or not isinstance(metric, client_metrics.MetricWrapperBase):
                continue
            told = metric._name + "_total" if metric._type == "counter" else metric._name
            for labels in map(_parsed, known.get(told, ())):
                if labels.keys() == set(names):
                    metric.labels(**labels)
        return []


def _collectors(registry: CollectorRegistry) -> list[Any]:
    with registry._lock:
        return list(registry._collector_to_names)


def _figure(
    kind: str, name: str, help_text: str, labels: list[tuple[str, str]], bounds: list[float]
) -> Figure | _Own:
    try:
        return Figure(kind, name, help_text, labels, bounds)
    except ValueError as error:
        warnings.warn(f"{name} is told by each worker for itself: {error}", RuntimeWarning, stacklevel=2)
        return _Own()


def _parsed(labels: str) -> dict[str, str]:
    """The labels of a series as they are told."""
    found = re.findall(r'([a-zA-Z0-9_]+)="((?:[^"\\]|\\.)*)"', labels)
    return {name: re.sub(r"\\(.)", lambda escape: {"n": "\n"}.get(escape[1], escape[1]), value) for name, value in found}


#: What ``multiprocess_mode`` of a gauge is here: of workers that have ended there are no gauges.
_MERGES = {
    "": "sum",
    "all": "sum",
    "liveall": "sum",
    "sum": "sum",
    "livesum": "sum",
    "max": "max",
    "livemax": "max",
    "min": "min",
    "livemin": "min",
    "mostrecent": "last",
    "livemostrecent": "last",
}

#: The parts of the histogram that this thread is making.
_parts = threading.local()
