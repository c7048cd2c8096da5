"""Virtual environments, built by uv: one for each set of requirements and Python constraint."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from .bundles import Manifest
from .processes import Processes

# An option such as -r, a path or a URL: what it installs may depend on the bundle's other files.
REFERS_TO_FILES = re.compile(r"^\s*-|/", re.MULTILINE)
UV = find_uv_bin()
PYTHON = "Scripts/python.exe" if os.name == "nt" else "bin/python"


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
        version = re.search(r"^version_info = (\S+)", config, re.MULTILINE)[1]
        return Environment(directory / PYTHON, version)

    def _make(
        self, directory: Path, manifest: Manifest, bundle: Path, say: Callable[[str], None]
    ) -> None:
        """Build aside, then rename: a directory with the final name is always complete."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="new-", dir=self._directory) as aside:
            new = Path(aside, "environment")
            venv = ["venv", "--relocatable", "--no-project", "--python", manifest.requires]
            # Connect, too, adds its own WSGI server to the requirements.
            install = ["pip", "install", "--python", str(new), "waitress", "--requirements"]
            for command in ([*venv, str(new)], [*install, manifest.requirements]):
                # uv leaves lock files in the temporary directory.
                self._run(command, say, cwd=bundle, env={**uv_variables(), "TMPDIR": aside})
            if not (directory / PYTHON).exists():
                shutil.rmtree(directory, ignore_errors=True)
            try:
                new.rename(directory)
            except OSError:
                # Another build of the same environment was first.
                if not (directory / PYTHON).exists():
                    raise

    def pythons(self) -> list[str]:
        """Return the versions of the Pythons on this machine, such as 3.13.1."""
        options = ["--only-installed", "--output-format", "json"]
        lines = self._processes.run([UV, "python", "list", *options], env=uv_variables())
        found = json.loads(next(line for line in lines if line.startswith("[")))
        return list(dict.fromkeys(item["version"] for item in found))

    def _run(self, arguments: list[str], say: Callable[[str], None], **options) -> None:
        lines = []
        try:
            for line in self._processes.run([UV, *arguments], **options):
                lines.append(line)
                say(line)
        except subprocess.CalledProcessError:
            # uv draws its causes as a tree of several lines.
            reason = " ".join(filter(None, (line.strip(" ×╰─▶│") for line in lines)))
            raise BuildError(f"The environment cannot be built: {reason}") from None


def uv_variables() -> dict[str, str]:
    """The environment variables for uv: no server's key, which a package's build must not see."""
    kept = {name: value for name, value in os.environ.items() if "CONNECT_" not in name}
    return {**kept, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
