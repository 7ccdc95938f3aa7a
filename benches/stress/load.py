"""An open-loop load that keeps every request's fate; a process of its own, so that nothing else delays it.

The first line of standard input is the plan, as JSON. `steady` on standard output says that every door answers; what
is counted begins there. A further line of input ends the load, and the outcome follows as JSON.

Requests begin when they are due, whatever has become of those before them. Each has its own target and its own content,
and is answered only by a 200 that repeats both. Times are those of CLOCK_MONOTONIC, which all processes share.
"""

import collections
import errno
import gc
import heapq
import json
import os
import random
import resource
import select
import socket
import sys
import time

# What may become of a request besides its answer.
REFUSED = "refused"
RESET_UNSENT = "reset before sending"
RESET = "reset after sending"
CLOSED = "closed without answer"
CUT = "cut off in the answer"
TIMEOUT = "timed out"
STATUS = "other status"
WRONG = "wrong answer"
FATES = (REFUSED, RESET_UNSENT, RESET, CLOSED, CUT, TIMEOUT, STATUS, WRONG)

STEADY_ANSWERS = 20
# Between the two halves of a content that is sent in halves.
HALVES_SECONDS = 0.03
# Failures that are told one by one; further ones are only counted.
MOST_TOLD = 2000


class Door:
    """A place to connect to, and how it answers."""

    def __init__(self, plan):
        self.name, self.address = plan["name"], plan["address"]
        self.waiting = {}
        self.last = (0.0, 0)
        self.clear()

    def clear(self):
        """What has been counted so far does not count."""
        self.answered = self.closing = self.closed_idle = 0
        self.fates = collections.Counter()
        self.stall = self.whole_stall = self.stalled_at = 0.0
        self.times = collections.defaultdict(list)

    def connect(self):
        """A socket that connects; an error if it is refused at once."""
        unix = isinstance(self.address, str)
        sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        sock.setblocking(False)
        try:
            if not unix:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(self.address if unix else tuple(self.address))
        except BlockingIOError as error:
            # connect(2): EAGAIN of a UNIX socket is a full queue; a TCP socket is on its way.
            if error.errno != errno.EINPROGRESS:
                sock.close()
                raise
        except OSError:
            sock.close()
            raise
        return sock

    def asked(self, request, now, waited):
        """From now on an answer is due."""
        self.waiting[request] = (now, waited)

    def answers(self, request, now, waited):
        """One has come: how long none had, while one was due."""
        oldest = next(iter(self.waiting.values()))
        del self.waiting[request]
        since, waited_before = max(self.last, oldest)
        # The load's own wait for a processor is not the server's.
        stall = now - since - (waited - waited_before) / 1e9
        if stall > self.stall:
            self.stall, self.stalled_at = stall, now
        self.whole_stall = max(self.whole_stall, now - since)
        self.last = (now, waited)

    def outcome(self):
        """What has been counted."""
        return {
            "requests": self.answered + sum(self.fates.values()),
            "answered": self.answered,
            # Of those on kept connections: which say that theirs ends.
            "closing": self.closing,
            "fates": dict(self.fates),
            "closed_idle": self.closed_idle,
            "stall_ms": self.stall * 1e3,
            "whole_stall_ms": self.whole_stall * 1e3,
            "stalled_at": self.stalled_at,
            "times_ms": self.times,
        }


class Stream:
    """Requests of one kind at one door."""

    def __init__(self, door, plan):
        self.door = door
        self.name, self.method, self.path = plan["name"], plan["method"], plan["path"]
        self.rate, self.size, self.halves = plan["rate"], plan["size"], plan["halves"]
        self.kept, self.connections = plan["kept"], plan["connections"]
        self.idle = collections.deque()


