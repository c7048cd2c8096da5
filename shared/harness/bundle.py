"""An example as the client bundles it, in an environment of its requirements."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from uv import find_uv_bin

from shared.catalogue import Example
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
def served_from_bundle(example: Example) -> Iterator[dict[str, str]]:
    """Serve what manifest.json lists with `flask run`; give the base URL of its one mount.

    Raises CannotServe when its environment cannot be built, or when it does not start.
    """
    with tempfile.TemporaryDirectory() as root:
        bundle, environment = Path(root, "bundle").resolve(), Path(root, "environment").resolve()
        manifest = json.loads((example.path / "manifest.json").read_text(encoding="utf-8"))
        for name in manifest["files"]:
            (bundle / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(example.path / name, bundle / name)
        uv, python = find_uv_bin(), manifest["environment"]["python"]["requires"]
        requirements = ["-r", manifest["python"]["package_manager"]["package_file"]]
        for arguments in (
            ["venv", "--python", python, environment],
            ["pip", "install", "--python", environment, *requirements],
        ):
            done = subprocess.run(
                [uv, "--quiet", *arguments],
                cwd=bundle,
                env={**os.environ, "TMPDIR": root},  # where uv leaves lock files
                stderr=subprocess.PIPE,
                encoding="utf-8",
            )
            if done.returncode:
                # uv breaks its reasons into lines.
                raise CannotServe(" ".join(done.stderr.split()))
        flask_run = [f"{environment}/bin/python", "-m", "flask", "run", "--port", "0"]
        with running(flask_run, cwd=bundle) as url:
            yield {"root": url}


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
