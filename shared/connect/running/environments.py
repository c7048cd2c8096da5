"""Virtual environments, built by uv.

Requirements that are names of packages share one with equal ones; others have one of the bundle's.
"""

import ast
import contextlib
import fcntl
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
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from uv import find_uv_bin

from ..manifest import Manifest
from .children import Children

PYTHON = "bin/python"
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
MAX_MEMORY = 8 * 1024**3  # bytes of each process of a build: uv keeps all that a build prints
LAST_LINES = 200  # of what uv prints, which say why it fails
LONGEST_REASON = 1000  # characters
LARGEST = 2**20  # bytes of a requirements file: 10,000 packages have a third of it
LONGEST_LINE = 1000  # characters of a requirement that is parsed here
ARCHIVE = re.compile(r"\.(whl|egg|zip|tar|t[bglx]z2?|tar\.\w+)$", re.IGNORECASE)
# A line that names a path, maybe after an option such as -r, -c, -f or -i.
PATH_LINE = re.compile(r"^[ \t]*(?:--?[a-z-]+[ \t=]*)?((?:file:|\.{1,2}/|/)\S*)", re.M | re.I)
FILE_URL = re.compile(r"(?:\w+\+)?file:(?://(?:localhost)?)?([^?#]*)", re.IGNORECASE)
# The requirement that is missing, in uv's words.
MISSING = re.compile(
    r"Because ((?:there is no version of |only \S+ is available and you require )?"
    r"(\S+?))(?:,| was not found in | has no wheels | and you require )"
)


class BuildError(Exception):
    """Why there is no environment, in one line."""


@dataclass(frozen=True)
class Environment:
    """A finished virtual environment."""

    python: Path
    version: str  # such as 3.13.1


class Environments:
    """Environments below one directory, which other servers may use at the same time."""

    _found: dict[str, dict[Version, str]] = {}  # by PATH: uv takes seconds to find them
    _finding = threading.Lock()

    def __init__(self, directory: Path, children: Children) -> None:
        """Raises OSError when `directory` cannot be made."""
        self._directory = directory.resolve()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._children = children
        self._settings: dict[str, str] | None = None  # from pip
        self._lock = (self._directory / "lock").open("wb")
        with contextlib.suppress(BlockingIOError):  # another server uses the directory
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for unfinished in self._directory.glob("new-*"):  # of a server that was killed
                shutil.rmtree(unfinished, ignore_errors=True)
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def close(self) -> None:
        """Give the directory free for others."""
        self._lock.close()

    def pythons(self) -> dict[Version, str]:
        """Return the paths of this machine's CPythons, newest first; raises BuildError."""
        path = os.environ.get("PATH", "")
        with self._finding:
            if path not in self._found:
                command = ["python", "list", "--only-installed", "--output-format", "json"]
                # Beside those on PATH, the one that runs this server.
                searched = os.pathsep.join([path, f"{sys.base_prefix}/bin"])
                lines = self._uv(command, self._directory, self._children, PATH=searched)
                found: dict[Version, str] = {}
                for item in json.loads(next(line for line in lines if line.startswith("["))):
                    version, kind = Version(item["version"]), item.get("variant", "default")
                    if (item["implementation"], kind) == ("cpython", "default"):
                        found.setdefault(version, item["path"])
                usable = [each for each in found if each >= OLDEST and not each.is_prerelease]
                self._found[path] = {each: found[each] for each in sorted(usable, reverse=True)}
            return self._found[path]

    def choose(self, manifest: Manifest) -> Version:
        """Return the version of the newest Python that the manifest's constraint allows.

        Without one, that of the publisher, else one of the same minor version, else the newest.
        Raises BuildError.
        """
        found, publishers = self.pythons(), Version(manifest.version)
        minor = publishers.release[:2]
        if manifest.requires:
            fitting = list(SpecifierSet(manifest.requires).filter(found))
        else:
            fitting = sorted(found, key=lambda version: version.release[:2] != minor)
            fitting.sort(key=lambda version: version != publishers)
        if not fitting:
            versions = ", ".join(map(str, found)) or "none"
            raise BuildError(f"No Python here meets {manifest.requires}: there are {versions}.")
        return fitting[0]

    def build(
        self,
        manifest: Manifest,
        bundle: Path,
        private: Path,
        say: Callable[[str], None],
        children: Children,
    ) -> Environment:
        """Return the environment for an unpacked bundle; `say` gets each line of progress.

        private: the directory of one that is not shared; children: what uv is one of. Raises
        BuildError when no Python meets the constraint or a requirement cannot be installed.
        """
        bundle = bundle.resolve()
        chosen = self.choose(manifest)
        python = self.pythons()[chosen]
        # The words of Connect's logs, such as those in posit-dev/rsconnect-python#660.
        version = manifest.requires or manifest.version
        which = f"{python} from Local which has version {chosen}"
        say(f"Bundle requested Python version {version}; using {which}")
        packages, directory = shareable(manifest.requirements, bundle), private
        if packages is not None:
            key = "\n".join([str(chosen), *packages])
            directory = self._directory / hashlib.sha256(key.encode()).hexdigest()[:16]
        if (directory / PYTHON).exists():
            say(f"Using environment {directory.name}")
            return Environment(directory / PYTHON, str(chosen))
        # Built aside and renamed: a directory with the final name is always complete.
        with tempfile.TemporaryDirectory(prefix="new-", dir=directory.parent) as aside:
            new, file, cwd = Path(aside, "environment"), manifest.requirements, bundle
            if packages is not None:
                file, cwd = "requirements.txt", Path(aside)
                Path(aside, file).write_text("\n".join(packages), encoding="utf-8")
            venv = ["venv", "--quiet", "--relocatable", "--no-project", "--python", python]
            commands = [([*venv, str(new)], Path(aside))]
            if packages != []:
                commands.append((["pip", "install", "--python", str(new), "-r", file], cwd))
            for command, at in commands:
                # uv leaves lock files in the temporary directory.
                for line in self._uv(command, at, children, TMPDIR=aside):
                    say(line)
            refuse_outside(new, bundle)
            if not (directory / PYTHON).exists():  # its Python is gone
                shutil.rmtree(directory, ignore_errors=True)
            with contextlib.suppress(OSError):  # another build of the same one was first
                os.rename(new, directory)
        return Environment(directory / PYTHON, str(chosen))

    def _uv(
        self, arguments: list[str], cwd: Path, children: Children, **variables: str
    ) -> Iterator[str]:
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
            **variables,
        }
        ours = re.compile(
            rf"(file://)?({re.escape(str(cwd))}|{re.escape(env.get('TMPDIR', 'no'))})/"
        )
        last: deque[str] = deque(maxlen=LAST_LINES)
        try:
            # macOS has no such limit.
            limited = f'ulimit -v {MAX_MEMORY // 1024} 2>&-; exec "$0" "$@"'
            for line in children.run(["sh", "-c", limited, UV, *arguments], cwd=cwd, env=env):
                last.append(ours.sub("", line))  # as the publisher knows it
                yield last[-1]
        except subprocess.CalledProcessError:
            raise BuildError(reason_of(last)) from None

    def _pip_settings(self) -> dict[str, str]:
        """Return the settings of pip, of its files and variables, for uv; empty without pip."""
        found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
        command = [sys.executable, "-m", "pip", "config", "list"]
        with contextlib.suppress(subprocess.CalledProcessError):
            for line in self._children.run(command, env=inherited()):
                if setting := re.match(r"(global|install|:env:)\.([\w-]+)=(.+)", line):
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


