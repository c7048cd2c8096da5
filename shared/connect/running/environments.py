"""Virtual environments, built by uv: one for each set of requirements and Python constraint."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from ..manifest import Manifest
from .processes import Processes

# An option such as -r, a path or a URL, outside of a comment: what it installs may depend on the
# bundle's other files.
REFERS_TO_FILES = re.compile(r"^\s*-(?!-hash)|^[^#\n]*(?:/|\.whl\b)", re.MULTILINE)
# What uv says of requirements that exclude each other, without what they then imply.
CONFLICT = re.compile(r"Because (.+?)(?: and you require [^,;]+)?, we can conclude")
PYTHON = "bin/python"
UV = find_uv_bin()  # not in threads, where it can fail


class BuildError(Exception):
    """Why there is no environment, in one line."""


@dataclass(frozen=True)
class Environment:
    """A finished virtual environment."""

    python: Path
    version: str  # such as 3.13.1


class Environments:
    """Environments below one directory, which other servers may use at the same time."""

    def __init__(self, directory: Path, processes: Processes) -> None:
        """Raises OSError when `directory` cannot be made."""
        self._directory = directory.resolve()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._processes = processes

    def build(self, manifest: Manifest, bundle: Path, say: Callable[[str], None]) -> Environment:
        """Return the environment for an unpacked bundle; `say` gets each line of progress.

        Raises BuildError when no Python meets the constraint or a requirement cannot be installed.
        """
        text = (bundle / manifest.requirements).read_text(encoding="utf-8", errors="replace")
        parts = [manifest.requires, text]
        if REFERS_TO_FILES.search(text):
            # It has the checksums of all files.
            parts.append((bundle / "manifest.json").read_text(encoding="utf-8"))
        key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
        directory = self._directory / key
        # False, too, for a link to a Python that has been removed.
        if (directory / PYTHON).exists():
            say(f"Using environment {key}")
        else:
            self._make(directory, manifest, bundle, say)
        config = (directory / "pyvenv.cfg").read_text(encoding="utf-8")
        version = re.findall(r"^version_info = (\S+)", config, re.MULTILINE)[0]
        return Environment(directory / PYTHON, version)

    def _make(
        self, directory: Path, manifest: Manifest, bundle: Path, say: Callable[[str], None]
    ) -> None:
        """Build aside, then rename: a directory with the final name is always complete."""
        with tempfile.TemporaryDirectory(prefix="new-", dir=self._directory) as aside:
            new = f"{aside}/environment"
            venv = ["venv", "--quiet", "--relocatable", "--python", manifest.requires, new]
            install = ["pip", "install", "--python", new, "-r", manifest.requirements]
            for command in (venv, install):
                # uv leaves lock files in the temporary directory.
                for line in self._uv(command, cwd=bundle, TMPDIR=aside):
                    say(line)
            if not (directory / PYTHON).exists():
                shutil.rmtree(directory, ignore_errors=True)
            with contextlib.suppress(OSError):  # another build of the same one was first
                os.rename(new, directory)

    def pythons(self) -> list[str]:
        """Return the versions of the Pythons on this machine, such as 3.13.1."""
        lines = self._uv(["python", "list", "--only-installed", "--output-format", "json"])
        found = json.loads(next(line for line in lines if line.startswith("[")))
        return list(dict.fromkeys(item["version"] for item in found))

    def _uv(self, arguments: list[str], cwd: Path | None = None, **variables: str) -> Iterator[str]:
        """Run uv and yield its lines; raises BuildError."""
        # A package's build must not see a server's key.
        kept = {name: value for name, value in os.environ.items() if "CONNECT_" not in name}
        env = {**kept, "UV_PYTHON_DOWNLOADS": "never", **variables}
        try:
            yield from self._processes.run([UV, *arguments], cwd=cwd, env=env)
        except subprocess.CalledProcessError as error:
            text = " ".join(error.output.split())
            conflict = CONFLICT.search(text)
            # Its progress comes first.
            raise BuildError(conflict[1] if conflict else text.split("error: ", 1)[-1]) from None
