"""What an outcome is worth: failures that are excused, failures that are not, and waits that were too long."""

import collections

from load import CLOSED, CUT, RESET, STATUS

# What becomes of a request whose worker is killed.
OF_THE_DEAD = (RESET, CLOSED, CUT)


def is_excused(failure, kills):
    """Whether a request was in a worker that was killed: sent before its death could be seen, and ended by it.

    nginx says 502 for such a request where it may not ask again (a POST).
    """
    by_nginx = failure["door"].startswith("nginx") and (failure["fate"], failure["detail"]) == (STATUS, 502)
    if failure["fate"] not in OF_THE_DEAD and not by_nginx:
        return False
    return any(failure["sent"] <= dead and failure["ended"] >= killed for killed, dead in kills)


def judge(outcome, kills, stall_limit_ms):
    """One row: the sums of all doors, and what breaks the expectation, in words."""
    doors = outcome["doors"]
    excused = [failure for failure in outcome["failures"] if is_excused(failure, kills)]
    fates = collections.Counter()
    for door in doors.values():
        fates.update(door["fates"])
    fates.subtract(failure["fate"] for failure in excused)
    fates = {fate: count for fate, count in fates.items() if count}
    times = sorted(time for door in doors.values() for times in door["times_ms"].values() for time in times)
    worst = max(doors, key=lambda name: doors[name]["stall_ms"])
    row = {
        "requests": sum(door["requests"] for door in doors.values()),
        "answered": sum(door["answered"] for door in doors.values()),
        "in_a_killed_worker": len(excused),
        "failed": fates,
        "stall_ms": doors[worst]["stall_ms"],
        "stall_at": worst,
        "p50_ms": part(times, 0.5),
        "p99_ms": part(times, 0.99),
        "max_ms": times[-1] if times else None,
    }
    broken = [f"{count} {fate}" for fate, count in fates.items()]
    if stall_limit_ms and row["stall_ms"] > stall_limit_ms:
        broken.append(f"no answer for {row['stall_ms']:.0f} ms at {worst}")
    if not times:
        broken.append("nothing was answered")
    return {**row, "broken": broken}


def part(ordered, share):
    """The value below which this share of them lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None
