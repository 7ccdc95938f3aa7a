"""Figures that ``/metrics`` of the admin address tells, right over all workers.

``Counter``, ``Gauge`` and ``Histogram`` count in memory that the workers share. What a worker has counted stays when it is
recycled, reloaded or killed. They are made where the app is imported::

    from ferricorn.metrics import Counter

    orders = Counter("shop_orders_total", "Orders taken.", labels=["kind"])

    def order(kind):
        orders.labels(kind=kind).inc()

Without the server (tests, ``manage.py runserver``) they count for their process alone. All of it may be used by many threads.
"""

from __future__ import annotations

import functools
import inspect
import time
from types import TracebackType
from typing import Any, Callable, Generic, Iterable, TypeVar

from ._ferricorn import Figure, metrics_define, metrics_page

__all__ = [
    "CONTENT_TYPE",
    "DEFAULT_BUCKETS",
    "Counter",
    "CounterSeries",
    "Gauge",
    "GaugeSeries",
    "Histogram",
    "HistogramSeries",
    "Timer",
    "page",
]

#: The content type of `page()`.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Seconds, for requests.
DEFAULT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_MERGES = ("sum", "max", "min", "last")

_Child = TypeVar("_Child", bound="_Series")
_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Series:
    """One series: a name with its labels."""

    __slots__ = ("_figure",)

    def __init__(self, figure: Figure) -> None:
        self._figure = figure


class CounterSeries(_Series):
    """A figure that only grows."""

    __slots__ = ()

    def inc(self, amount: float = 1) -> None:
        """Count so many."""
        if amount < 0:
            raise ValueError("a counter only grows; a Gauge goes up and down")
        self._figure.add(amount)

    def value(self) -> float:
        """The sum over all workers since the server was started."""
        return self._figure.read()


class GaugeSeries(_Series):
    """A figure that goes up and down."""

    __slots__ = ()

    def set(self, value: float) -> None:
        """This worker's part is now so much."""
        self._figure.set(value)

    def inc(self, amount: float = 1) -> None:
        """This worker's part is so much more."""
        self._figure.add(amount)

    def dec(self, amount: float = 1) -> None:
        """This worker's part is so much less."""
        self._figure.add(-amount)

    def value(self) -> float:
        """The parts of all workers, merged."""
        return self._figure.read()


class HistogramSeries(_Series):
    """How often something was how large."""

    __slots__ = ("_buckets",)

    def __init__(self, figure: Figure, buckets: int) -> None:
        super().__init__(figure)
        self._buckets = buckets

    def observe(self, value: float) -> None:
        """Count a value, in the first bucket whose bound is not below it."""
        self._figure.observe(value)

    def time(self) -> Timer:
        """Observe the seconds that a ``with`` block, or each call of a decorated function (``async`` or not), takes."""
        return Timer(self)

    def count(self) -> int:
        """How many values all workers have observed since the server was started."""
        return int(sum(self._figure.read(part) for part in range(self._buckets + 1)))

    def sum(self) -> float:
        """What they add up to."""
        return self._figure.read(self._buckets + 1)


class Timer:
    """Observes how long something takes."""

    def __init__(self, series: HistogramSeries) -> None:
        self._series = series
        self._began = 0.0

    def __enter__(self) -> Timer:
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._series.observe(time.perf_counter() - self._began)

    def __call__(self, function: _Function) -> _Function:
        series = self._series

        # One timer for each call: several threads or tasks may be in the function.
        @functools.wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            with Timer(series):
                return function(*arguments, **options)

        @functools.wraps(function)
        async def timed_task(*arguments: Any, **options: Any) -> Any:
            with Timer(series):
                return await function(*arguments, **options)

        return timed_task if inspect.iscoroutinefunction(function) else timed  # type: ignore[return-value]


