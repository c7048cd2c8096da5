"""waitress in front, with limits on what a client may take: time, connections and disk space."""

import contextlib
import json
import logging
import resource
import time
from collections.abc import Iterable
from socket import socket
from typing import TYPE_CHECKING

from waitress.adjustments import Adjustments
from waitress.buffers import OverflowableBuffer
from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.utilities import BadRequest, Error

from .errors import StorageFull, answer_to, http_error, one_line, quoted, record
from .proxy import PASSED_ON

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)
THREADS = PASSED_ON + 50  # for the API and the pages, when all requests to apps hang
HEADER_SECONDS = 20  # for the first line and the headers
BODY_SECONDS = 600  # for the whole request
IDLE_SECONDS = 60  # between two bytes, and before the next request
NO_HTTP = "This is not an HTTP request. The URL of this server starts with http://, not https://."


class Refusal(Error):
    """What waitress itself answers: one line, or Connect's JSON to the API's clients."""

    def __init__(self, error: Error, path: str) -> None:
        super().__init__(error.body)
        self.code, self.reason = error.code, error.reason
        self.api = path.startswith("/__api__/")

    def to_response(self, ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        kind, body = "text/plain; charset=utf-8", self.body
        if self.api:
            kind, body = (
                "application/json",
                json.dumps(record(1 if self.code >= 500 else 2, self.body)),
            )
        return f"{self.code} {self.reason}", [("Content-Type", kind)], f"{body}\n".encode()


class NoSpace(Error):
    code, reason = StorageFull.code, "Insufficient Storage"


class Body(OverflowableBuffer):
    """A request's body; when there is no space for it, it is read to its end and dropped."""

    full = False

    def append(self, data: bytes) -> None:
        if self.full:
            return
        try:
            super().append(data)
        except OSError:
            self.full = True
            self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # it writes what is left
            super().close()


class Parser(HTTPRequestParser):
    """A request as it comes in."""

    def __init__(self, adjustments: Adjustments) -> None:
        super().__init__(adjustments)
        self.began = time.time()

    def received(self, data: bytes) -> int:
        start = (self.header_plus + data[:9]).lstrip(b"\r\n")[:1]
        if self.body_rcv is None and start and not start.isalpha():  # a TLS hello, for one
            self.parse_header(b"GET / HTTP/1.0\r\n")
            used, self.error, self.completed = len(data), BadRequest(NO_HTTP), True
        else:
            used = super().received(data)
        if self.completed and self.body_rcv is not None and self.body_rcv.getbuf().full:
            self.error = NoSpace(StorageFull.description)
        if self.error:
            self.error = Refusal(self.error, getattr(self, "path", ""))
        return used

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.body_rcv is None:
            self.expect_continue = False  # else it waits for a body
        else:
            self.body_rcv.buf = Body(self.adj.inbuf_overflow)


class Channel(HTTPChannel):
    """A connection. Beyond the limit, a new one takes the place of the one that is idle longest."""

    parser_class = Parser

    def __init__(self, server: "Listener", *arguments, **options) -> None:
        super().__init__(server, *arguments, **options)
        channels = list(server.active_channels.values())
        if len(channels) > server.most:
            idle = [each for each in channels if not each.requests]
            min(idle, key=lambda each: each.last_activity).handle_close()

    def is_stuck(self, now: float) -> bool:
        """Whether the client sends too slowly, or does not read."""
        if self.requests and not self.total_outbufs_len:
            return False  # the client waits for an answer
        request = None if self.requests else self.request
        most = BODY_SECONDS if request and request.headers_finished else HEADER_SECONDS
        late = request is not None and now - request.began > most
        return late or now - self.last_activity > IDLE_SECONDS


def guarded(app: "WSGIApplication") -> "WSGIApplication":
    """Return a WSGI app that answers an exception of another, and logs it in one line."""

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        try:
            return app(environ, start_response)
        except ClientDisconnected:  # for waitress
            raise
        except Exception as exception:
            path = environ["PATH_INFO"]
            method, told = environ["REQUEST_METHOD"], one_line(exception)
            logger.error("%s %s: %s", method, quoted(path), told)
            return answer_to(http_error(exception), path)(environ, start_response)

    return answer


class Listener(TcpWSGIServer):
    """Serves a WSGI app on a socket that listens."""

    channel_class = Channel

    def __init__(self, app: "WSGIApplication", listener: socket, sockets: dict) -> None:
        """sockets: where it keeps what it listens to, by descriptor."""
        self.most = most_connections()
        family, kind, protocol = listener.family, listener.type, listener.proto
        adjustments = Adjustments(
            threads=THREADS,
            connection_limit=2 * self.most,
            cleanup_interval=1,
            # For apps more than disks have; Flask has a limit for the API and the pages.
            max_request_body_size=2**36,
            asyncore_use_poll=True,  # select fails at the 1,024th file
            log_socket_errors=False,
            # What an app answers waits in memory, or for the client to read: never on the disk.
            outbuf_high_watermark=2**20,
            outbuf_overflow=2**40,
            ident="local Connect",
        )
        where = (family, kind, protocol, listener.getsockname())
        super().__init__(
            guarded(app),
            sockets,
            _sock=listener,
            adj=adjustments,
            sockinfo=where,
            bind_socket=False,
        )

    def maintenance(self, now: float) -> None:
        for channel in list(self.active_channels.values()):
            if channel.is_stuck(now):
                channel.handle_close()  # at once: a client that does not read is never writable


def most_connections() -> int:
    """How many clients may be connected: a request needs up to three files (`ulimit -n`)."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 5000 if files == resource.RLIM_INFINITY else max(10, min(5000, files // 3))
