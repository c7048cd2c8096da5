"""The processes of an app."""

import http.client
import itertools
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TextIO

from werkzeug.exceptions import BadGateway, ServiceUnavailable

from ..jobs import Job
from .processes import Processes

RUNNER = Path(__file__).with_name("runner.py")
START_SECONDS = 60  # Connect's default for a process to get ready
INHERITED = ("HOME", "PATH", "TMPDIR")  # of the server's own variables
REQUESTS = 100  # in progress at once for one bundle; more get a 503


class NotStarted(BadGateway):
    """Why an app did not start, in one line."""


def variables(python: Path, told: dict[str, str]) -> dict[str, str]:
    """Return the environment variables of an app.

    python: of its environment, whose programs come first; told: about the server and the content,
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
        **told,
    }


class App:
    """A process that serves an app on a port of its own."""

    def __init__(
        self, processes: Processes, python: Path, entrypoint: str, job: Job, **options
    ) -> None:
        """Start the app, whose output is added to the job's log.

        options: those of subprocess.Popen. Raises ServiceUnavailable when the server is stopping.
        """
        self._processes = processes
        self._job = job
        self._port: Future[int] = Future()
        self._stopped = False
        ready, sender = Pipe(duplex=False)
        with sender:
            self._process = processes.start(
                # -u: what the app prints is in its log at once.
                [str(python), "-u", str(RUNNER), entrypoint, str(sender.fileno())],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[sender.fileno()],
                **options,
            )
        self._follower = threading.Thread(target=self._follow, args=[ready], daemon=True)
        self._follower.start()

    def _follow(self, ready: Connection) -> None:
        """Write the log of the process until it ends."""
        process, job = self._process, self._job
        streams = [(process.stdout, "stdout"), (process.stderr, "stderr")]
        copiers = [threading.Thread(target=self._copy, args=each, daemon=True) for each in streams]
        for copier in copiers:
            copier.start()
        with ready:
            in_time = ready.poll(START_SECONDS)
            # Its process id and its port, or nothing when it has ended.
            words = os.read(ready.fileno(), 100).split() if in_time else []
        if words:
            job.pid, port = map(int, words)
            job.add(f"Process {job.pid} started.")
            self._port.set_result(port)
        elif not in_time:
            self.stop()
        for copier in copiers:
            copier.join()
        process.wait()
        self._processes.end(process)
        job.add(f"Process {job.pid or 'of the app'} {self.ending}.")
        if not words:
            errors = [text for _, source, text in job.entries if source == "stderr" and text]
            reason = f": {errors[-1] if errors else self.ending}"
            within = f" within {START_SECONDS} seconds."
            failure = NotStarted(f"The app did not start{reason if in_time else within}")
            job.add(failure.description)
            self._port.set_exception(failure)
        job.end(process.returncode, ending=self.ending)

    def _copy(self, stream: TextIO, source: str) -> None:
        with stream:
            for line in stream:
                self._job.add(line.rstrip("\n"), source)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def ending(self) -> str:
        """How the process ended, in words."""
        code = self._process.returncode
        if self._stopped:
            return "was stopped by the server"
        return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"

    def connect(self) -> http.client.HTTPConnection:
        """Return a new connection to the app, once it listens; raises NotStarted."""
        return http.client.HTTPConnection("127.0.0.1", self._port.result())

    def stop(self) -> None:
        """Stop the app and all that it started."""
        self._stopped = self._stopped or self.alive
        self._processes.end(self._process)

    def wait_if_ending(self) -> None:
        """Give an app that dropped a connection a second to end, if it crashed."""
        self._follower.join(1)


class Pool:
    """The processes of one bundle, which take requests in turn."""

    def __init__(self, start: Callable[[], App], size: int) -> None:
        """start: starts a process; called when a request needs one, the first time or again."""
        self._start = start
        self._apps: list[App | None] = [None] * size
        self._turns = itertools.cycle(range(size))
        self._requests = 0
        self._retired = False
        self._lock = threading.Lock()

    @property
    def running(self) -> int:
        """How many processes run."""
        return sum(app is not None and app.alive for app in self._apps)

    @contextmanager
    def request(self) -> Iterator[App]:
        """Give the process whose turn it is for one request.

        Raises ServiceUnavailable beyond the limit, BadGateway when the app crashes in the context,
        and what `start` raises.
        """
        with self._lock:
            if self._requests == REQUESTS:
                raise ServiceUnavailable("Too many requests are in progress.")
            turn = next(self._turns)
            app = self._apps[turn]
            if not (app and app.alive):
                app = self._apps[turn] = self._start()
            self._requests += 1
        try:
            yield app
        except (OSError, http.client.HTTPException):
            app.wait_if_ending()
            what = "dropped the request" if app.alive else app.ending
            raise BadGateway(f"The app {what}.") from None
        finally:
            with self._lock:
                self._requests -= 1
                self._stop_if_unused()

    def retire(self, retired: bool) -> None:
        """Stop the processes as soon as they have answered; with False, keep them."""
        with self._lock:
            self._retired = retired
            self._stop_if_unused()

    def _stop_if_unused(self) -> None:
        if self._retired and not self._requests:
            self._stop_all()

    def stop(self) -> None:
        """Stop the processes at once; one that a request starts meanwhile stops after it."""
        with self._lock:
            self._retired = True
            self._stop_all()

    def _stop_all(self) -> None:
        for app in filter(None, self._apps):
            app.stop()
