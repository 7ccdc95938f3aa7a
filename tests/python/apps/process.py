"""An app that does what Python programs do: signals, forks, threads, exit handlers, output."""

import atexit
import concurrent.futures
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import gates

SEEN = []


def answer(start_response, value):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(value).encode()]


def on_signal(number, _frame):
    SEEN.append(number)
    gates.say(f"signal {number}")


def double(number):
    return 2 * number


def handlers(environ, start_response):
    """Sets the handlers of the signals that the query names."""
    for name in environ["QUERY_STRING"].split(","):
        signal.signal(getattr(signal, name), on_signal)
    return answer(start_response, os.getpid())


def ignore(environ, start_response):
    """Has signals that are the server's end the process, or be ignored."""
    for name, action in (("SIGTERM", signal.SIG_DFL), ("SIGHUP", signal.SIG_DFL), ("SIGUSR1", signal.SIG_DFL), ("SIGINT", signal.SIG_IGN)):
        signal.signal(getattr(signal, name), action)
    return answer(start_response, os.getpid())


def failing_handler(environ, start_response):
    def fail(_number, _frame):
        raise RuntimeError("fails on purpose in a handler")

    signal.signal(signal.SIGWINCH, fail)
    return answer(start_response, os.getpid())


def alarm(environ, start_response):
    signal.signal(signal.SIGALRM, on_signal)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    return answer(start_response, os.getpid())


def pool(environ, start_response):
    """A pool of processes, begun in the way that the query names."""
    context = multiprocessing.get_context(environ["QUERY_STRING"])
    with context.Pool(2) as processes:
        return answer(start_response, processes.map(double, [1, 2, 3]))


def run(environ, start_response):
    ran = subprocess.run([sys.executable, "-c", "print('from a child')"], capture_output=True, text=True, check=True)
    return answer(start_response, ran.stdout)


def executor(environ, start_response):
    with concurrent.futures.ThreadPoolExecutor() as threads:
        return answer(start_response, list(threads.map(double, [1, 2, 3])))


def forks(environ, start_response):
    """A child that goes on after the answer, until the test lets it end."""
    child = os.fork()
    if child == 0:
        gates.say("forked")
        gates.wait()
        gates.say("let go")
        os._exit(0)
    return answer(start_response, child)


def forks_and_returns(environ, start_response):
    """The child comes back to the server as if it were the worker."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return answer(start_response, os.getpid())


def ends_children(environ, start_response):
    """How children end that are sent the signals of the query as soon as they have been forked."""
    ends = []
    for name in environ["QUERY_STRING"].split(","):
        child = os.fork()
        if child == 0:
            while True:
                signal.pause()
        os.kill(child, getattr(signal, name))
        ends.append(os.WTERMSIG(os.waitpid(child, 0)[1]))
    return answer(start_response, ends)


def forks_twice(environ, start_response):
    """Whether a child's child has the descriptors that the child has opened."""
    child = os.fork()
    if child == 0:
        pipes = [os.pipe() for _ in range(8)]
        grandchild = os.fork()
        if grandchild == 0:
            try:
                for descriptor in sum(pipes, ()):
                    os.fstat(descriptor)
            except OSError:
                os._exit(1)
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
    return answer(start_response, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def main(environ, start_response):
    return answer(start_response, {"argv": sys.argv, "main": sys.modules["__main__"].__name__, "pid": os.getpid()})


def prints(environ, start_response):
    print("to standard output")
    print("to standard error", file=sys.stderr)
    sys.stdout.write("without an end")
    return answer(start_response, os.getpid())


def leaves_threads(environ, start_response):
    """A thread that ends when the test wants, and one that does not."""
    threading.Thread(target=lambda: (gates.wait(), gates.say("thread has ended")), name="waits").start()
    return answer(start_response, os.getpid())


def stuck_thread(environ, start_response):
    threading.Thread(target=threading.Event().wait, name="never ends").start()
    return answer(start_response, os.getpid())


def exit_handler(environ, start_response):
    atexit.register(lambda: gates.say("exit handler"))
    return answer(start_response, os.getpid())


def thread_callbacks(environ, start_response):
    """As concurrent.futures and other libraries have theirs; the last one comes first, and before `atexit`'s."""
    threading._register_atexit(lambda: gates.say("last"))
    threading._register_atexit(lambda: gates.say("first"))
    return answer(start_response, os.getpid())


def no_more_threads(environ, start_response):
    """As where a limit of processes is reached."""
    atexit.register(lambda: gates.say("exit handler"))
    threading._register_atexit(lambda: None)
    threading.Thread.start = start_nothing
    return answer(start_response, os.getpid())


def start_nothing(thread):
    raise RuntimeError("can't start new thread")


def application(environ, start_response):
    """The function that the path names."""
    return globals()[environ["PATH_INFO"].lstrip("/") or "main"](environ, start_response)