def shareable(name: str, bundle: Path) -> list[str] | None:
    """Return the lines of a bundle's requirements file, if each is a package with its versions.

    None if there is anything else, such as a path, a URL, an option or a variable: what that
    installs depends on more than the text. Raises BuildError when a line leads out of the bundle.
    """
    path = bundle / name
    if path.stat().st_size > LARGEST:
        raise BuildError(f"{name} is larger than {LARGEST:,} bytes.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return None  # uv reads it, or says why not
    for line in PATH_LINE.finditer(text):
        check_inside(line[1], line[0].strip(), path.parent, bundle)
    lines = {re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines()} - {""}
    if any(len(line) > LONGEST_LINE for line in lines):
        return None
    try:
        found = [Requirement(line) for line in lines]
    except (InvalidRequirement, RecursionError):
        return None
    named = all(not each.url and not ARCHIVE.search(each.name) for each in found)
    return sorted(lines) if named else None


def refuse_outside(environment: Path, bundle: Path) -> None:
    """Raise BuildError if a package was installed from a path that is not the bundle's."""
    for file in environment.glob("lib/*/site-packages/*.dist-info/direct_url.json"):
        url = json.loads(file.read_text(encoding="utf-8"))["url"]  # PEP 610
        name = file.parent.name.partition("-")[0]
        check_inside(url, f"{name} from {url}", bundle, bundle)


def check_inside(value: str, what: str, base: Path, bundle: Path) -> None:
    """Raise BuildError if a path or a file: URL leads out of a bundle; other URLs do not."""
    url = FILE_URL.match(value)
    if url or "://" not in value:
        path = os.path.realpath(base / (unquote(url[1]) if url else value))
        if not Path(path).is_relative_to(bundle):
            where = "it is only on this machine, not on a Connect server"
            raise BuildError(f"{what} is not in the bundle: {where}.")


def reason_of(lines: Iterable[str]) -> str:
    """Return in one line why uv failed, from the last lines that it printed."""
    text = " ".join(re.sub("[×╰─▶├│]", " ", "\n".join(lines)[-20 * LONGEST_REASON :]).split())
    text = text.rpartition("error: ")[2].partition(" hint: ")[0]
    text = re.sub(r"\s(?:Caused by|cause): ", ": ", text)
    missing = MISSING.search(text) if text.count("ecause ") == 1 else None
    if missing:  # with pip's words, which people search for
        why = text[missing.start(1) :].partition(", we can conclude")[0]
        text = f"{why} (No matching distribution found for {missing[2]})"
    return ("... " if len(text) > LONGEST_REASON else "") + text[-LONGEST_REASON:]