class Request:
    """One request, from when it is due to its end."""

    def __init__(self, stream, number, now):
        self.stream, self.begun, self.ready = stream, now, now
        self.sent = None
        self.target = f"{stream.path}?{number}"
        # No two contents are alike.
        self.content = (b"%d " % number * (stream.size // 2 + 1))[: stream.size]
        head = f"{stream.method} {self.target} HTTP/1.1\r\nHost: stress.example\r\n"
        if not stream.kept:
            head += "Connection: close\r\n"
        if stream.method == "POST":
            head += f"Content-Length: {stream.size}\r\n"
        self.unsent = head.encode() + b"\r\n"
        self.later = b""
        if stream.halves:
            self.unsent += self.content[: stream.size // 2]
            self.later = self.content[stream.size // 2 :]
        else:
            self.unsent += self.content

    def is_answered_by(self, content):
        """Whether this is the answer to this very request."""
        return content.startswith(f"{self.stream.method} {self.target}\n".encode()) and content.endswith(self.content)


class Connection:
    """A connection, with the request that is on it."""

    def __init__(self, stream, sock):
        self.stream, self.sock, self.request = stream, sock, None
        self.received = bytearray()
        self.used = False

    def is_over(self):
        """Whether the server has closed it, as a client can see before it sends."""
        try:
            self.sock.recv(1, socket.MSG_PEEK)
            return True
        except BlockingIOError:
            return False
        except OSError:
            return True


class Answer:
    """The head of an answer."""

    def __init__(self, head):
        lines = head.split(b"\r\n")
        self.status = int(lines[0].split(b" ")[1])
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            fields[name.strip().lower()] = value.strip().lower()
        self.length = int(fields[b"content-length"])
        self.closes = fields.get(b"connection") == b"close"


class Load:
    """The requests that are due, those on their way, and what became of the others."""

    def __init__(self, plan):
        self.doors = [Door(each) for each in plan["doors"]]
        self.streams = [Stream(door, each) for door in self.doors for each in plan["streams"]]
        self.timeout = plan["timeout"]
        self.random = random.Random(plan["seed"])
        self.poller = select.epoll()
        self.connections = {}
        self.due, self.later = [], collections.deque()
        self.outstanding = {}
        self.numbers = 0
        self.failures = []
        self.latest = 0.0
        self.schedstat = os.open("/proc/self/schedstat", os.O_RDONLY)
        self.steady = False

    def run(self):
        """The whole load; its outcome."""
        now = time.monotonic()
        for order, stream in enumerate(self.streams):
            for _ in range(stream.connections):
                if connection := self.open(stream, None):
                    stream.idle.append(connection)
            heapq.heappush(self.due, (now + self.random.random() / stream.rate, order))
        self.poller.register(sys.stdin.fileno(), select.EPOLLIN)
        ends = False
        while not ends:
            self.turn()
            ends = self.heard
            if not self.steady and all(door.answered >= STEADY_ANSWERS for door in self.doors):
                self.steady = True
                for door in self.doors:
                    door.clear()
                self.failures.clear()
                self.began = time.monotonic()
                print("steady", flush=True)
        over = time.monotonic()
        self.due.clear()
        while self.outstanding:
            self.turn()
        return {
            "seconds": over - self.began if self.steady else 0.0,
            "doors": {door.name: door.outcome() for door in self.doors},
            "failures": self.failures,
            "own_delay_ms": self.latest * 1e3,
        }

    def turn(self):
        """Waits for what comes next, and does it."""
        now = time.monotonic()
        next_due = self.due[0][0] if self.due else now + 0.05
        if self.later:
            next_due = min(next_due, self.later[0][0])
        self.heard = False
        events = self.poller.poll(max(0.0, min(next_due - now, 0.1)))
        now, waited = time.monotonic(), self.waited()
        for number, _ in events:
            if number == sys.stdin.fileno():
                self.heard = True
            elif connection := self.connections.get(number):
                self.attend(connection, now, waited)
        while self.later and self.later[0][0] <= now:
            self.send_rest(self.later.popleft()[1], now, waited)
        while self.due and self.due[0][0] <= now:
            planned, order = heapq.heappop(self.due)
            stream = self.streams[order]
            # Arrivals that know nothing of each other.
            heapq.heappush(self.due, (planned + self.random.expovariate(stream.rate), order))
            self.latest = max(self.latest, now - planned)
            self.begin(stream, now, waited)
        while self.outstanding:
            request, connection = next(iter(self.outstanding.items()))
            if now - request.begun <= self.timeout:
                break
            self.fail(connection, TIMEOUT, now)

    def waited(self):
        """Nanoseconds that this process has waited for a processor (proc_pid_schedstat(5))."""
        return int(os.pread(self.schedstat, 64, 0).split()[1])

    def open(self, stream, request):
        """A new connection; none if it is refused."""
        try:
            sock = stream.door.connect()
        except OSError as error:
            if request:
                self.end(request)
                self.tell(request, REFUSED, time.monotonic(), repr(error))
            return None
        connection = Connection(stream, sock)
        self.connections[sock.fileno()] = connection
        self.poller.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)
        return connection

    def begin(self, stream, now, waited):
        """A request is due: on the connection that was idle longest, else on a new one."""
        self.numbers += 1
        request = Request(stream, self.numbers, now)
        self.outstanding[request] = None
        connection = None
        while stream.idle and not connection:
            connection = stream.idle.popleft()
            if connection.is_over():
                self.lose_idle(connection)
                connection = None
        connection = connection or self.open(stream, request)
        if connection:
            if not request.later:
                stream.door.asked(request, now, waited)
            self.carry(connection, request, now)

    def carry(self, connection, request, now):
        """Puts a request on a connection."""
        connection.request = request
        self.outstanding[request] = connection
        self.send(connection, now)

    def send(self, connection, now):
        """Sends as much as the socket takes."""
        request = connection.request
        while request.unsent:
            try:
                taken = connection.sock.send(request.unsent)
            except BlockingIOError:
                return
            except OSError as error:
                self.broken(connection, error, now)
                return
            request.sent = request.sent or now
            request.unsent = request.unsent[taken:]
            if not request.unsent and request.later:
                self.later.append((now + HALVES_SECONDS, request))

    def send_rest(self, request, now, waited):
        """The second half of a content."""
        connection = self.outstanding.get(request)
        if connection:
            request.unsent, request.later, request.ready = request.later, b"", now
            request.stream.door.asked(request, now, waited)
            self.send(connection, now)

    def attend(self, connection, now, waited):
        """Something has happened to a connection."""
        over = self.receive(connection)
        if connection.request is None:
            if over:
                self.lose_idle(connection)
            return
        if not connection.received and not over and connection.request.unsent:
            self.send(connection, now)
            return
        answer = self.whole_answer(connection, now)
        if answer:
            self.answered(connection, answer, now, waited)
        elif over and connection.request:
            self.broken(connection, over, now)

    def receive(self, connection):
        """Reads what is there; how the connection has ended, if it has."""
        while True:
            try:
                piece = connection.sock.recv(1 << 18)
            except BlockingIOError:
                return None
            except OSError as error:
                return error
            if not piece:
                return EOFError()
            connection.received += piece

    def whole_answer(self, connection, now):
        """The answer and its content, once all of it is there."""
        end = connection.received.find(b"\r\n\r\n")
        if end < 0:
            return None
        try:
            answer = Answer(bytes(connection.received[:end]))
        except (ValueError, KeyError, IndexError):
            self.fail(connection, WRONG, now, bytes(connection.received[:200]).decode("latin-1"))
            return None
        if len(connection.received) < end + 4 + answer.length:
            return None
        answer.content = bytes(connection.received[end + 4 :])
        return answer

    def answered(self, connection, answer, now, waited):
        """A whole answer has come."""
        request = connection.request
        if answer.status != 200:
            self.fail(connection, STATUS, now, answer.status)
        elif not request.is_answered_by(answer.content) or request.later:
            self.fail(connection, WRONG, now, answer.content[:200].decode("latin-1"))
        else:
            door = request.stream.door
            door.answered += 1
            door.closing += request.stream.kept and answer.closes
            door.answers(request, now, waited)
            door.times[request.stream.name].append(round((now - request.ready) * 1e3, 3))
            self.end(request)
            connection.request = None
            connection.used = True
            connection.received.clear()
            if request.stream.kept and not answer.closes:
                request.stream.idle.append(connection)
            else:
                self.close(connection)

    def broken(self, connection, error, now):
        """A connection has ended with a request on it."""
        request = connection.request
        refused = isinstance(error, ConnectionRefusedError)
        if request.sent is None and connection.used:
            # It was closed while it was idle, and nothing of this request was sent: any client asks again.
            connection.stream.door.closed_idle += 1
            self.close(connection)
            fresh = self.open(request.stream, request)
            if fresh:
                self.carry(fresh, request, now)
        elif refused:
            self.fail(connection, REFUSED, now, repr(error))
        elif connection.received:
            self.fail(connection, CUT, now, repr(error))
        elif request.sent is None:
            self.fail(connection, RESET_UNSENT, now, repr(error))
        else:
            self.fail(connection, CLOSED if isinstance(error, EOFError) else RESET, now, repr(error))

    def fail(self, connection, fate, now, detail=None):
        """A request will not be answered."""
        request = connection.request
        self.end(request)
        request.stream.door.waiting.pop(request, None)
        self.tell(request, fate, now, detail, "kept" if connection.used else "new")
        connection.request = None
        self.close(connection)

    def tell(self, request, fate, now, detail, connection="none"):
        """Counts and keeps a failure."""
        door = request.stream.door
        door.waiting.pop(request, None)
        door.fates[fate] += 1
        if len(self.failures) < MOST_TOLD:
            told = {"door": door.name, "stream": request.stream.name, "fate": fate, "detail": detail}
            times = {"begun": request.begun, "sent": request.sent, "ended": now}
            self.failures.append({**told, "connection": connection, **times})

    def end(self, request):
        """Nothing more is expected of a request."""
        self.outstanding.pop(request, None)

    def lose_idle(self, connection):
        """The server has closed a connection that waited for its next request."""
        connection.stream.door.closed_idle += 1
        if connection in connection.stream.idle:
            connection.stream.idle.remove(connection)
        self.close(connection)

    def close(self, connection):
        """Forgets a connection."""
        self.connections.pop(connection.sock.fileno(), None)
        connection.sock.close()


def main():
    """Reads the plan, plays it, writes the outcome."""
    plan = json.loads(sys.stdin.buffer.raw.readline())
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # A collection would be a pause of the load's own.
    gc.disable()
    print(json.dumps(Load(plan).run()))


if __name__ == "__main__":
    main()
