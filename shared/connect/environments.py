"""Python environments made by uv: one for each set of requirements and interpreter."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from uv import find_uv_bin

from .bundles import Manifest
from .children import Children

# Lines of a requirements file that lead to other files: -r, -c, -e, ./package, package @ file:...
REFERS_TO_FILES = re.compile(
    r"^\s*(-(r|c|e)|--(requirement|constraint|editable)|[./])|file:", re.MULTILINE
)


class BuildError(Exception):
    """Why there is no environment, for the person who deploys."""


@dataclass(frozen=True)
class Environment:
    """A finished environment: its interpreter, and that one's version."""

    python: Path
    version: str


class Environments:
    """Makes environments below one directory, which others may use at the same time and later.

    besides: packages to install after the requirements, such as what serves the app.
    """

    def __init__(
        self, directory: Path, children: Children, besides: tuple[str, ...] = ()
    ) -> None:
        self._directory = directory
        self._children = children
        self._besides = besides
        self._program = find_uv_bin()  # here: two threads must not look at once
        directory.mkdir(parents=True, exist_ok=True)

    def build(
        self, manifest: Manifest, bundle: Path, say: Callable[[str], None]
    ) -> Environment:
        """The environment for a bundle, made unless there is one; `say` gets each line of progress.

        Raises BuildError when no interpreter meets the constraint, or uv fails.
        """
        version, python = self._interpreter(manifest.requires)
        say(f"Python {version} at {python} meets {manifest.requires}")
        directory = self._directory / self._key(manifest, bundle, python, version)
        # Waited for by those only who need this very environment, in whichever process.
        with FileLock(directory.with_suffix(".lock")):
            if directory.is_dir():
                say(f"Using the environment {directory.name} again")
            else:
                self._make(directory, python, bundle, manifest.requirements, say)
        binaries = "Scripts" if os.name == "nt" else "bin"
        return Environment(directory / binaries / "python", version)

    def _interpreter(self, requires: SpecifierSet) -> tuple[str, str]:
        """Version and path: the server's own if it will do, else the newest on this machine."""
        own = platform.python_version()
        if own in requires:
            return own, sys._base_executable
        found = {item["version"]: item["path"] for item in reversed(self._installed())}
        fitting = [version for version in found if version in requires]
        if not fitting:
            here = ", ".join(sorted({own, *found}, key=Version))
            raise BuildError(f"No Python here meets {requires}; there are {here}.")
        best = max(fitting, key=Version)
        return best, found[best]

    def _installed(self) -> list[dict]:
        """What uv finds, best first; it warns on stderr of each that does not run."""
        options = ["--only-installed", "--output-format", "json"]
        command = [self._program, "python", "list", *options]
        lines = list(self._children.run(command, env=_uv_environment()))
        return json.loads(next(line for line in lines if line.startswith("[")))

    def _key(self, manifest: Manifest, bundle: Path, python: str, version: str) -> str:
        text = (bundle / manifest.requirements).read_text(
            encoding="utf-8", errors="replace"
        )
        parts = [version, python, *self._besides, text]
        if REFERS_TO_FILES.search(text):
            parts += sorted(manifest.checksums.values())
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def _make(
        self,
        directory: Path,
        python: str,
        bundle: Path,
        requirements: str,
        say: Callable,
    ) -> None:
        """Make it aside and rename it, so that a directory with this name is always whole."""
        aside = Path(tempfile.mkdtemp(prefix=".building-", dir=self._directory))
        venv = ["venv", "--relocatable", "--no-project", "--python", python]
        install = ["pip", "install", "--python", str(aside)]
        commands = [[*venv, str(aside)], [*install, "--requirements", requirements]]
        if self._besides:
            # On their own, so that they change nothing that the requirements ask for.
            commands.append([*install, *self._besides])
        try:
            for command in commands:
                self._uv(command, bundle, say)
            aside.rename(directory)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise

    def _uv(self, arguments: list[str], cwd: Path, say: Callable[[str], None]) -> None:
        lines = []
        try:
            command = [self._program, *arguments]
            for line in self._children.run(command, cwd=cwd, env=_uv_environment()):
                lines.append(line)
                say(line)
        except subprocess.CalledProcessError as error:
            # From uv's drawing of causes to one line.
            why = " ".join(
                line.strip(" ×╰─▶│") for line in lines if not line.startswith("Using ")
            )
            raise BuildError(f"The environment could not be made: {why}") from error


def _uv_environment() -> dict[str, str]:
    """This process's, without the server's key, which a package's build must not see."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("CONNECT_")
    }
    quiet = {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
    # Not the environment that the server itself happens to run in.
    inherited.pop("VIRTUAL_ENV", None)
    return {**inherited, **quiet}
