"""The process of one running app."""

import contextlib
import http.client
import subprocess
from multiprocessing.connection import wait
from pathlib import Path

from werkzeug.exceptions import BadGateway

from .processes import Processes

RUNNER = Path(__file__).with_name("runner.py")
START_SECONDS = 60  # Connect's default for a process to get ready


class App:
    """A process that serves an app on a port of its own."""

    def __init__(
        self, processes: Processes, python: Path, entrypoint: str, log: Path, **options
    ) -> None:
        """Start the app, and return once it listens; what it prints is added to `log`.

        options: those of subprocess.Popen. Raises BadGateway when the app does not start, and
        ServiceUnavailable when the server is stopping.
        """
        self._processes = processes
        # -u: what the app prints is in its log at once.
        command = [str(python), "-u", str(RUNNER), entrypoint]
        with log.open("ab") as output:
            options |= {"stdout": subprocess.PIPE, "stderr": output}
            self._process = processes.start(command, **options)
        with self._process.stdout as stdout:
            listens = wait([stdout], START_SECONDS)
            line = stdout.readline() if listens else b""
        if not line.strip().isdigit():
            self.stop()
            if not listens:
                raise BadGateway(f"The app did not start within {START_SECONDS} seconds.")
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise BadGateway(f"The app did not start: {lines[-1] if lines else 'no reason given'}")
        self._port = int(line)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def connect(self) -> http.client.HTTPConnection:
        """Return a new connection to the app."""
        return http.client.HTTPConnection("127.0.0.1", self._port)

    def stop(self) -> None:
        """Stop the app and all that it started."""
        self._processes.end(self._process)

    def wait_if_ending(self) -> None:
        """Give an app that dropped a connection a second to end, if it crashed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)
