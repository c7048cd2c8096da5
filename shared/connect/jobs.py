"""Builds and processes, each a job with a log of its own."""

import itertools
import secrets
import threading
from collections import deque
from datetime import datetime, timezone
from typing import NamedTuple

LINES, SIZE = 10_000, 2**20  # lines and characters of a log; older ones go
BUILD = "python_restore"  # the tags of Connect's jobs
PROCESS = "run_python_api"
numbers = map(str, itertools.count(1))


class Entry(NamedTuple):
    """A line of a log."""

    time: datetime
    source: str  # stdout or stderr; what the server says itself is stdout
    text: str


class Job:
    """A build or a process of a bundle, in progress or ended."""

    def __init__(self, tag: str, bundle_id: str) -> None:
        self.number = next(numbers)
        self.key = secrets.token_hex(8)
        self.tag = tag
        self.bundle_id = bundle_id
        self.pid: int | None = None
        self.started = now()
        self.ended: datetime | None = None
        self.exit_code: int | None = None  # that of subprocess.Popen: -9 after signal 9
        self.ending = ""  # how it ended, in words
        self._error = ""
        self._entries: deque[Entry] = deque()
        self._size = self._lost = 0  # characters, lines
        self._changed = threading.Condition()

    @property
    def entries(self) -> list[Entry]:
        """The lines until now; others may come meanwhile."""
        with self._changed:
            entries = list(self._entries)
        if self._lost:
            note = (
                f"{self._lost} older lines are gone: a log keeps {LINES} lines, {SIZE} characters."
            )
            entries.insert(0, Entry(entries[0].time, "stdout", note))
        return entries

    def add(self, text: str, source: str = "stdout") -> None:
        """Add a line."""
        with self._changed:
            self._entries.append(Entry(now(), source, text))
            self._size += len(text)
            # One line less leaves room for the one that says so.
            while len(self._entries) >= LINES or self._size > SIZE:
                self._size -= len(self._entries.popleft().text)
                self._lost += 1
            self._changed.notify_all()

    def end(self, exit_code: int, error: str = "", ending: str = "") -> None:
        """Note that the job has ended, and how; error: why it failed."""
        with self._changed:
            self.ending = ending or f"ended with code {exit_code}"
            self.exit_code, self._error, self.ended = exit_code, error, now()
            self._changed.notify_all()

    def report(self, first: int, seconds: float) -> dict:
        """Wait at most `seconds` for lines after the `first` ones or the end, and return them.

        The keys are those that `RSConnectClient.wait_for_task` in the client's api.py reads.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self.ended or self._lost + len(self._entries) > first, seconds
            )
            lines = [text for _, _, text in self._entries]
            return {
                "id": self.key,
                "output": lines[max(0, first - self._lost) :],
                "last": self._lost + len(lines),
                "finished": self.ended is not None,
                "code": self.exit_code or 0,
                "error": self._error,
                "result": None,  # as for all deployments
            }


def now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(timezone.utc)


def timestamp(time: datetime | None) -> str | None:
    """Return a time as Connect's API writes it, such as 2026-11-24T12:00:00Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if time else None
