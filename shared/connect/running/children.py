"""Child processes that never outlive this one."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from werkzeug.exceptions import ServiceUnavailable

GUARD = Path(__file__).with_name("guard.py")
LINE = 2**16  # characters of a line; a longer one comes in parts
OUTPUT = 2**20  # characters of a command that are kept to say why it failed


def lines_of(stream: IO[str]) -> Iterator[str]:
    """Yield the lines of a stream, without their ends, as they come."""
    while line := stream.readline(LINE):
        yield line.rstrip("\n")


class Children:
    """Starts commands and ends them, with all that they started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen] = set()
        self.closed = threading.Event()

    def start(self, command: list[str], **options) -> subprocess.Popen:
        """Start a command behind the guard; `options` are those of subprocess.Popen.

        Ctrl-C in a terminal does not reach it. Raises ServiceUnavailable after `close`.
        """
        with self._lock:
            self._check_open()
            process = subprocess.Popen(
                # -I: PYTHON* among the variables are meant for the command.
                [sys.executable, "-I", "-S", str(GUARD), *command],
                stdin=subprocess.PIPE,
                start_new_session=True,
                encoding="utf-8",
                errors="replace",
                **options,
            )
            self._running.add(process)
            return process

    def _check_open(self) -> None:
        if self.closed.is_set():
            raise ServiceUnavailable("The server is stopping.")

    def run(self, command: list[str], **options) -> Iterator[str]:
        """Run a command and yield its lines, stderr included.

        Raises subprocess.CalledProcessError, with the `output`, when it fails, and
        ServiceUnavailable after `close`.
        """
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = self.start(command, **options)
        assert process.stdout  # a pipe
        output = ""
        try:
            for line in lines_of(process.stdout):
                if len(output) < OUTPUT:
                    output += f"{line}\n"
                yield line.rstrip()
            if code := process.wait():
                self._check_open()  # else this is why it failed
                raise subprocess.CalledProcessError(code, command, output)
        finally:
            process.stdout.close()
            self.end(process)

    def end(self, process: subprocess.Popen) -> None:
        """End a process and what it started; return when it is gone."""
        assert process.stdin  # a pipe
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.wait()
        with self._lock:
            self._running.discard(process)

    def close(self) -> None:
        """End all processes, and start no more."""
        with self._lock:
            self.closed.set()
            running = list(self._running)
        for process in running:
            self.end(process)
