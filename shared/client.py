"""Runs the real rsconnect client, apart from what the person at this machine has set up for it."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .catalogue import EXAMPLES
from .connect.children import Children

COLOR = re.compile(r"\x1b\[[0-9;]*m")  # the client writes them in a pipe too


class ClientError(Exception):
    """The client failed; its text is the client's last line, `output` is all that it said."""

    def __init__(self, output: str) -> None:
        super().__init__(output.strip().rpartition("\n")[2])
        self.output = output


class Client:
    """rsconnect with a home of its own and copies of the examples, both below `root`.

    The client writes beside what it deploys, so it gets copies: the examples stay as they are.
    program: the client's executable, by default the one installed with this Python.
    """

    def __init__(
        self, root: Path, children: Children, program: Path | None = None
    ) -> None:
        self.root = root
        self._children = children
        self._program = str(program or installed())
        ignore = shutil.ignore_patterns("__pycache__", "rsconnect-python")
        for example in EXAMPLES:
            shutil.copytree(example.path, root / example.directory, ignore=ignore)
        home = root / "home"
        home.mkdir()
        # An exported CONNECT_* would go before what `rsconnect add` saved.
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("CONNECT_")
        }
        ours = {name: str(home) for name in ("HOME", "XDG_CONFIG_HOME", "APPDATA")}
        # It would ask the package index whether there is a newer client.
        self._environment = {**kept, **ours, "RSCONNECT_DISABLE_VERSION_CHECK": "1"}

    def run(self, *arguments: str) -> str:
        """What `rsconnect ARGUMENTS` prints, without colors; raises ClientError when it fails."""
        output: list[str] = []
        command = [self._program, *arguments]
        try:
            for line in self._children.run(
                command, cwd=self.root, env=self._environment
            ):
                output.append(COLOR.sub("", line))
        except subprocess.CalledProcessError as error:
            raise ClientError("\n".join(output)) from error
        return "\n".join(output)

    def run_command(self, command: str, url: str, key: str) -> str:
        """Run one of the README's commands, its server and key replaced by these."""
        program, *arguments = shlex.split(command)
        if program != "rsconnect":
            raise ValueError(f"not a command of rsconnect: {command}")
        for option, value in (("--server", url), ("--api-key", key)):
            if option in arguments:
                arguments[arguments.index(option) + 1] = value
        return self.run(*arguments)


@contextmanager
def private_client() -> Iterator[Client]:
    """The rsconnect client in a temporary home, beside copies of the examples."""
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(tempfile.TemporaryDirectory())
        children = stack.enter_context(contextlib.closing(Children()))
        yield Client(Path(root), children)


def installed() -> str:
    """The client's executable beside this Python, else on PATH; raises FileNotFoundError."""
    beside = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    )
    program = shutil.which("rsconnect", path=beside)
    if program is None:
        raise FileNotFoundError(
            "rsconnect is not installed: pip install --requirement shared/requirements.txt"
        )
    return program
