"""A systemd of its own, as process 1 of private namespaces over this machine's files.

Nothing of it is left behind: what it writes is in memory, its network has a loopback interface only, and it ends with its
first process. Needs root and a version 2 cgroup hierarchy.
"""

import contextlib
import ctypes
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import uuid
from pathlib import Path

import pytest

from support.server import DEADLINE, Log, clean_environment

SYSTEMD = Path("/lib/systemd/systemd")
TOOLS = ("unshare", "nsenter", "ip", "systemctl", "journalctl", "systemd-analyze")

# In the new namespaces, as root: an overlay of / whose upper layer is in memory becomes the root directory. pivot_root
# instead of chroot, since the kernel makes no user namespace inside a chroot (unshare(2), EPERM). Without the units of the
# machine below; device nodes are bound, as overlay files they would be dead.
BECOME_SYSTEMD = r"""
set -eu
base=$1
mount -t tmpfs -o mode=755 memory "$base/tree"
mkdir "$base/tree/upper" "$base/tree/work" "$base/tree/root"
mount -t overlay -o "lowerdir=/,upperdir=$base/tree/upper,workdir=$base/tree/work" overlay "$base/tree/root"
cd "$base/tree/root"
find etc/systemd/system -mindepth 1 -delete
: > etc/fstab
echo machine > etc/hostname
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 devices dev
for node in null zero full random urandom tty; do
  touch "dev/$node"
  mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 shared dev/shm
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 temporary tmp
mkdir run/outside
mount --bind "$base/outside" run/outside
ip link set lo up
pivot_root . .
umount -l .
exec env -i container=test NOTIFY_SOCKET=/run/outside/notify PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --show-status=0 --log-target=journal --unit=basic.target
"""


def require():
    """Skips where a systemd cannot be booted; on Debian as root that is a failure."""
    missing = [tool for tool in TOOLS if not shutil.which(tool)] + [str(SYSTEMD)] * (not SYSTEMD.exists())
    if os.geteuid() != 0:
        pytest.skip("booting a systemd needs root")
    if not missing and hierarchy():
        return
    reason = f"missing: {', '.join(missing)}" if missing else "no cgroup2 file system is mounted"
    if Path("/etc/debian_version").exists():
        pytest.fail(f"no systemd can be booted: {reason}; `make test` installs what it needs")
    pytest.skip(reason)


