"""The manifest that the client writes, and commands that serve."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from shared.harness.client import Client


class CannotServe(Exception):
    """Why a command does not serve: its last line, then all that it printed."""

    def __init__(self, output: str) -> None:
        last = output.strip().rpartition("\n")[2]
        super().__init__(f"{last}\n{output}")


def write_manifest(client: Client, directory: Path) -> dict:
    """Let the client write a manifest.json from a directory's pyproject.toml; return its value.

    Raises ClientError when the client refuses the directory.
    """
    client.run("write-manifest", "pyproject", "--overwrite", str(directory))
    return json.loads((directory / "manifest.json").read_text(encoding="utf-8"))


@contextmanager
def running(command: list[str], **options) -> Iterator[str]:
    """Run a command that serves with Werkzeug or gunicorn, and give the URL that it prints.

    options: those of subprocess.Popen. Raises CannotServe when the command ends before it serves.
    """
    options |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
    with subprocess.Popen(command, **options) as process:
        try:
            output = ""
            for line in process.stdout:
                output += line
                if url := re.search(r"(?:Running on|Listening at:) (http://\S+)", line):
                    break
            else:
                raise CannotServe(output)
            # A full pipe would block the command.
            Thread(target=process.stdout.read, daemon=True).start()
            yield url[1]
        finally:
            process.terminate()
            process.wait()
