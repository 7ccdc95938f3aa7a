"""Long runs: after many reloads, or many connections that clients cut off, nothing must have grown."""

import itertools
import os
import socket
import statistics
import struct
import time
from pathlib import Path

from sites import Site
from support.server import DEADLINE

MOST_GROWTH = 0.02
# Samples at 10 % and at 100 % of the run; the medians are compared.
SAMPLES = 9
CLOSES_BETWEEN_LOOKS = 200

HEAD = b"GET /cut HTTP/1.1\r\nHost: stress.example\r\n"
UPLOAD = b"POST /cut HTTP/1.1\r\nHost: stress.example\r\nContent-Length: 100000\r\n\r\n"
# What a client has sent when it goes away: nothing, part of a head, a request, two, parts of a content.
CUT_OFF = (b"", HEAD, HEAD + b"\r\n", (HEAD + b"\r\n") * 2, UPLOAD, UPLOAD + b"x" * 5000, b"\x16\x03\x01")


def run(app, sockets, program, options):
    """The long runs that were asked for, each as a row."""
    plays = [("reloads", options.reloads, reload_often), ("abrupt closes", options.closes, close_often)]
    for name, count, function in plays:
        if count:
            site = Site(program, app, sockets, options.workers)
            try:
                began = time.monotonic()
                before, after = function(site, count)
                seconds = time.monotonic() - began
            finally:
                site.close()
            row = compare(before, after)
            yield {"app": app, "sockets": sockets, "disturbance": name, "times": count, "seconds": seconds, **row}


def reload_often(site, count):
    """So many reloads, with a request between any two."""
    return halves(site, count, 1, lambda _first, _last: (site.reload(), ask(site.doors(False)[0])))


def close_often(site, count):
    """So many connections that are cut off with a RST, at both doors."""
    doors = itertools.cycle([door["address"] for door in site.doors(False)])

    def cut(first, last):
        for number in range(first, last):
            cut_off(next(doors), CUT_OFF[number % len(CUT_OFF)])
        for door in site.doors(False):
            ask(door)

    return halves(site, count, CLOSES_BETWEEN_LOOKS, cut)


def halves(site, count, step, act):
    """Acts so often, `step` at a time; the samples around 10 % and around 100 % of the run."""
    samples = {}
    for mark in (count // 10, count):
        spread = max(step, count // 200)
        looks = {mark - index * spread for index in range(SAMPLES)}
        samples[mark] = []
        start = 0 if mark != count else count // 10
        for first in range(start, mark, step):
            last = min(first + step, mark)
            act(first, last)
            if any(first < look <= last for look in looks):
                samples[mark].append(sample(site))
    return list(samples.values())


def sample(site):
    """Descriptors and resident memory, of the master and of its workers together, once all is at rest."""
    children = site.settled()
    workers = set(site.workers().values()) & set(children)
    at_rest = None
    limit = time.monotonic() + DEADLINE
    # Connections that were cut off are gone when the number of descriptors does not change any more.
    while at_rest != (now := sum(map(descriptors, workers))) and time.monotonic() < limit:
        at_rest = now
        time.sleep(0.05)
    return {
        "master_descriptors": descriptors(site.process.pid),
        "worker_descriptors": sum(map(descriptors, workers)),
        "master_kib": resident(site.process.pid),
        "worker_kib": sum(map(resident, workers)),
    }


def descriptors(pid):
    """Open descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid):
    """Resident memory in KiB (proc_pid_status(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def compare(before, after):
    """The medians, and what has grown too much."""
    figures, broken = {}, []
    for key in before[0]:
        early, late = (statistics.median(sample[key] for sample in samples) for samples in (before, after))
        figures[key] = (early, late)
        if late - early > early * MOST_GROWTH:
            broken.append(f"{key}: {early:.0f} at 10 %, {late:.0f} at 100 %")
    return {"figures": figures, "broken": broken}


def line(row):
    """A row for people."""
    figures = "; ".join(f"{key} {early:.0f} -> {late:.0f}" for key, (early, late) in row["figures"].items())
    text = f"{row['app']} app, {row['sockets']} sockets: {row['times']} {row['disturbance']} in {row['seconds']:.0f} s"
    return f"{text}\n    {figures}" + "".join(f"\n    ! {reason}" for reason in row["broken"])


def connect(address):
    """A connection to a door."""
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(DEADLINE)
        sock.connect(address)
        return sock
    return socket.create_connection(address, DEADLINE)


def cut_off(address, begun):
    """Sends this and resets the connection (socket(7), SO_LINGER)."""
    with connect(address) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.sendall(begun)


def ask(door):
    """The server is there."""
    with connect(door["address"]) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: stress.example\r\nConnection: close\r\n\r\n")
        answer = sock.makefile("rb").readline()
        assert answer.startswith(b"HTTP/1.1 200 "), (door["name"], answer)
