"""Virtual environments, built by uv.

Requirements that are names of packages share one with equal ones; others have one of the bundle's.
"""

import ast
import contextlib
import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import Version
from uv import find_uv_bin
from werkzeug.exceptions import ServiceUnavailable

from ..manifest import Manifest
from . import requirements
from .processes import Processes
from .requirements import BuildError

PYTHON = "bin/python"
# 0 in an environment with its configuration and packages.
WORKS = "import sys; sys.exit(sys.prefix == sys.base_prefix or 'site-packages' not in sys.path[-1])"
UV = find_uv_bin()  # not in threads, where it can fail
OLDEST = Version("3.8")  # of the Pythons that run an app
# pip's settings, and the variables that tell uv the same.
FROM_PIP = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
}
# What says how programs print: for a terminal, in which language, how much. uv, for one, wraps
# its messages to COLUMNS, and pip has no settings to tell with PIP_QUIET.
PRINTING = re.compile(
    r"COLUMNS|LINES|TERM|(NO|FORCE)_COLOR|CLICOLOR\w*|PAGER|LANG|LANGUAGE|LC_\w+|RUST_\w+"
    r"|PIP_(QUIET|VERBOSE|LOG)"
)
PLAIN = {"LC_ALL": "C.UTF-8", "NO_COLOR": "1", "TERM": "dumb"}
# What is missing, in uv's words.
MISSING = re.compile(
    r"(?:there is no version of )?(\S+)(?: was not found in .*| has no wheels .*|$)"
)


@dataclass(frozen=True)
class Environment:
    """A finished virtual environment."""

    python: Path
    version: str  # such as 3.13.1


@dataclass(frozen=True)
class Python:
    """A Python of this machine, from which environments are made."""

    version: Version
    path: str


