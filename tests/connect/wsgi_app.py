"""A WSGI app without requirements, which answers as the path says: rightly, wrongly, or not at all."""

import io
import os
import signal
import sqlite3
import sys
import threading
import time

PLAIN = [("Content-Type", "text/plain")]
THREAD = threading.current_thread()
database = sqlite3.connect(":memory:")
local = threading.local()
local.greeting = "Hello"
interrupted = []
signal.signal(signal.SIGUSR2, lambda *_: interrupted.append(1))


def app(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)


def answers(body, status="200 OK", headers=()):
    """A WSGI app that answers so."""

    def answer(environ, start_response):
        start_response(status, [*PLAIN, *headers])
        return body() if callable(body) else body

    return answer


# What is right.


def thread(environ, start_response):
    """The thread of the import answers: pallets/flask#3141."""
    interrupted.clear()
    os.kill(os.getpid(), signal.SIGUSR2)
    database.execute("SELECT 1")
    same = THREAD is threading.current_thread() is threading.main_thread()
    start_response("200 OK", PLAIN)
    return [f"{same} {local.greeting} {interrupted}".encode()]


def environ(environ, start_response):
    start_response("200 OK", PLAIN)
    threads, processes = environ["wsgi.multithread"], environ["wsgi.multiprocess"]
    server = environ["SERVER_NAME"], environ["SERVER_PORT"].isdigit()
    own = sorted(name for name in environ if name.startswith("HTTP_CONNECT"))
    told = [threads, processes, *server, own, sys.argv[1:], environ["wsgi.input"].read()]
    return [repr(told).encode()]


def reads(environ, start_response):
    """In each way that a file has."""
    body = environ["wsgi.input"]
    start_response("200 OK", PLAIN)
    return [
        repr([body.readline(), body.read(2), next(body), body.readlines(), body.read()]).encode()
    ]


def unread(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"x" * 2**24]


def echoes(environ, start_response):
    """Reads while it answers."""
    start_response("200 OK", PLAIN)
    return iter(lambda: environ["wsgi.input"].read(2**16), b"")


def written(environ, start_response):
    write = start_response("200 OK", PLAIN)
    write(b"written, ")
    return [b"returned"]


def replaced(environ, start_response):
    start_response("200 OK", [("X-First", "1")])
    try:
        raise LookupError
    except LookupError:
        start_response("404 Not Found", PLAIN, sys.exc_info())
    return [b"replaced"]


def file(environ, start_response):
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](io.BytesIO(b"of a file"))


def generator(environ, start_response):
    yield b""
    start_response("200 OK", PLAIN)
    yield b"one, "
    yield b""
    yield b"two"


def endless():
    while True:
        yield b"x"


class Instance:
    def __call__(self, environ, start_response):
        start_response("299 Fine", PLAIN)
        return (b"instance",)


class Class:
    def __init__(self, environ, start_response):
        start_response("200 OK", PLAIN)

    def __iter__(self):
        yield b"class"


class Sequence:
    def __getitem__(self, number):
        return [b"old ", b"sequence"][number]


instance = Instance()
sequence = answers(Sequence())
bytes_ = answers(b"as bjoern takes it")
hop_by_hop = answers(
    [b"plain"],
    headers=[
        ("Connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("TRANSFER-ENCODING", "chunked"),
        ("Upgrade", "h2c"),
        ("Proxy-Authenticate", "Basic"),
        ("Proxy-Connection", "close"),
        ("Trailer", "X-T"),
        ("TE", "trailers"),
        ("X-Kept", "\xe9"),
    ],
)
no_content = answers([], "204 No Content", [("Content-Length", "5")])
not_modified = answers([b"unwanted"], "304 Not Modified")
head = answers(endless, headers=[("Content-Length", "7")])
empty = answers([])
reasonless = answers([b"reasonless"], "200")

# What is wrong.

text_body = answers("text")
text_later = answers([b"bytes", "text"])
number_body = answers(7)
bad_status = answers([b""], 200)
early_status = answers([b""], "101 Switching Protocols")
newline_status = answers([b""], "200 OK\r\nX-Injected: 1")
newline_header = answers([b""], headers=[("X-A", "1\r\nX-Injected: 1")])
number_header = answers([b""], headers=[("X-A", 1)])
wide_header = answers([b""], headers=[("X-A", "\u20ac")])
spaced_header = answers([b""], headers=[("X A", "1")])
bad_length = answers([b""], headers=[("Content-Length", "-1")])
nothing_sent = answers([], headers=[("Content-Length", "5")])
too_short = answers([b"abc"], headers=[("Content-Length", "5")])
too_long = answers([b"abc", b"def"], headers=[("Content-Length", "5")])


def no_start(environ, start_response):
    return [b"body"]


def no_answer(environ, start_response):
    start_response("200 OK", PLAIN)


def twice(environ, start_response):
    start_response("200 OK", PLAIN)
    start_response("200 OK", PLAIN)
    return [b""]


def raises(environ, start_response):
    raise LookupError("no greeting")


def raises_later(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"first"
    raise LookupError("no more greetings")


class Closing:
    """A body that does something when it is closed."""

    def __init__(self, close):
        self.close = close

    def __iter__(self):
        return iter([b"body"])


def fail():
    raise LookupError("not closed")


raises_in_close = answers(Closing(fail))

# What ends the process.


def exits(environ, start_response):
    sys.exit()


def exits_told(environ, start_response):
    sys.exit("no database")


def exits_hard(environ, start_response):
    os._exit(3)


def interrupts(environ, start_response):
    raise KeyboardInterrupt


def generator_exit(environ, start_response):
    raise GeneratorExit


def own_exception(environ, start_response):
    raise type("Own", (BaseException,), {})("of its own")


def exits_in_body(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"first"
    sys.exit(4)


exits_in_close = answers(Closing(lambda: sys.exit(5)))


def exits_with_threads(environ, start_response):
    threading.Thread(target=time.sleep, args=[600]).start()
    sys.exit(6)


def exits_in_thread(environ, start_response):
    """What ends the process here; sys.exit would end the thread only."""
    thread = threading.Thread(target=os._exit, args=[7])
    thread.start()
    thread.join()


def stops_itself(environ, start_response):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(600)


def aborts(environ, start_response):
    os.abort()
