"""Rows as a table for people."""

COLUMNS = (
    ("times", 7),
    ("requests", 10),
    ("answered", 10),
    ("in killed", 11),
    ("failed", 8),
    ("no answer ms", 14),
    ("p50 ms", 8),
    ("p99 ms", 8),
    ("max ms", 8),
)
NAME_WIDTH = 28


def heading(stage, doors, rate):
    """What the rows below are about."""
    columns = "".join(f"{name:>{width}}" for name, width in COLUMNS)
    return f"{stage}: {rate:.0f} requests/s over {', '.join(doors)}\n{'':{NAME_WIDTH}}{columns}"


def line(name, row):
    """One disturbance."""
    values = (
        row["times"] or "-",
        row["requests"],
        row["answered"],
        row["in_a_killed_worker"],
        sum(row["failed"].values()),
        milliseconds(row["stall_ms"]),
        milliseconds(row["p50_ms"]),
        milliseconds(row["p99_ms"]),
        milliseconds(row["max_ms"]),
    )
    columns = "".join(f"{value:>{width}}" for value, (_, width) in zip(values, COLUMNS))
    return f"{name:{NAME_WIDTH}}{columns}" + "".join(f"\n    ! {reason}" for reason in row["broken"])


def milliseconds(value):
    """A time, or that there is none."""
    return "-" if value is None else f"{value:.1f}"


FOOT = """
times: how often it was done · in killed: requests that were in a worker when it was killed · failed: all others without
a right answer · no answer: longest time without an answer while one was due, at the worst door · p50 to max: from when a
request was due to its whole answer"""
