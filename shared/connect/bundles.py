"""Unpacks a bundle and reads its manifest."""

import hashlib
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from werkzeug.exceptions import abort

from .errors import ConnectError, Problem

MAX_SIZE = 128 * 1024**2  # bytes, of an upload
ORIGIN = ("source", "source_repo", "source_branch", "source_commit")


@dataclass(frozen=True)
class Manifest:
    """What manifest.json says, as `make_source_manifest` in the client's bundle.py writes it."""

    entrypoint: str  # MODULE or MODULE:OBJECT, where MODULE may be a file
    requirements: str  # the name of the requirements file
    requires: str  # the Python constraint, such as ">=3.10"

    @classmethod
    def read(cls, directory: Path) -> "Manifest":
        """Read the manifest of an unpacked bundle; raises HTTPException."""
        try:
            data = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            told = f"The bundle's manifest.json cannot be read: {error}"
            raise ConnectError(Problem.BAD_MANIFEST, told) from None
        mode = text_at(data, "metadata", "appmode")
        if mode != "python-api":
            abort(501, f"Not implemented here: a bundle of {mode!r}, only 'python-api' runs.")
        # Without a constraint Connect takes any version of the same major.
        any_minor = f"=={text_at(data, 'python', 'version').partition('.')[0]}.*"
        return cls(
            entrypoint=text_at(data, "metadata", "entrypoint"),
            requirements=text_at(data, "python", "package_manager", "package_file"),
            requires=text_at(data, "environment", "python", "requires", default=any_minor),
        )


def text_at(data: object, *keys: str, default: str | None = None) -> str:
    """Return a text in nested objects; raises ConnectError without it and a default."""
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    text = data or default
    if not isinstance(text, str):
        raise ConnectError(Problem.BAD_MANIFEST, f"manifest.json has no text {'.'.join(keys)}.")
    return text


def origin(archive: bytes, told: dict) -> dict[str, str | None]:
    """Return where an archive comes from, as the client has told, and its checksums."""
    sums = {f"archive_{name}": hashlib.new(name, archive).hexdigest() for name in ("md5", "sha1")}
    return {key: told.get(key) for key in ORIGIN} | sums


def unpack(archive: BinaryIO, directory: Path) -> Manifest:
    """Unpack a .tar.gz into a new directory and return its manifest; raises HTTPException.

    What it has written by then stays in `directory`, for the caller to remove.
    """
    try:
        with tarfile.open(fileobj=archive, mode="r:gz") as tar:
            # Debian 12's Python has no filters yet.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            for member in tar:
                if not is_plain(member):
                    raise ValueError(f"{member.name[:50]} is not a plain file")
            tar.extractall(directory)
    except Exception as error:  # tarfile raises any kind for a malformed archive
        told = f"The bundle cannot be unpacked: {error}"
        raise ConnectError(Problem.BAD_ARCHIVE, told) from None
    return Manifest.read(directory)


def is_plain(member: tarfile.TarInfo) -> bool:
    """Whether a member is a file or directory with a path in the bundle."""
    path = PurePosixPath(member.name)
    inside = not path.is_absolute() and ".." not in path.parts
    return inside and (member.isreg() or member.isdir())
