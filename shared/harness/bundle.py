"""An example as the client bundles it, in an environment of its requirements."""

import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CalledProcessError
from threading import Thread

from shared.catalogue import Example
from shared.connect.bundles import Manifest
from shared.connect.environments import Environments
from shared.connect.processes import Processes
from shared.harness.client import Client
from shared.harness.deployment import kept_environments


def write_manifest(client: Client, directory: Path) -> dict:
    """Let the client write a directory's manifest.json, and return its value.

    Raises ClientError when the client refuses the directory.
    """
    options = ["--overwrite", "--entrypoint", "app:app"]
    client.run("write-manifest", "api", *options, str(directory))
    return json.loads((directory / "manifest.json").read_text(encoding="utf-8"))


@contextmanager
def served_from_bundle(example: Example) -> Iterator[dict[str, str]]:
    """Serve what manifest.json lists with `flask run`; give the base URL of its one mount."""
    with tempfile.TemporaryDirectory() as directory, contextlib.closing(Processes()) as processes:
        root = Path(directory).resolve()
        bundle = root / "bundle"
        manifest = json.loads((example.path / "manifest.json").read_text(encoding="utf-8"))
        for name in ("manifest.json", *manifest["files"]):
            (bundle / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(example.path / name, bundle / name)
        environments = Environments(kept_environments() or root / "environments", processes)
        environment = environments.build(Manifest.read(bundle), bundle, print)
        flask_run = [str(environment.python), "-m", "flask", "run", "--port", "0"]
        with running(flask_run, cwd=bundle) as url:
            yield {"root": url}


@contextmanager
def running(command: list[str], **options) -> Iterator[str]:
    """Run a command that serves with Werkzeug, and give the URL that it prints.

    options: those of subprocess.Popen. Raises RuntimeError with the output when the command ends
    before it serves.
    """

    def drain() -> None:
        with contextlib.suppress(CalledProcessError):
            list(lines)

    with contextlib.closing(Processes()) as processes:
        lines = processes.run(command, **options)
        try:
            found = (re.search(r"Running on (http://\S+)", line) for line in lines)
            url = next(filter(None, found))
        except CalledProcessError as error:
            raise RuntimeError(error.output) from None
        Thread(target=drain).start()  # a full pipe would block the command
        yield url[1]
