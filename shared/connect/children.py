"""Processes that end with this one, even when it is killed: each holds a pipe that then closes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

GUARD = Path(__file__).with_name("guard.py")


class Stopping(Exception):
    """No process is started any more: the server is being stopped."""


class Children:
    """The processes of one server, started and ended here only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen] = set()
        self._closed = False

    def start(self, command: list[str], **options) -> subprocess.Popen:
        """Start `command`, which must end when its stdin closes.

        It leads a session of its own, so that Ctrl-C in a terminal reaches the server alone.
        Raises `Stopping` after `close`, and OSError when there is no such program.
        """
        with self._lock:
            if self._closed:
                raise Stopping("the server is stopping")
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, start_new_session=True, **options
            )
            self._running.add(child)
            return child

    def run(self, command: list[str], **options) -> Iterator[str]:
        """Run any command to its end, yielding its lines, stderr included.

        Raises subprocess.CalledProcessError when it fails.
        """
        child = self.start(
            [sys.executable, "-S", str(GUARD), *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            **options,
        )
        try:
            for line in child.stdout:
                yield line.rstrip()
            if child.wait():
                raise subprocess.CalledProcessError(child.returncode, command)
        finally:
            child.stdout.close()
            self.end(child)

    def end(self, child: subprocess.Popen) -> None:
        """End a process and wait until it has gone."""
        with contextlib.suppress(OSError):
            child.stdin.close()
        try:
            child.wait(timeout=5)
        except subprocess.TimeoutExpired:  # its threads may be stuck in foreign code
            if hasattr(os, "killpg"):
                os.killpg(child.pid, signal.SIGKILL)
            child.kill()
            child.wait()
        with self._lock:
            self._running.discard(child)

    def close(self) -> None:
        """End all, and start none from now on."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for child in running:
            with contextlib.suppress(OSError):
                child.stdin.close()
        for child in running:
            self.end(child)
