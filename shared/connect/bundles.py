"""Unpacks a bundle and reads its manifest."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from werkzeug.exceptions import BadRequest

MAX_SIZE = 128 * 1024**2  # bytes, of an upload and of what it unpacks to
MAX_PATH = 500  # characters of a file's path
ENTRYPOINT = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*)?")
REQUIRES = re.compile(r"[\d.*<>=!~, ]+")


@dataclass(frozen=True)
class Manifest:
    """What manifest.json says, as `make_source_manifest` in the client's bundle.py writes it."""

    entrypoint: str  # MODULE or MODULE:OBJECT
    requirements: str  # the name of the requirements file
    requires: str  # the Python constraint, such as ">=3.10"
    ignored: list[str]  # the client's options that have no effect here

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """Read the manifest of an unpacked bundle; raises BadRequest."""
        try:
            data = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
            metadata, environment = data["metadata"], data.get("environment", {})
            if metadata["appmode"] != "python-api":
                mode = metadata["appmode"]
                raise BadRequest(f"This is a bundle of {mode!r}: only 'python-api' runs here.")
            python = data["python"]
            # Without a constraint Connect takes any version of the same major.
            any_minor = f"=={python['version'].split('.')[0]}.*"
            options = {"image": "--image", "environment_management": "--disable-env-management"}
            manifest = cls(
                entrypoint=metadata["entrypoint"],
                requirements=python["package_manager"]["package_file"],
                requires=environment.get("python", {}).get("requires") or any_minor,
                ignored=[option for key, option in options.items() if key in environment],
            )
            if not ENTRYPOINT.fullmatch(manifest.entrypoint):
                raise BadRequest(f"The entrypoint {manifest.entrypoint!r} is not MODULE:OBJECT.")
            if not REQUIRES.fullmatch(manifest.requires):
                raise BadRequest(f"{manifest.requires!r} is not a Python constraint.")
            requirements = (directory / manifest.requirements).resolve()
            if not (requirements.is_relative_to(directory.resolve()) and requirements.is_file()):
                raise BadRequest(f"The bundle has no file {manifest.requirements!r}.")
        except FileNotFoundError:
            raise BadRequest("The bundle has no manifest.json.") from None
        except KeyError as error:
            raise BadRequest(f"manifest.json has no {error}.") from None
        except (OSError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise BadRequest(f"manifest.json is not a manifest: {error}") from None
        return manifest


def unpack(archive: BinaryIO, directory: Path) -> Manifest:
    """Unpack a .tar.gz into an empty directory and return its manifest; raises BadRequest.

    What it has written by then stays in `directory`, for the caller to remove.
    """
    with tempfile.TemporaryFile() as tar:
        try:
            with gzip.open(archive) as unzipped:
                # Unpacked in full first: a small archive can hold a large header.
                shutil.copyfileobj(Limited(unzipped), tar)
            tar.seek(0)
            with tarfile.open(fileobj=tar, mode="r:") as members:
                # Debian 12's Python 3.11.2 has no filters yet.
                members.extraction_filter = getattr(tarfile, "data_filter", None)
                for member in members:
                    check(member)
                members.extractall(directory)
        except BadRequest:
            raise
        except Exception as error:  # tarfile raises any kind for a malformed archive
            raise BadRequest(f"The bundle cannot be unpacked: {error}") from None
    return Manifest.read(directory)


def check(member: tarfile.TarInfo) -> None:
    """Raise BadRequest unless a member is a file or directory with a path in the bundle."""
    path = PurePosixPath(member.name)
    inside = not path.is_absolute() and ".." not in path.parts
    if not (inside and (member.isreg() or member.isdir()) and len(member.name) <= MAX_PATH):
        raise BadRequest(f"The bundle cannot be unpacked: {member.name[:50]} is not a plain file.")


class Limited:
    """A file that raises BadRequest when it holds more than MAX_SIZE bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = MAX_SIZE

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self._left -= len(chunk)
        if self._left < 0:
            raise BadRequest(f"The bundle unpacks to more than {MAX_SIZE:,} bytes.")
        return chunk
