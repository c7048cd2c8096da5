"""The process that runs one bundle's app: started, leased to requests, drained, stopped."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import threading
from collections import deque
from pathlib import Path

from .children import Children
from .runner import CONNECTIONS

RUNNER = Path(__file__).with_name("runner.py")
START_SECONDS = 60  # Connect's default for a process to become ready


class StartError(Exception):
    """The app did not start: why, from its log's last line."""


class AppProcess:
    """A running app. Each request enters it and leaves it; retired, it stops after the last."""

    def __init__(
        self,
        children: Children,
        python: Path,
        entrypoint: str,
        cwd: Path,
        env: dict,
        log: Path,
    ) -> None:
        """Start the app and return when it listens; raises StartError when it does not."""
        self._children = children
        self._lock = threading.Lock()
        self._requests = 0
        self._retired = False
        self._stopped = False
        self._idle: deque[http.client.HTTPConnection] = deque()
        # -u: what an app prints is in its log at once.
        command = [str(python), "-u", str(RUNNER), entrypoint]
        try:
            with log.open("ab") as output:
                self._child = children.start(
                    command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=output
                )
        except OSError as error:
            raise StartError(f"The app did not start: {error}.") from error
        self._port = self._wait_for_port(log)

    def _wait_for_port(self, log: Path) -> int:
        timer = threading.Timer(START_SECONDS, self._child.kill)
        timer.start()
        line = self._child.stdout.readline()  # empty when the app ended instead
        timer.cancel()
        self._child.stdout.close()
        if not line:
            self._children.end(self._child)
            *_, last = log.read_text(
                encoding="utf-8", errors="replace"
            ).splitlines() or ["no reason"]
            raise StartError(f"The app did not start: {last}")
        return int(line)

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    def wait_if_ending(self) -> None:
        """Give a process that dropped its connections the time to be gone."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(timeout=1)

    def enter(self) -> None:
        with self._lock:
            self._requests += 1

    def leave(self) -> None:
        with self._lock:
            self._requests -= 1
            last = self._retired and not self._requests
        if last:
            self.stop()

    def retire(self) -> None:
        """Stop, once the requests that are under way have their answers."""
        with self._lock:
            self._retired = True
            idle = not self._requests
        if idle:
            self.stop()

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
        while connection := self.idle_connection():
            connection.close()
        self._children.end(self._child)

    def idle_connection(self) -> http.client.HTTPConnection | None:
        """A connection that answered before, if there is one."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def new_connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port)

    def keep(self, connection: http.client.HTTPConnection) -> None:
        """Use it for a later request, unless there are enough, or its content was deleted."""
        with self._lock:
            # A request that is not safe always brings a new one.
            if not self._stopped and len(self._idle) < CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()
