"""Builds and processes, each a job with a log of its own."""

import itertools
import secrets
from collections import deque
from datetime import datetime, timezone
from typing import NamedTuple

LINES = 10_000  # of a log; older ones go
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
        self._entries: deque[Entry] = deque(maxlen=LINES)

    @property
    def entries(self) -> list[Entry]:
        """The lines until now; others may come meanwhile."""
        return list(self._entries)

    def add(self, text: str, source: str = "stdout") -> None:
        """Add a line."""
        self._entries.append(Entry(now(), source, text))

    def end(self, exit_code: int) -> None:
        """Note that the job has ended."""
        self.exit_code = exit_code
        self.ended = now()


def now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(timezone.utc)


def timestamp(time: datetime | None) -> str | None:
    """Return a time as Connect's API writes it, such as 2026-11-24T12:00:00Z."""
    return time and time.strftime("%Y-%m-%dT%H:%M:%SZ")
