"""The processes of an app."""

import contextlib
import http.client
import os
import queue
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TextIO

import waitress
from werkzeug.exceptions import BadGateway, HTTPException

from ..jobs import Job
from .children import Children, lines_of
from .environments import Environment
from .runner import CONTROL

RUNNER = Path(__file__).with_name("runner.py")
SPARE_SECONDS = 5
INHERITED = ("HOME", "LOGNAME", "PATH", "TMPDIR", "USER")  # of the server's own variables


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
        # The names that Posit's SDK reads.
        "POSIT_PRODUCT": "CONNECT",
        "RSTUDIO_PRODUCT": "CONNECT",
        **given,
    }


class App:
    """A process that serves an app at a Unix socket."""

    def __init__(
        self,
        children: Children,
        python: Path,
        entrypoint: str,
        job: Job,
        path: Path,
        size: int = 1,
        start_seconds: float = 60,
        **options,
    ) -> None:
        """Start the app, whose output is added to the job's log.

        path: of the socket, which does not exist yet; size: how many processes the bundle has;
        start_seconds: for the import; options: those of subprocess.Popen. Raises NotStarted when
        the system refuses, and ServiceUnavailable when the server is stopping.
        """
        self._children = children
        self._job = job
        self._path = path
        self._seconds = start_seconds
        self._started: Future[None] = Future()
        self._stopped = False
        self._variables = options.get("env", {})
        self._began = time.monotonic()
        fifo = f"{path}{CONTROL}"
        os.mkfifo(fifo, 0o600)
        self._control = os.open(fifo, os.O_RDWR)  # else it has an end when nobody writes
        # -u: what the app prints is in its log at once.
        command = [str(python), "-u", str(RUNNER), entrypoint, str(size), str(start_seconds)]
        command += [str(path), str(Path(waitress.__file__).parent)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        try:
            self._process = children.start(command, **pipes, **options)
        except (HTTPException, OSError, ValueError) as error:
            self._remove_files()
            failure = NotStarted(f"The app did not start: {error}")
            job.add(failure.description)
            job.end(1, ending="did not start")
            raise (error if isinstance(error, HTTPException) else failure) from None
        self._follower = threading.Thread(target=self._follow, daemon=True)
        self._follower.start()

    def _follow(self) -> None:
        """Write the log of the process until it ends."""
        process, job = self._process, self._job
        helpers = [
            threading.Thread(target=self._copy, args=[process.stdout, "stdout"], daemon=True),
            threading.Thread(target=self._copy, args=[process.stderr, "stderr"], daemon=True),
            threading.Thread(target=self._tell_end, daemon=True),
        ]
        for helper in helpers:
            helper.start()
        word = text = late = ""
        # The runner ends by itself in time, except one that is stopped.
        if self._tells(self._seconds + SPARE_SECONDS):
            # No more than a line: `alive` looks for what comes next.
            line = b"".join(iter(lambda: os.read(self._control, 1), b"\n"))
            word, _, text = line.decode().partition(" ")
        if word == "listens":
            job.pid = int(text)
            job.add(f"Process {job.pid} started.")
            self._started.set_result(None)
        elif word != "failed" and time.monotonic() - self._began >= self._seconds:
            late, self._stopped = f" within {self._seconds} seconds.", True
            self._children.end(process)
        process.wait()
        for helper in helpers:
            helper.join(SPARE_SECONDS)  # a guard that was killed leaves children behind
        self._children.end(process)
        job.add(f"Process {job.pid or 'of the app'} {self.ending}.")
        if word != "listens":
            failure = NotStarted(f"The app did not start{late or self._reason(text)}")
            job.add(failure.description)
            self._started.set_exception(failure)
        job.end(process.returncode, ending=self.ending)
        self._remove_files()

    def _copy(self, stream: TextIO, source: str) -> None:
        with stream:
            for line in lines_of(stream):
                self._job.add(line, source)

    def _tell_end(self) -> None:
        """Write to the FIFO what a process cannot that was killed."""
        self._process.wait()
        os.write(self._control, b"gone\n")

    def _remove_files(self) -> None:
        os.close(self._control)
        for path in (self._path, Path(f"{self._path}{CONTROL}")):
            path.unlink(missing_ok=True)

    def _reason(self, cause: str) -> str:
        """Say why the app did not start; cause: what the runner says, if anything."""
        errors = [text for _, source, text in self._job.entries if source == "stderr" and text]
        if fatal := next((text for text in errors if text.startswith("Fatal Python")), ""):
            names = ", ".join(name for name in self._variables if name.startswith("PYTHON"))
            return f": {fatal} (with the variables {names})" if names else f": {fatal}"
        last = errors[-1] if errors and self._process.returncode > 0 else self.ending
        return f": {cause or last}".rstrip(".")

    @property
    def alive(self) -> bool:
        """Whether the process runs, and has not told that it ends."""
        if self._process.poll() is not None:
            return False
        return not (self._started.done() and self._tells())

    def _tells(self, seconds: float = 0) -> bool:
        """Wait for something in the FIFO; return whether there is."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    @property
    def ending(self) -> str:
        """How the process ended, in words."""
        code = self._process.returncode
        if self._stopped:
            return "was stopped by the server"
        if code is None:
            return "is ending"
        return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"

    @contextlib.contextmanager
    def connected(self) -> Iterator[http.client.HTTPConnection]:
        """Give a new connection to the app, once it listens; raises NotStarted, and OSError."""
        self._started.result()
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1")) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(self._path))
            yield connection

    def stop(self) -> None:
        """Stop the app and all that it started."""
        self._stopped = self._stopped or self.alive
        self._children.end(self._process)

    def wait_if_ending(self) -> None:
        """Give an app that dropped a connection a second to end, if it crashed."""
        self._follower.join(1)


class Pool:
    """The processes of one bundle, which take requests in turn; each answers one at a time."""

    def __init__(self, environment: Environment, start: Callable[[], App], size: int) -> None:
        """start: starts a process; called when a request needs one, the first time or again."""
        self.environment = environment
        self._start, self._size = start, size
        # In the order in which they became free; None for one that does not run.
        self._free: queue.SimpleQueue[App | None] = queue.SimpleQueue()
        for _ in range(size):
            self._free.put(None)
        self._apps: set[App] = set()
        self.requests = 0  # in progress
        self._retired = False
        self._failure: NotStarted | None = None  # the last one
        self._failed = 0.0  # when
        self._lock = threading.Lock()

    @property
    def running(self) -> int:
        """How many processes run."""
        return sum(app.alive for app in list(self._apps))

    @contextlib.contextmanager
    def connected(self) -> Iterator[http.client.HTTPConnection]:
        """Give a connection to a process that is free, for one request; waits for one.

        Raises BadGateway when the app crashes in the context, and what `start` raises.
        """
        came = time.monotonic()
        with self._lock:
            self.requests += 1
        app = self._free.get()
        try:
            if not (app and app.alive):
                if self._failure and self._failed > came:  # else each that waits would wait again
                    raise self._failure
                with self._lock:
                    app = self._start()
                    self._apps = {each for each in self._apps if each.alive} | {app}
            with app.connected() as connection:
                yield connection
        except NotStarted as failure:
            if failure is not self._failure:
                self._failure, self._failed = failure, time.monotonic()
            raise
        except OSError:
            assert app  # it has been asked
            app.wait_if_ending()
            what = "dropped the request" if app.alive else app.ending
            raise BadGateway(f"The app {what}.") from None
        except http.client.HTTPException as error:
            message = f"The app's answer cannot be read: {str(error).strip()}."
            raise BadGateway(message) from None
        finally:
            self._free.put(app if app and app.alive else None)
            with self._lock:
                self.requests -= 1
                if self._retired and not self.requests:
                    self.stop()

    def successor(self) -> "Pool":
        """Return a pool of other processes."""
        pool = Pool(self.environment, self._start, self._size)
        pool._retired = self._retired
        return pool

    def retire(self, retired: bool = True) -> None:
        """Stop the processes as soon as they have answered; with False, keep them."""
        with self._lock:
            self._retired = retired
            if retired and not self.requests:
                self.stop()

    def stop(self) -> None:
        """Stop the processes at once; one that a request starts meanwhile stops after it."""
        self._retired = True
        for app in self._apps:
            app.stop()