def hierarchy():
    """Where cgroups of version 2 are mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


class Machine:
    """A booted systemd."""

    def __init__(self):
        self.base = Path(tempfile.mkdtemp(prefix="ferricorn-machine-"))
        (self.base / "tree").mkdir()
        (self.base / "outside").mkdir()
        self.cgroup = hierarchy() / f"ferricorn-test-{uuid.uuid4().hex[:8]}"
        self.cgroup.mkdir()
        self.pid = None
        ears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ears.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        ears.settimeout(DEADLINE)
        ears.bind(str(self.base / "outside" / "notify"))
        # Its own cgroup first: the cgroup namespace begins where its maker is.
        enter = f"echo $$ > {self.cgroup}/cgroup.procs; exec \"$@\""
        spaces = "--mount --uts --ipc --net --pid --cgroup --fork --kill-child=KILL --propagation private"
        self.process = subprocess.Popen(
            ["sh", "-c", enter, "sh", "unshare", *spaces.split(), "bash", "-c", BECOME_SYSTEMD, "bash", self.base],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.output = Log(self.process.stdout)
        try:
            self._wait_until_up(ears)
        except BaseException:
            self.close()
            raise
        finally:
            ears.close()

    def _wait_until_up(self, ears):
        """systemd as process 1 says READY=1 like any service; the kernel says which process that is here."""
        while True:
            try:
                message, control, _, _ = ears.recvmsg(4096, socket.CMSG_SPACE(12))
            except TimeoutError:
                raise AssertionError(f"systemd did not come up:\n{self.output.text()}") from None
            for level, kind, data in control:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    self.pid = struct.unpack("3i", data[:12])[0]
            if b"READY=1" in message.split(b"\n"):
                return

    def path(self, path):
        """A path of the machine, as seen from outside."""
        return Path(f"/proc/{self.pid}/root") / str(path).lstrip("/")

    def command(self, *words, directory="/"):
        """A command line that runs inside."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        return [*enter, "--", "sh", "-c", 'cd "$0" && exec "$@"', directory, *map(str, words)]

    def run(self, *words, directory="/", check=True):
        """Runs a command inside; what it has printed."""
        result = subprocess.run(
            self.command(*words, directory=directory),
            env=clean_environment(PATH="/usr/sbin:/usr/bin:/sbin:/bin", SYSTEMD_PAGER="", SYSTEMD_COLORS="0"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if check and result.returncode:
            raise AssertionError(f"{words}: exit code {result.returncode}\n{result.stdout}\n{result.stderr}")
        return result

    def connect(self, address):
        """A connection to a UNIX path or a port of the loopback interface inside."""
        if isinstance(address, str):
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(DEADLINE)
            try:
                connection.connect(str(self.path(address)))
            except BaseException:
                connection.close()
                raise
            return connection
        return self._within(lambda: socket.create_connection(("127.0.0.1", address), timeout=DEADLINE))

    def _within(self, make):
        """What `make` gives in the machine's network: setns(2) is for one thread, and this one ends after it."""
        outcome = []

        def enter():
            try:
                with open(f"/proc/{self.pid}/ns/net") as space:
                    if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), 0):
                        raise OSError(ctypes.get_errno(), "setns")
                outcome.append((make(), None))
            except OSError as error:
                outcome.append((None, error))

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join(DEADLINE)
        made, error = outcome[0]
        if error:
            raise error
        return made

    def close(self):
        """Ends it; its kernel namespaces and their file systems go with its processes."""
        for pid in filter(None, (self.pid, self.process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(DEADLINE)
        self.output.reader.join(DEADLINE)
        self._wait_until_empty()
        for directory, _, _ in os.walk(self.cgroup, topdown=False):
            os.rmdir(directory)
        shutil.rmtree(self.base)

    def _wait_until_empty(self):
        """Killed processes are gone a little later; the kernel says when (cgroups(7), cgroup.events)."""
        with open(self.cgroup / "cgroup.events") as events:
            changes = select.poll()
            changes.register(events, select.POLLPRI)
            while "populated 0" not in events.read():
                assert changes.poll(DEADLINE * 1000), f"processes are left in {self.cgroup}"
                events.seek(0)


class Service:
    """A unit of a machine; what `Client` and `Load` connect to."""

    def __init__(self, machine, name, address):
        self.machine, self.name, self.address = machine, name, address
        self.followers = []
        self.log = self.follow()

    def connect(self):
        """A new connection."""
        return self.machine.connect(self.address)

    def systemctl(self, verb, *more, check=True):
        """`systemctl VERB` for this unit."""
        return self.machine.run("systemctl", verb, f"{self.name}.service", *more, check=check)

    def show(self, name):
        """A property of the unit."""
        return self.systemctl("show", f"--property={name}", "--value").stdout.strip()

    def follow(self):
        """The unit's journal from now on, systemd's own lines about it included."""
        words = ("journalctl", "--follow", "--lines=0", "--output=cat", f"--unit={self.name}")
        follower = subprocess.Popen(
            self.machine.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.followers.append(follower)
        return Log(follower.stdout)

    def entries(self, *matches):
        """Entries of the journal, as objects."""
        words = ("journalctl", "--output=json", f"--unit={self.name}", *matches)
        return [json.loads(line) for line in self.machine.run(*words).stdout.splitlines()]

    def workers(self):
        """Processes of the unit that have said that they serve, by their numbers inside the machine."""
        group = self.show("ControlGroup")
        listed = self.machine.run("cat", f"/sys/fs/cgroup{group}/cgroup.procs").stdout.split()
        # Its lines may come after systemd knows.
        self.log.wait_for(r"ready: \d+ workers?")
        ready = re.findall(r"worker ready.*? pid=(\d+)", self.log.text())
        return sorted(set(map(int, listed)) & set(map(int, ready)))

    def close(self):
        """Stops it and forgets it."""
        self.machine.run("systemctl", "stop", f"{self.name}.socket", f"{self.name}.service", check=False)
        self.machine.run("systemctl", "reset-failed", check=False)
        for follower in self.followers:
            follower.kill()
            follower.wait(DEADLINE)