class Environments:
    """Environments below one directory, which other servers may use at the same time."""

    _found: dict[str, list[Python]] = {}  # by PATH: uv takes seconds to find them
    _finding = threading.Lock()

    def __init__(self, directory: Path, processes: Processes) -> None:
        """Raises OSError when `directory` cannot be made."""
        self._directory = directory.resolve()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._processes = processes
        self._settings: dict[str, str] | None = None  # from pip
        self._replacing = threading.Lock()

    def prepare(self) -> None:
        """Find the Pythons in the background, for whoever asks first."""

        def find() -> None:
            with contextlib.suppress(BuildError, OSError, ServiceUnavailable):
                self.pythons()

        threading.Thread(target=find, name="pythons").start()

    def pythons(self) -> list[Python]:
        """Return the Pythons on this machine that can run an app, newest first; one each version.

        They are CPython releases from 3.8 on. Raises BuildError.
        """
        path = os.environ.get("PATH", "")
        with self._finding:
            if path not in self._found:
                command = ["python", "list", "--only-installed", "--output-format", "json"]
                # Beside those on PATH, the one that runs this server.
                searched = os.pathsep.join([path, f"{sys.base_prefix}/bin"])
                lines = self._uv(command, cwd=self._directory, PATH=searched)
                found: dict[Version, Python] = {}
                for item in json.loads(next(line for line in lines if line.startswith("["))):
                    version, kind = Version(item["version"]), item.get("variant", "default")
                    if (item["implementation"], kind) == ("cpython", "default"):
                        found.setdefault(version, Python(version, item["path"]))
                wanted = [each for each in found if each >= OLDEST and not each.is_prerelease]
                self._found[path] = [found[version] for version in sorted(wanted, reverse=True)]
            return self._found[path]

    def choose(self, manifest: Manifest) -> Python:
        """Return the newest Python that the manifest's constraint allows.

        Without one, that of the publisher, else one of the same minor, else of the same major
        version. Raises BuildError.
        """
        found, wanted = self.pythons(), Version(manifest.version)
        if manifest.requires:
            allowed = SpecifierSet(manifest.requires)
            fitting = [python for python in found if python.version in allowed]
        else:
            fitting = [python for python in found if python.version.major == wanted.major]
            fitting.sort(key=lambda python: python.version.minor != wanted.minor)
            fitting.sort(key=lambda python: python.version != wanted)
        if not fitting:
            asked = manifest.requires or f"{wanted.major}.*"
            versions = ", ".join(str(python.version) for python in found)
            raise BuildError(f"No Python here meets {asked}: there are {versions or 'none'}.")
        return fitting[0]

    def build(
        self, manifest: Manifest, bundle: Path, own: Path, say: Callable[[str], None]
    ) -> Environment:
        """Return the environment for an unpacked bundle; `say` gets each line of progress.

        own: the directory of one that is not shared. Raises BuildError when no Python meets the
        constraint or a requirement cannot be installed.
        """
        bundle = bundle.resolve()
        python = self.choose(manifest)
        # The words of Connect's logs, such as those in posit-dev/rsconnect-python#660.
        asked = manifest.requires or manifest.version
        which = f"{python.path} from Local which has version {python.version}"
        say(f"Bundle requested Python version {asked}; using {which}")
        shared = requirements.shareable(requirements.check(manifest.requirements, bundle, set()))
        directory = own
        if shared is not None:
            key = "\n".join([str(python.version), *shared])
            directory = self._directory / hashlib.sha256(key.encode()).hexdigest()[:16]
        if self._works(directory):
            say(f"Using environment {directory.name}")
        else:
            self._make(directory, python, shared, manifest, bundle, say)
        return Environment(directory / PYTHON, str(python.version))

    def _works(self, directory: Path) -> bool:
        """Whether there is an environment, and neither it nor its Python is damaged."""
        python = directory / PYTHON
        try:
            command = [str(python), "-I", "-c", WORKS]
            return python.exists() and not list(self._processes.run(command, env=inherited()))
        except subprocess.CalledProcessError:
            return False

    def _make(
        self,
        directory: Path,
        python: Python,
        shared: list[str] | None,
        manifest: Manifest,
        bundle: Path,
        say: Callable[[str], None],
    ) -> None:
        """Build aside, then rename: a directory with the final name is always complete."""
        with tempfile.TemporaryDirectory(prefix="new-", dir=directory.parent) as aside:
            new, file, cwd = Path(aside, "environment"), manifest.requirements, bundle
            if shared is not None:
                file, cwd = "requirements.txt", Path(aside)
                Path(aside, file).write_text("\n".join(shared), encoding="utf-8")
            install = ["pip", "install", "--python", str(new)]
            venv = ["venv", "--quiet", "--relocatable", "--no-project", "--python", python.path]
            commands = [([*venv, str(new)], Path(aside)), ([*install, "-r", file], cwd)]
            for command, at in commands[: 1 if shared == [] else 2]:
                # uv leaves lock files in the temporary directory.
                for line in self._uv(command, at, TMPDIR=aside):
                    say(line)
            refuse_outside(new, bundle)
            with self._replacing:
                if not self._works(directory):
                    shutil.rmtree(directory, ignore_errors=True)
                with contextlib.suppress(OSError):  # another build of the same one was first
                    os.rename(new, directory)

    def _uv(self, arguments: list[str], cwd: Path, **variables: str) -> Iterator[str]:
        """Run uv and yield its lines; raises BuildError."""
        if self._settings is None:
            self._settings = self._pip_settings()
        kept = inherited()
        user = Path(kept.get("XDG_CONFIG_HOME") or Path.home() / ".config", "uv", "uv.toml")
        if "SSL_CERT_FILE" in self._settings:
            kept.pop("SSL_CERT_FILE", None)
        env = {
            # The user's settings, and none of a bundle's (posit-dev/publisher#3366).
            **({"UV_CONFIG_FILE": str(user)} if user.is_file() else {"UV_NO_CONFIG": "1"}),
            "UV_NO_SOURCES": "1",  # pip does not read them either
            **self._settings,
            **kept,
            "UV_PYTHON_DOWNLOADS": "never",
            "PWD": str(cwd),
            **variables,
        }
        ours = re.compile(
            rf"(file://)?({re.escape(str(cwd))}|{re.escape(env.get('TMPDIR', 'no'))})/"
        )
        try:
            for line in self._processes.run([UV, *arguments], cwd=cwd, env=env):
                yield ours.sub("", line)  # as the publisher knows it
        except subprocess.CalledProcessError as error:
            raise BuildError(reason_of(ours.sub("", error.output))) from None

    def _pip_settings(self) -> dict[str, str]:
        """What pip is told by its files and variables, for uv; empty without pip."""
        found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
        command = [sys.executable, "-m", "pip", "config", "list"]
        with contextlib.suppress(subprocess.CalledProcessError):
            for line in self._processes.run(command, env=inherited()):
                if setting := re.match(r"(global|install|:env:)\.([\w-]+)=(.+)", line):
                    with contextlib.suppress(SyntaxError, ValueError):
                        found[setting[1]][setting[2]] = str(ast.literal_eval(setting[3]))
        options = found["global"] | found["install"] | found[":env:"]  # pip's order
        settings = {
            FROM_PIP[name]: " ".join(options[name].split()) for name in options.keys() & FROM_PIP
        }
        if links := settings.pop("UV_FIND_LINKS", ""):  # pip passes over those that are gone
            there = [link for link in links.split() if "://" in link or os.path.exists(link)]
            settings["UV_FIND_LINKS"] = ",".join(there)
        # pip prefers no index to another, and trusts the system's certificates.
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"
        paths = ssl.get_default_verify_paths()
        if paths.cafile or paths.capath and any(os.scandir(paths.capath)):
            settings |= {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}  # the second before uv 0.11
        return settings


