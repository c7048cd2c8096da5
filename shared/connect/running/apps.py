"""The processes of an app."""

import contextlib
import getpass
import http.client
import os
import secrets
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from multiprocessing.connection import wait
from pathlib import Path
from typing import TextIO

from waitress.channel import ClientDisconnected
from werkzeug.exceptions import BadGateway, HTTPException, ServiceUnavailable

from ..jobs import Job
from .processes import Processes, lines_of
from .runner import TOKEN_HEADER

RUNNER = Path(__file__).with_name("runner.py")
START_SECONDS = 60  # Connect's default for a process to get ready
SPARE_SECONDS = 5
INHERITED = ("HOME", "PATH", "TMPDIR")  # of the server's own variables


class NotStarted(BadGateway):
    """Why an app did not start, in one line."""


def variables(python: Path, given: dict[str, str]) -> dict[str, str]:
    """Return the environment variables of an app.

    python: of its environment, whose programs come first; given: about the server and the content,
    and those that came with -E, which win.
    """
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {
        **inherited,
        "PATH": os.pathsep.join([str(python.parent), inherited.get("PATH", os.defpath)]),
        "LANG": "C.UTF-8",
        "USER": user_name(),
        "LOGNAME": user_name(),
        # The names that Posit's SDK reads.
        "POSIT_PRODUCT": "CONNECT",
        "RSTUDIO_PRODUCT": "CONNECT",
        **given,
    }


def begins_to_answer(connection: http.client.HTTPConnection, milliseconds: int = 0) -> bool:
    """Whether an app begins to answer, or drops the connection, within some time."""
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(milliseconds))


def user_name() -> str:
    """Return the name of the user who runs the server, or the number of one without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


class Connection(http.client.HTTPConnection):
    """A connection to an app for one request, which shows that it is the server's."""

    def __init__(self, port: int, token: str) -> None:
        super().__init__("127.0.0.1", port)
        self._token = token

    def putrequest(self, *target, **options) -> None:
        super().putrequest(*target, **options)
        self.putheader(TOKEN_HEADER, self._token)


class App:
    """A process that serves an app on a port of its own."""

    requests = 0  # in progress
    given_up: http.client.HTTPConnection | None = None  # by its visitor, before the app answered

    def __init__(
        self,
        processes: Processes,
        python: Path,
        entrypoint: str,
        job: Job,
        size: int = 1,
        **options,
    ) -> None:
        """Start the app, whose output is added to the job's log.

        size: how many processes the bundle has; options: those of subprocess.Popen. Raises
        NotStarted when the system refuses, and ServiceUnavailable when the server is stopping.
        """
        self._processes = processes
        self._job = job
        self._port: Future[int] = Future()
        self._stopped = self._late = False
        self._token = secrets.token_hex()
        self._control, runners = socket.socketpair()  # see runner.py
        self._control.sendall(self._token.encode())
        arguments = [entrypoint, str(size), str(START_SECONDS), str(runners.fileno())]
        self._began = time.monotonic()
        try:
            with runners:
                self._process = processes.start(
                    # -u: what the app prints is in its log at once.
                    [str(python), "-u", str(RUNNER), *arguments],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=[runners.fileno()],
                    **options,
                )
        except (HTTPException, OSError, ValueError) as error:
            self._control.close()
            failure = NotStarted(f"The app did not start: {error}")
            job.add(failure.description)
            job.end(1, ending="did not start")
            raise (error if isinstance(error, HTTPException) else failure) from None
        self._follower = threading.Thread(target=self._follow, daemon=True)
        self._follower.start()

    def _follow(self) -> None:
        """Write the log of the process until it ends."""
        process, job = self._process, self._job
        streams = [(process.stdout, "stdout"), (process.stderr, "stderr")]
        copiers = [threading.Thread(target=self._copy, args=each, daemon=True) for each in streams]
        for copier in copiers:
            copier.start()
        line = b""
        # The runner ends by itself in time, except one that is stopped.
        if wait([self._control], START_SECONDS + SPARE_SECONDS):
            # Not buffered: `alive` looks for what comes next. An error: it did not even run.
            with contextlib.suppress(OSError):
                line = self._control.makefile("rb", buffering=0).readline()
        word, _, text = line.decode().rstrip("\n").partition(" ")
        if word == "listens":
            job.pid, port = map(int, text.split())
            job.add(f"Process {job.pid} started.")
            self._port.set_result(port)
        elif not line and time.monotonic() - self._began >= START_SECONDS:
            self._late = True
            self._stopped = True
            self._processes.end(process)
        process.wait()
        for copier in copiers:
            copier.join(SPARE_SECONDS)  # a guard that was killed leaves children behind
        self._processes.end(process)
        job.add(f"Process {job.pid or 'of the app'} {self.ending}.")
        if word != "listens":
            failure = NotStarted(f"The app did not start{self._reason(text)}")
            job.add(failure.description)
            self._port.set_exception(failure)
        job.end(process.returncode, ending=self.ending)
        self._control.close()
        self.give_up(None)

    def _copy(self, stream: TextIO, source: str) -> None:
        with stream:
            for line in lines_of(stream):
                self._job.add(line, source)

    def _reason(self, cause: str) -> str:
        """Say why the app did not start; cause: what the runner says, if anything."""
        if self._late:
            return f" within {START_SECONDS} seconds."
        errors = [text for _, source, text in self._job.entries if source == "stderr" and text]
        last = errors[-1] if errors and self._process.returncode > 0 else self.ending
        return f": {cause or last}".rstrip(".")

    @property
    def alive(self) -> bool:
        """Whether the process runs, and has not told that it ends."""
        if self._process.poll() is not None:
            return False
        if not self._port.done():
            return True
        try:
            self._control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:  # closed meanwhile
            pass
        return False

    @property
    def ending(self) -> str:
        """How the process ended, in words."""
        code = self._process.returncode
        if self._stopped:
            return "was stopped by the server"
        if code is None:
            return "is ending"
        return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"

    def connect(self) -> http.client.HTTPConnection:
        """Return a new connection to the app, once it listens; raises NotStarted."""
        return Connection(self._port.result(), self._token)

    @property
    def busy(self) -> int:
        """How many requests it has not answered, the last one that a visitor gave up included."""
        if self.given_up and begins_to_answer(self.given_up):
            self.give_up(None)
        return self.requests + bool(self.given_up)

    def give_up(self, connection: http.client.HTTPConnection | None) -> None:
        """Keep a connection whose visitor left, in place of an earlier one."""
        self.given_up, earlier = connection, self.given_up
        if earlier:
            earlier.close()

    def stop(self) -> None:
        """Stop the app and all that it started."""
        self._stopped = self._stopped or self.alive
        self._processes.end(self._process)
        self.give_up(None)

    def wait_if_ending(self) -> None:
        """Give an app that dropped a connection a second to end, if it crashed."""
        self._follower.join(1)