class _Metric(Generic[_Child]):
    """A name, and its series by the values of its labels."""

    def __init__(self, kind: str, name: str, help: str, labels: Iterable[str], buckets: Iterable[float] = ()) -> None:
        self.name = name
        self.help = help
        self.label_names = _names(labels)
        self._kind = kind
        self._bounds = [float(bound) for bound in buckets]
        if self._bounds and self._bounds[-1] == float("inf"):
            self._bounds.pop()
        self._children: dict[tuple[str, ...], _Child] = {}
        # What is wrong is told here, not at the first request.
        metrics_define(kind, name, list(self.label_names), self._bounds)
        shape = (kind, self.label_names, tuple(self._bounds))
        # The same metric may be made again, as by a module that is reloaded.
        if _defined.setdefault(name, shape) != shape:
            raise ValueError(f"{name} exists as another kind of metric, or with other labels or buckets")
        if not self.label_names:
            # The one series is told from now on, at nothing.
            self.labels()

    def _child(self, figure: Figure) -> _Child:
        raise NotImplementedError

    def labels(self, *values: object, **named: object) -> _Child:
        """The series of these values, in the order of the names or by name; keep it where speed matters."""
        if named:
            if values or len(named) != len(self.label_names):
                raise self._mislabelled()
            try:
                values = tuple([named[name] for name in self.label_names])
            except KeyError:
                raise self._mislabelled() from None
        for value in values:
            # Mostly they are text already, and need not be made so.
            if type(value) is not str:
                values = tuple(map(str, values))
                break
        found = self._children.get(values)  # type: ignore[arg-type]
        return found if found is not None else self._made(values)  # type: ignore[arg-type]

    def _made(self, values: tuple[str, ...]) -> _Child:
        if len(values) != len(self.label_names):
            raise self._mislabelled()
        figure = Figure(self._kind, self.name, self.help, list(zip(self.label_names, values)), self._bounds)
        child = self._child(figure)
        # Those without room are not kept: nobody knows how many they will be.
        if values and not figure.is_told():
            return child
        # Two threads may have made it at once: both count in the same place.
        return self._children.setdefault(values, child)

    def _mislabelled(self) -> ValueError:
        return ValueError(f"{self.name} has the labels {self.label_names}")

    def _only(self) -> _Child:
        try:
            return self._children[()]
        except KeyError:
            raise ValueError(f"{self.name} has the labels {self.label_names}: use .labels(…)") from None


class Counter(_Metric[CounterSeries]):
    """A figure that only grows: the sum over all workers since the server was started."""

    def __init__(self, name: str, help: str = "", labels: Iterable[str] = ()) -> None:
        super().__init__("counter", name, help, labels)

    def _child(self, figure: Figure) -> CounterSeries:
        return CounterSeries(figure)

    def inc(self, amount: float = 1) -> None:
        """Count so many."""
        self._only().inc(amount)

    def value(self) -> float:
        """The sum over all workers since the server was started."""
        return self._only().value()


class Gauge(_Metric[GaugeSeries]):
    """A figure that goes up and down; each worker has its own part.

    ``merge`` says what is told of the parts: their ``"sum"``, ``"max"`` or ``"min"`` over the workers that run now; or ``"last"``, the value
    that was set last by whichever worker, which stays when that worker has ended.
    """

    def __init__(self, name: str, help: str = "", labels: Iterable[str] = (), merge: str = "sum") -> None:
        if merge not in _MERGES:
            raise ValueError(f"merge is one of {_MERGES}")
        super().__init__(f"gauge {merge}", name, help, labels)

    def _child(self, figure: Figure) -> GaugeSeries:
        return GaugeSeries(figure)

    def set(self, value: float) -> None:
        """This worker's part is now so much."""
        self._only().set(value)

    def inc(self, amount: float = 1) -> None:
        """This worker's part is so much more."""
        self._only().inc(amount)

    def dec(self, amount: float = 1) -> None:
        """This worker's part is so much less."""
        self._only().dec(amount)

    def value(self) -> float:
        """The parts of all workers, merged."""
        return self._only().value()


class Histogram(_Metric[HistogramSeries]):
    """How often something was how large, in buckets: over all workers since the server was started."""

    def __init__(
        self, name: str, help: str = "", labels: Iterable[str] = (), buckets: Iterable[float] = DEFAULT_BUCKETS
    ) -> None:
        super().__init__("histogram", name, help, labels, buckets)

    def _child(self, figure: Figure) -> HistogramSeries:
        return HistogramSeries(figure, len(self._bounds))

    def observe(self, value: float) -> None:
        """Count a value, in the first bucket whose bound is not below it."""
        self._only().observe(value)

    def time(self) -> Timer:
        """Observe the seconds that a ``with`` block, or each call of a decorated function (``async`` or not), takes."""
        return self._only().time()

    def count(self) -> int:
        """How many values all workers have observed since the server was started."""
        return self._only().count()

    def sum(self) -> float:
        """What they add up to."""
        return self._only().sum()


def page() -> str:
    """All figures of all workers in Prometheus's text format, for a view of your own; its type is `CONTENT_TYPE`."""
    return metrics_page()


def _names(labels: Iterable[str]) -> tuple[str, ...]:
    if isinstance(labels, str):
        raise ValueError("labels is a list of names")
    return tuple(labels)


#: What each name was first said to be.
_defined: dict[str, tuple[object, ...]] = {}
