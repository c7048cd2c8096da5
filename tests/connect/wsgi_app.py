"""A WSGI app without requirements, which answers as the path says: rightly, wrongly, or not at all."""

import io
import sys
import threading
import time

PLAIN = [("Content-Type", "text/plain")]
THREAD = threading.current_thread()


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
    same = THREAD is threading.current_thread() is threading.main_thread()
    start_response("200 OK", PLAIN)
    return [str(same).encode()]


def file(environ, start_response):
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](io.BytesIO(b"of a file"))


def endless():
    while True:
        yield b"x"


bytes_ = answers(b"as bjoern takes it")
HOP_BY_HOP = "Connection", "TRANSFER-ENCODING", "Upgrade", "Proxy-Connection", "Trailer", "TE"
hop_by_hop = answers(
    [b"plain"], headers=[*((name, "a") for name in HOP_BY_HOP), ("X-Kept", "\xe9")]
)
no_content = answers([], "204 No Content", [("Content-Length", "5")])
not_modified = answers([b"unwanted"], "304 Not Modified")
head = answers(endless, headers=[("Content-Length", "7")])
empty = answers([])

# What is wrong.

text_body = answers("text")
newline_header = answers([b""], headers=[("X-A", "1\r\nX-Injected: 1")])
wide_header = answers([b""], headers=[("X-A", "\u20ac")])
early_status = answers([b""], "101 Switching Protocols")
too_short = answers([b"abc"], headers=[("Content-Length", "5")])


def raises_later(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"first"
    raise LookupError("no more greetings")


# What ends the process.


def exception(environ, start_response):
    raise type("Stop", (BaseException,), {})("no greeting")


def exits_later(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"first"
    sys.exit("no more greetings")


def exits(environ, start_response):
    threading.Thread(target=time.sleep, args=[600]).start()
    sys.exit("no database")
