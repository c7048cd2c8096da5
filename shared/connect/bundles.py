"""Unpacks a bundle and reads its manifest."""

import hashlib
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

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
        """Read the manifest of an unpacked bundle; raises ConnectError."""
        try:
            data = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
            metadata = data["metadata"]
            if metadata["appmode"] != "python-api":
                mode = metadata["appmode"]
                told = f"Not implemented here: a bundle of {mode!r}, only 'python-api' runs."
                raise ConnectError(Problem.NOT_IMPLEMENTED, told)
            python, environment = data["python"], data.get("environment", {})
            # Without a constraint Connect takes any version of the same major.
            any_minor = f"=={python['version'].split('.')[0]}.*"
            return cls(
                entrypoint=str(metadata["entrypoint"]),
                requirements=str(python["package_manager"]["package_file"]),
                requires=str(environment.get("python", {}).get("requires") or any_minor),
            )
        except FileNotFoundError:
            told = "The bundle has no manifest.json."
        except KeyError as error:
            told = f"manifest.json has no {error}."
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            told = f"manifest.json is not a manifest: {error}"
        raise ConnectError(Problem.BAD_MANIFEST, told)


def origin(archive: bytes, told: dict) -> dict[str, str | None]:
    """Return where an archive comes from, as the client has told, and its checksums."""
    texts = {key: None if told.get(key) is None else str(told[key]) for key in ORIGIN}
    sums = {f"archive_{name}": hashlib.new(name, archive).hexdigest() for name in ("md5", "sha1")}
    return texts | sums


def unpack(archive: BinaryIO, directory: Path) -> Manifest:
    """Unpack a .tar.gz into a new directory and return its manifest; raises ConnectError.

    What it has written by then stays in `directory`, for the caller to remove.
    """
    try:
        with tarfile.open(fileobj=archive, mode="r:gz") as tar:
            # Nothing outside of the directory, and no device. Debian 12's Python has no filters.
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            tar.extractall(directory)
    except Exception as error:  # tarfile raises any kind for a malformed archive
        told = f"The bundle cannot be unpacked: {error}"
        raise ConnectError(Problem.BAD_ARCHIVE, told) from None
    return Manifest.read(directory)
