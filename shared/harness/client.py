"""Runs the real rsconnect client, apart from what you have set up for it on this machine."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.catalogue import EXAMPLES
from shared.connect.running.children import Children

COLOR = re.compile(r"\x1b\[[0-9;]*m")  # the client colors its output in a pipe, too


class ClientError(Exception):
    """The client failed: what the server told it, or its last line; in `output`, all it printed."""

    def __init__(self, output: str) -> None:
        errors = re.findall(r"^Error from Connect server: (.+)", output, re.MULTILINE)
        super().__init__(errors[-1] if errors else output.strip().rpartition("\n")[2])
        self.output = output


class Client:
    """rsconnect with a home of its own, and copies of the examples; both are below `root`.

    The client, like Posit Publisher, writes into the directories that it deploys.
    """

    def __init__(self, root: Path, processes: Children) -> None:
        self.root = root
        self._processes = processes
        ignore = shutil.ignore_patterns("__pycache__", "rsconnect-python", ".posit")
        for example in EXAMPLES:
            shutil.copytree(example.path, root / example.directory, ignore=ignore)
        # An exported CONNECT_* would take precedence over what `rsconnect add` saved.
        kept = {name: value for name, value in os.environ.items() if "CONNECT_" not in name}
        home = dict.fromkeys(("HOME", "XDG_CONFIG_HOME"), str(root / "home"))
        # Otherwise it asks the package index for a newer client.
        quiet = {"RSCONNECT_DISABLE_VERSION_CHECK": "1", "PYTHONWARNINGS": "ignore"}
        # The client is installed beside this Python, and so is the uv that it runs.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self._environment = {**kept, **home, **quiet, "PATH": path}
        (root / "home").mkdir()

    def run(self, *arguments: str, **variables: str) -> str:
        """Return what `rsconnect ARGUMENTS` prints, without colors; raises ClientError.

        variables: more of its environment.
        """
        options = {"cwd": self.root, "env": self._environment | variables}
        try:
            lines = list(self._processes.run(["rsconnect", *arguments], **options))
        except subprocess.CalledProcessError as error:
            raise ClientError(COLOR.sub("", error.output)) from None
        return COLOR.sub("", "\n".join(lines))

    def write_manifest(self, directory: Path) -> dict:
        """Write a manifest.json from a directory's pyproject.toml; return its value.

        Raises ClientError when the client refuses the directory.
        """
        self.run("write-manifest", "pyproject", "--overwrite", str(directory))
        return json.loads((directory / "manifest.json").read_text(encoding="utf-8"))


@contextmanager
def private_client() -> Iterator[Client]:
    """Give a client in a temporary directory; what it runs ends with the context."""
    with (
        tempfile.TemporaryDirectory(prefix="rsconnect-") as root,
        contextlib.closing(Children()) as processes,
    ):
        yield Client(Path(root), processes)
