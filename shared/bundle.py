"""An example as the real client would bundle it, in an environment of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from subprocess import CalledProcessError
from threading import Thread

from shared.catalogue import EXAMPLES, Example
from shared.client import Client, private_client
from shared.connect.bundles import Manifest
from shared.connect.children import Children
from shared.connect.environments import Environments


def write_manifest(client: Client, directory: Path) -> dict:
    """Let the rsconnect client write a directory's manifest.json; return its value.

    Raises ClientError with what the client says when it refuses the directory.
    """
    options = ["--overwrite", "--entrypoint", "app:app"]
    client.run("write-manifest", "api", *options, str(directory))
    return json.loads((directory / "manifest.json").read_text(encoding="utf-8"))


def kept_environments() -> Path | None:
    """Where the environments of what is deployed stay until the next run: tox's directory."""
    kept = os.environ.get("TOX_WORK_DIR")
    return Path(kept, "environments") if kept else None


@contextmanager
def from_its_bundle(example: Example) -> Iterator[dict[str, str]]:
    """Serve what manifest.json lists by `flask run`, with its requirements alone."""
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        children = stack.enter_context(contextlib.closing(Children()))
        bundle = root / "bundle"
        manifest = json.loads((example.path / "manifest.json").read_text("utf-8"))
        for name in ("manifest.json", *manifest["files"]):
            (bundle / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(example.path / name, bundle / name)
        environments = Environments(
            kept_environments() or root / "environments", children
        )
        made = environments.build(Manifest(bundle), bundle, print)
        flask_run = [str(made.python), "-m", "flask", "run", "--port", "0"]
        with running(flask_run, cwd=bundle) as url:
            yield {"root": url}


@contextmanager
def running(command: list[str], **options) -> Iterator[str]:
    """Run a command that serves with Werkzeug, and give the URL that it prints.

    Raises RuntimeError with what it printed when it ends before it serves.
    """
    lines = SimpleQueue()

    def read() -> None:
        # To the end, lest its log fill the pipe and block it.
        with contextlib.suppress(CalledProcessError):
            for line in children.run(command, **options):
                lines.put(line)
        lines.put(None)

    with contextlib.closing(Children()) as children:
        Thread(target=read).start()
        printed = []
        for line in iter(lines.get, None):
            printed.append(line)
            if url := re.search(r"Running on (http://\S+)", line):
                break
        else:
            raise RuntimeError("\n".join([*printed, f"{command} ended."]))
        yield url[1]


if __name__ == "__main__":
    with private_client() as client:
        for example in EXAMPLES:
            files = write_manifest(client, example.path)["files"]
            print(f"{example.directory}/manifest.json lists {len(files)} files")