class Pool:
    """The processes of one bundle, which take requests in turn."""

    def __init__(self, start: Callable[[], App], size: int) -> None:
        """start: starts a process; called when a request needs one, the first time or again."""
        self._start = start
        self._apps: list[App | None] = [None] * size
        self._last = size - 1  # the one that got a request
        self.requests = 0  # in progress
        self._retired = False
        self._asked = time.monotonic()  # the last time
        self._lock = threading.Lock()

    @property
    def running(self) -> int:
        """How many processes run."""
        return sum(app is not None and app.alive for app in self._apps)

    @contextlib.contextmanager
    def connected(self, free: int) -> Iterator[http.client.HTTPConnection]:
        """Give a connection to a process for one request: to the least busy one, else in turn.

        free: places that the server has left. A bundle takes no more than it leaves, so one whose
        requests hang gets half of them, two get a third each, and others still have some.

        Raises ServiceUnavailable beyond that, BadGateway when the app crashes in the context,
        and what `start` raises.
        """
        with self._lock:
            if self.requests >= free:
                message = "Too many requests are in progress"
                raise ServiceUnavailable(f"{message}, {self.requests} of them to this app.")
            app = self._choose()
            app.requests += 1
            self.requests += 1
        connection = None
        try:
            connection = app.connect()
            yield connection
        except ClientDisconnected:
            if app.alive:
                with self._lock:
                    app.give_up(connection)
                connection = None
            raise
        except OSError:
            app.wait_if_ending()
            what = "dropped the request" if app.alive else app.ending
            raise BadGateway(f"The app {what}.") from None
        except http.client.HTTPException as error:
            raise BadGateway(f"The app's answer cannot be read: {str(error).strip()}.") from None
        finally:
            if connection:
                connection.close()
            with self._lock:
                app.requests -= 1
                self.requests -= 1
                self._asked = time.monotonic()
                self._stop_if_unused()

    def _choose(self) -> App:
        """Return the process that has the fewest requests, or a new one in its place."""
        size = len(self._apps)
        turns = [(self._last + turn) % size for turn in range(1, size + 1)]
        busy = [app.busy if app else 0 for app in self._apps]
        self._last = min(turns, key=busy.__getitem__)
        app = self._apps[self._last]
        if not (app and app.alive):
            app = self._apps[self._last] = self._start()
        return app

    def retire(self, retired: bool) -> None:
        """Stop the processes as soon as they have answered; with False, keep them."""
        with self._lock:
            self._retired = retired
            self._stop_if_unused()

    def stop_if_idle(self, seconds: float) -> None:
        """Stop the processes if nobody has asked them for so long; the next request starts them."""
        with self._lock:
            if not self.requests and time.monotonic() - self._asked >= seconds:
                self._stop_all()

    def _stop_if_unused(self) -> None:
        if self._retired and not self.requests:
            self._stop_all()

    def stop(self) -> None:
        """Stop the processes at once; one that a request starts meanwhile stops after it."""
        with self._lock:
            self._retired = True
            self._stop_all()

    def _stop_all(self) -> None:
        for app in filter(None, self._apps):
            app.stop()
