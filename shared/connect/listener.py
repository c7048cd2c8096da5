"""waitress in front, with limits on what a client may take: time, connections and disk space."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from socket import socket

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.buffers import OverflowableBuffer
from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.utilities import BadRequest, Error
from werkzeug.exceptions import HTTPException

from .errors import StorageFull, answer_to, http_error, one_line, quoted
from .limits import Limits

logger = logging.getLogger(__name__)
NO_HTTP = "This is not an HTTP request. The URL of this server starts with http://, not https://."


class Refusal(Error):
    """What is answered instead of a request that cannot be read."""

    def __init__(self, code: int, description: str, path: str) -> None:
        error = HTTPException(description)
        error.code = code
        self._answer = answer_to(error, path)

    def to_response(self, ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        answer = self._answer
        return answer.status, answer.headers.to_wsgi_list(), answer.get_data()


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
        self.body: Body | None = None

    def received(self, data: bytes) -> int:
        start = (self.header_plus + data[:9]).lstrip(b"\r\n")[:1]
        if self.body_rcv is None and start and not start.isalpha():  # a TLS hello, for one
            self.parse_header(b"GET / HTTP/1.0\r\n")  # what can be answered
            used, self.error, self.completed = len(data), BadRequest(NO_HTTP), True
        else:
            used = super().received(data)
        path = getattr(self, "path", "")
        if self.completed and self.body is not None and self.body.full:
            self.error = Refusal(StorageFull.code, StorageFull.description, path)
        elif self.error:
            self.error = Refusal(self.error.code, self.error.body, path)
        if self.error or self.body_rcv is None:
            self.expect_continue = False  # else it waits for a body
        return used

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # of a number or a URL, which waitress does not expect
            raise ParsingError(f"The request's head is malformed: {one_line(error)}.") from None
        if self.body_rcv is not None:
            self.body = self.body_rcv.buf = Body(self.adj.inbuf_overflow)


class Channel(HTTPChannel):
    """A connection. At the limit, a new connection closes the one that has been idle longest."""

    parser_class = Parser

    def __init__(self, server: "Listener", *arguments, **options) -> None:
        super().__init__(server, *arguments, **options)
        channels = list(server.active_channels.values())
        if len(channels) > server.most_connections:
            idle = [each for each in channels if not each.requests]
            min(idle, key=lambda each: each.last_activity).handle_close()

    def is_stuck(self, now: float, limits: Limits) -> bool:
        """Whether the client sends too slowly, or does not read."""
        if self.requests and not self.total_outbufs_len:
            self.last_activity = now  # the client waits for an answer
            return False
        request = None if self.requests else self.request
        whole = request and request.headers_finished
        most = limits.body_seconds if whole else limits.header_seconds
        late = request is not None and now - request.began > most
        return late or now - self.last_activity > limits.idle_seconds


def guarded(app: Callable) -> Callable:
    """Return a WSGI app that answers an exception of another, and logs it in one line."""

    def answer(environ: dict, start_response: Callable) -> Iterable[bytes]:
        try:
            return app(environ, start_response)
        except ClientDisconnected:  # for waitress
            raise
        except Exception as exception:
            path = environ["PATH_INFO"]
            if not isinstance(exception, HTTPException):
                request = f"{environ['REQUEST_METHOD']} {quoted(path)}"
                logger.error("%s: %s", request, one_line(exception))
            return answer_to(http_error(exception), path)(environ, start_response)

    return answer


class Threads(ThreadPoolExecutor):
    """Runs each request in a thread; starts one when no other is idle."""

    def add_task(self, channel: Channel) -> None:
        self.submit(channel.service)


class Listener(TcpWSGIServer):
    """Serves a WSGI app on a socket that listens."""

    channel_class = Channel

    def __init__(self, app: Callable, listening: socket, limits: Limits) -> None:
        self._limits = limits
        self.most_connections = limits.most_connections
        where = (listening.family, listening.type, listening.proto, listening.getsockname())
        super().__init__(
            guarded(app),
            {},
            _sock=listening,
            dispatcher=Threads(limits.threads, "request"),
            sockinfo=where,
            bind_socket=False,
            connection_limit=2 * self.most_connections,
            cleanup_interval=limits.look_seconds,
            asyncore_loop_timeout=limits.look_seconds,
            # For apps more than disks have; Flask has a limit for the API and the pages.
            max_request_body_size=2**36,
            asyncore_use_poll=True,  # select fails at the 1,024th file
            log_socket_errors=False,
            # What an app answers waits in memory, or for the client to read: never on the disk.
            outbuf_high_watermark=2**20,
            outbuf_overflow=2**40,
            ident="local Connect",
        )

    def maintenance(self, now: float) -> None:
        for channel in list(self.active_channels.values()):
            if channel.is_stuck(now, self._limits):
                channel.handle_close()  # at once: a client that does not read is never writable

    def stop(self) -> None:
        """Close all connections; returns when no request is in progress."""
        # In the server's own thread, which uses them, and may have closed the trigger by then.
        with contextlib.suppress(OSError):
            self.trigger.pull_trigger(self._close_all)
        self.task_dispatcher.shutdown(cancel_futures=True)

    def _close_all(self) -> None:
        for channel in list(self.active_channels.values()):
            channel.handle_close()
        wasyncore.close_all(self._map)
