"""What is done to a server under load. Each function goes on until its time is over, but does it at least once."""

import os
import re
import select
import signal
import time

from support.server import DEADLINE

# Between two rounds, so that each meets a server at rest.
PAUSE_SECONDS = 0.2
# A worker that dies sooner after its start counts as one that does not start well, and its successor waits.
STABLE_SECONDS = 2.0


class Disturbed:
    """How often something was done, to whom, and what did not go as it should."""

    def __init__(self, seconds):
        self.until = time.monotonic() + seconds
        self.times, self.kills, self.trouble = 0, [], []

    def rounds(self):
        """One round after the other until the time is over."""
        while not self.times or time.monotonic() < self.until:
            yield self.times
            self.times += 1
            time.sleep(PAUSE_SECONDS)

    def expect(self, what, got, wanted):
        """Notes what is otherwise than it should be."""
        if got != wanted:
            self.trouble.append(f"{what}: {got!r} instead of {wanted!r}")


def nothing(_site, disturbed):
    """The same load, undisturbed."""
    time.sleep(max(0.0, disturbed.until - time.monotonic()))


def reload_by_signal(site, disturbed):
    """HUP, one after the other."""
    for _ in disturbed.rounds():
        site.reload()


def reload_by_command(site, disturbed):
    """`ctl reload --wait`"""
    for _ in disturbed.rounds():
        code, text = site.ctl("reload", "--wait")
        disturbed.expect("ctl reload --wait", (code, text.startswith("generation ")), (0, True))


def many_reloads(site, disturbed):
    """Several HUP at once."""
    for _ in disturbed.rounds():
        since = site.log.position()
        for _ in range(5):
            site.signal(signal.SIGHUP)
        site.log.wait_for(r"reload done: generation \d+", since)


def kill(site, disturbed):
    """kill -9 of one worker after the other."""
    end_workers(site, disturbed, signal.SIGKILL)


def segfault(site, disturbed):
    """SIGSEGV, as from a bug in C code."""
    end_workers(site, disturbed, signal.SIGSEGV)


def end_workers(site, disturbed, number):
    """Kills workers in turns, and notes from when to when each one died."""
    for index in disturbed.rounds():
        workers = site.workers()
        pid = workers[sorted(workers)[index % site.count]]
        since = site.log.position()
        watched = os.pidfd_open(pid)
        try:
            killed = time.monotonic()
            os.kill(pid, number)
            # Rust's handler of SIGSEGV returns to repeat the access at fault (std, stack overflow). There is none when
            # the signal was sent; the second one meets the default.
            if not select.select([watched], [], [], 0.005)[0]:
                os.kill(pid, number)
            if not select.select([watched], [], [], DEADLINE)[0]:
                disturbed.trouble.append(f"worker {pid} does not die")
            disturbed.kills.append((killed, time.monotonic()))
        finally:
            os.close(watched)
        site.log.wait_for("worker ready", since)
        # So that each has served long enough when its turn comes again.
        time.sleep(STABLE_SECONDS / site.count)


def terminate_workers(site, disturbed):
    """TERM to a worker: its successor comes first."""
    for index in disturbed.rounds():
        workers = site.workers()
        since = site.log.position()
        os.kill(workers[sorted(workers)[index % site.count]], signal.SIGTERM)
        site.log.wait_for("worker ready", since)
        site.log.wait_for("worker left", since)


def recycle(site, disturbed):
    """`max_requests`, reached again and again; set by a reload before, so that one is in the count."""
    site.configure(max_requests=disturbed.recycle_after)
    since = site.log.position()
    site.reload()
    time.sleep(max(0.0, disturbed.until - time.monotonic()))
    site.log.wait_for("worker left", since, count=site.count + 1)
    disturbed.times = len(re.findall("worker retires", "\n".join(site.log.lines[since:])))
    site.configure()
    site.reload()


def scale_by_signal(site, disturbed):
    """TTIN, TTOU"""
    for _ in disturbed.rounds():
        since = site.log.position()
        site.signal(signal.SIGTTIN)
        site.log.wait_for(rf"worker ready.*slot={site.count + 1}\b", since)
        time.sleep(PAUSE_SECONDS)
        site.signal(signal.SIGTTOU)
        site.log.wait_for(rf"worker left.*slot={site.count + 1}\b", since)


def scale_by_command(site, disturbed):
    """`ctl scale`, up by two and back."""
    for _ in disturbed.rounds():
        since = site.log.position()
        disturbed.expect("ctl scale +2", site.ctl("scale", "+2")[0], 0)
        time.sleep(PAUSE_SECONDS)
        disturbed.expect("ctl scale -2", site.ctl("scale", "-2")[0], 0)
        site.log.wait_for("worker left", since, count=2)


def upgrade_by_signal(site, disturbed):
    """USR2: the program, here the same one, takes its own place."""
    for _ in disturbed.rounds():
        since = site.log.position()
        site.signal(signal.SIGUSR2)
        site.log.wait_for(r"upgrade done: generation \d+", since)


def upgrade_by_command(site, disturbed):
    """`ctl upgrade`"""
    for _ in disturbed.rounds():
        disturbed.expect("ctl upgrade --wait", site.ctl("upgrade", "--wait")[0], 0)


def broken_configuration(site, disturbed):
    """A reload with a configuration that cannot be read, then with one that can."""
    for _ in disturbed.rounds():
        site.configure(more="\n[workers\n")
        site.reload("reload failed")
        disturbed.expect("ctl reload --wait of a broken configuration", site.ctl("reload", "--wait")[0], 1)
        site.configure()
        site.reload()


def broken_code(site, disturbed):
    """A reload with code that does not load, then with code that does."""
    for _ in disturbed.rounds():
        site.write_app(more="raise RuntimeError('broken on purpose')\n")
        site.reload("reload failed")
        disturbed.expect("ctl reload --wait of broken code", site.ctl("reload", "--wait")[0], 1)
        site.write_app()
        site.reload()


# By the words in the table; those for Python code alone are left out for a native app.
DISTURBANCES = {
    "undisturbed": nothing,
    "reload: HUP": reload_by_signal,
    "reload: ctl reload --wait": reload_by_command,
    "reload: 5 HUP at once": many_reloads,
    "crash: kill -9": kill,
    "crash: SIGSEGV": segfault,
    "recycle: TERM to a worker": terminate_workers,
    "recycle: max_requests": recycle,
    "scale: TTIN, TTOU": scale_by_signal,
    "scale: ctl scale": scale_by_command,
    "upgrade: USR2": upgrade_by_signal,
    "upgrade: ctl upgrade": upgrade_by_command,
    "break: configuration, HUP": broken_configuration,
    "break: code, HUP": broken_code,
}
OF_PYTHON = (broken_code,)


def chosen(app, wanted):
    """Those that an app can have, of which the name begins as one that is wanted; without a wish, all."""
    return {
        name: function
        for name, function in DISTURBANCES.items()
        if (app != "native" or function not in OF_PYTHON)
        and (not wanted or name == "undisturbed" or any(name.startswith(each) for each in wanted))
    }
