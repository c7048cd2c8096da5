"""The processes of an app."""

import http.client
import itertools
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from typing import TextIO

from werkzeug.exceptions import BadGateway, ServiceUnavailable

from .jobs import Job
from .processes import Processes

RUNNER = Path(__file__).with_name("runner.py")
START_SECONDS = 60  # Connect's default for a process to get ready
REQUESTS = 100  # in progress at once for one bundle; more get a 503
LINE = 10_000  # characters of a line of the log; longer ones are divided


class App:
    """A process that serves an app on a port of its own."""

    def __init__(
        self, processes: Processes, python: Path, entrypoint: str, job: Job, **options
    ) -> None:
        """Start the app, and return once it listens; what it prints is added to the job's log.

        options: those of subprocess.Popen. Raises BadGateway when the app does not start, and
        ServiceUnavailable when the server is stopping.
        """
        self._processes = processes
        self._job = job
        self._stopped = False
        read_end, write_end = os.pipe()
        with open(read_end, encoding="ascii") as ready:
            # -u: what the app prints is in its log at once.
            command = [str(python), "-u", str(RUNNER), entrypoint, str(write_end)]
            options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            options |= {"encoding": "utf-8", "errors": "replace", "pass_fds": [write_end]}
            try:
                self._process = processes.start(command, **options)
            finally:
                os.close(write_end)
            self._follower = threading.Thread(target=self._follow, daemon=True)
            self._follower.start()
            listens = wait([ready], START_SECONDS)
            words = ready.readline().split() if listens else []
        if not words:
            if listens:  # it closed the pipe, and so is ending
                self.wait_if_ending()
            self.stop()
            errors = [text for _, source, text in job.entries if source == "stderr" and text]
            reason = f": {errors[-1] if errors else self.ending}"
            if not listens:
                reason = f" within {START_SECONDS} seconds."
            job.add(f"The app did not start{reason}")
            raise BadGateway(f"The app did not start{reason}")
        job.pid, self._port = map(int, words)
        job.add(f"Process {job.pid} started.")

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
        """Return a new connection to the app."""
        return http.client.HTTPConnection("127.0.0.1", self._port)

    def stop(self) -> None:
        """Stop the app and all that it started."""
        self._stopped = self._stopped or self.alive
        self._processes.end(self._process)
        self._follower.join(1)

    def wait_if_ending(self) -> None:
        """Give an app that dropped a connection a second to end, if it crashed."""
        self._follower.join(1)

    def _follow(self) -> None:
        """Write the log of the process until it ends."""

        def copy(stream: TextIO, source: str) -> None:
            with stream:
                for line in iter(lambda: stream.readline(LINE), ""):
                    self._job.add(line.rstrip("\n"), source)

        errors = threading.Thread(target=copy, args=(self._process.stderr, "stderr"), daemon=True)
        errors.start()
        copy(self._process.stdout, "stdout")
        errors.join()
        self._process.wait()
        self._processes.end(self._process)
        self._job.add(f"Process {self._job.pid or 'of the app'} {self.ending}.")
        self._job.end(self._process.returncode)


class Pool:
    """The processes of one bundle, which take requests in turn."""

    def __init__(self, start: Callable[[], App], size: int) -> None:
        """start: starts a process; called when a request needs one, the first time or again."""
        self._start = start
        self._apps: list[App | None] = [None] * size
        # Each is held while its app starts or stops.
        self._locks = [threading.Lock() for _ in self._apps]
        self._turns = itertools.cycle(range(size))
        self._requests = 0
        self._counting = threading.Lock()
        self._retired = False

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
        with self._counting:
            if self._requests == REQUESTS:
                raise ServiceUnavailable("Too many requests are in progress.")
            self._requests += 1
            turn = next(self._turns)
        try:
            with self._locks[turn]:
                app = self._apps[turn]
                if not (app and app.alive):
                    app = self._apps[turn] = self._start()
            try:
                yield app
            except (OSError, http.client.HTTPException):
                app.wait_if_ending()
                what = "dropped the request" if app.alive else app.ending
                raise BadGateway(f"The app {what}.") from None
        finally:
            with self._counting:
                self._requests -= 1
            self._stop_if_unused()

    def retire(self, retired: bool) -> None:
        """Stop the processes as soon as they have answered; with False, keep them."""
        self._retired = retired
        self._stop_if_unused()

    def _stop_if_unused(self) -> None:
        if self._retired:
            self.stop(lambda: not self._requests)

    def stop(self, condition: Callable[[], bool] = lambda: True) -> None:
        """Stop the processes, each if the condition holds once it is not starting."""
        for number, lock in enumerate(self._locks):
            with lock:
                app = self._apps[number]
                if app and condition():
                    app.stop()
