"""The output of a deployment, line by line, and how it ended."""

import threading
import uuid

from .jobs import Job


class Task:
    """A deployment in progress or finished; its lines are also those of its job."""

    def __init__(self, job: Job) -> None:
        self.id = uuid.uuid4().hex
        self._job = job
        self._lines: list[str] = []
        self._error: str | None = None  # empty: it succeeded
        self._changed = threading.Condition()

    def say(self, line: str) -> None:
        """Add a line."""
        with self._changed:
            self._job.add(line)
            self._lines.append(line)
            self._changed.notify_all()

    def finish(self, error: str = "") -> None:
        """End the task and its job; with an error, they fail."""
        with self._changed:
            self._job.end(1 if error else 0)
            self._error = error
            self._changed.notify_all()

    def report(self, first: int, seconds: float) -> dict:
        """Wait at most `seconds` for lines after the `first` ones or the end, and return them.

        The keys are those that `RSConnectClient.wait_for_task` in the client's api.py reads.
        """

        def has_more() -> bool:
            return self._error is not None or len(self._lines) > first

        with self._changed:
            self._changed.wait_for(has_more, seconds)
            return {
                "id": self.id,
                "output": self._lines[first:],
                "last": len(self._lines),
                "finished": self._error is not None,
                "code": 1 if self._error else 0,
                "error": self._error or "",
                "result": None,  # as for all deployments
            }
