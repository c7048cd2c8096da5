"""An example as the real client would bundle it, in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.catalogue import EXAMPLES, Example

# `flask run`, ended by the end of its standard input: it cannot outlive its parent.
FLASK_RUN = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
from flask.cli import main
main()
"""


def write_manifest(directory: Path) -> dict:
    """Let the rsconnect client write a directory's manifest.json; return its value.

    Raises RuntimeError with what the client says when it refuses the directory.
    """
    command = ["write-manifest", "api", "--overwrite", "--entrypoint", "app:app"]
    run([sys.executable, "-m", "rsconnect.main", *command, str(directory)])
    return json.loads((directory / "manifest.json").read_text(encoding="utf-8"))


def run(command: list[str]) -> None:
    """Run a command to its end; raise RuntimeError with its output when it fails."""
    environ = {**os.environ, "RSCONNECT_DISABLE_VERSION_CHECK": "1"}
    result = subprocess.run(
        command,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stdout}")


@contextmanager
def from_its_bundle(example: Example) -> Iterator[dict[str, str]]:
    """Serve the example's bundle by `flask run`, with its requirements alone."""
    with tempfile.TemporaryDirectory() as scratch:
        source, bundle, venv = (
            Path(scratch, name) for name in ("source", "bundle", "venv")
        )
        shutil.copytree(example.path, source)
        for name in write_manifest(source)["files"]:
            (bundle / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, bundle / name)
        uv = [sys.executable, "-m", "uv", "--quiet"]
        run([*uv, "venv", "--python", sys.executable, str(venv)])
        python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        requirements = str(bundle / "requirements.txt")
        run([*uv, "pip", "install", "--python", str(python), "-r", requirements])
        with flask_run(python, bundle) as url:
            yield {"root": url}


@contextmanager
def flask_run(python: Path, directory: Path) -> Iterator[str]:
    """Run `flask run` in a directory on a free port; give its URL.

    Raises RuntimeError with what it printed when it ends before it serves.
    """
    with subprocess.Popen(
        [str(python), "-u", "-c", FLASK_RUN, "run", "--port", "0"],
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ) as process:
        try:
            printed = []
            for line in process.stdout:
                printed.append(line)
                if found := re.search(r"Running on (http://\S+)", line):
                    break
            else:
                raise RuntimeError("flask run ended:\n" + "".join(printed))
            # Read on, lest its log fill the pipe and block it.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield found[1]
        finally:
            process.kill()


if __name__ == "__main__":
    for example in EXAMPLES:
        files = write_manifest(example.path)["files"]
        print(f"{example.directory}/manifest.json lists {len(files)} files")