def inherited() -> dict[str, str]:
    """Return the variables of this process that builds get: no key, and nothing of a terminal."""
    kept = {name: value for name, value in os.environ.items() if "CONNECT_" not in name}
    return {name: kept[name] for name in kept if not PRINTING.fullmatch(name)} | PLAIN


def refuse_outside(environment: Path, bundle: Path) -> None:
    """Raise BuildError if a package was installed from a path that is not the bundle's."""
    for file in environment.glob("lib/*/site-packages/*.dist-info/direct_url.json"):
        url = json.loads(file.read_text(encoding="utf-8"))["url"]  # PEP 610
        path, name = requirements.local_path(url, bundle), file.parent.name.partition("-")[0]
        if path and not path.is_relative_to(bundle):
            raise BuildError(requirements.outside(f"{name} from {url}"))


def reason_of(output: str) -> str:
    """Return the error in uv's output in one line."""
    text = " ".join(re.sub(r"[×╰─▶├│]+", " ", output).split())
    steps = re.findall(
        r"[Bb]ecause (.+?), we can conclude that (.+?)\.(?= And because | hint: |$)", text
    )
    if len(steps) > 2:  # what the others come to, and the last one
        return f"{steps[-2][1]} and {steps[-1][0]}"
    if len(steps) == 1:
        why, _, required = steps[0][0].partition(" and you require ")
        missing = MISSING.match(why)
        if missing or re.match("only .* available$", why):
            # pip's words, which people search for.
            message = f"No matching distribution found for {missing[1] if missing else required}"
            return f"{why if missing else steps[0][0]} ({message})"
    if steps:
        return " and ".join(why for why, _ in steps)
    if stderr := re.search(
        r"(?:\[stderr\]|--- stderr)\s+(.*?)\s*(?:\n\s*hint:|\Z)", output, re.DOTALL
    ):
        first = re.search(r"(?:error: |× )(.+)", output)
        return f"{first[1] if first else 'uv failed'}: {stderr[1].splitlines()[-1].strip()}"
    text = text.rpartition("error: ")[2].partition(" hint: ")[0]
    return re.sub(r"\s(?:Caused by|cause): ", ": ", text)
