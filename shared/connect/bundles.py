"""Unpacks a bundle and reads its manifest."""

import gzip
import io
import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from werkzeug.exceptions import BadRequest

MAX_SIZE = 128 * 1024**2  # bytes, of an upload and of what it unpacks to
MAX_PATH = 500  # characters of a file's path
ENTRYPOINT = re.compile(r"[^\W\d][\w.]*(:[^\W\d]\w*)?")
IGNORED = {"image": "--image", "environment_management": "--disable-env-management"}


@dataclass(frozen=True)
class Manifest:
    """What manifest.json says, as `make_source_manifest` in the client's bundle.py writes it."""

    entrypoint: str  # MODULE or MODULE:OBJECT
    requirements: str  # the name of the requirements file
    requires: str  # the Python constraint, such as ">=3.10"
    ignored: list[str]  # the client's options that have no effect here

    @classmethod
    def read(cls, directory: Path) -> "Manifest":
        """Read the manifest of an unpacked bundle; raises BadRequest."""
        try:
            data = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
            metadata = data["metadata"]
            if metadata["appmode"] != "python-api":
                mode = metadata["appmode"]
                raise BadRequest(f"This is a bundle of {mode!r}: only 'python-api' runs here.")
            if not ENTRYPOINT.fullmatch(metadata["entrypoint"]):
                raise BadRequest(f"{metadata['entrypoint']!r} is not an entrypoint.")
            python, environment = data["python"], data.get("environment", {})
            # Without a constraint Connect takes any version of the same major.
            any_minor = f"=={python['version'].split('.')[0]}.*"
            return cls(
                entrypoint=metadata["entrypoint"],
                requirements=str(python["package_manager"]["package_file"]),
                requires=str(environment.get("python", {}).get("requires") or any_minor),
                ignored=[option for key, option in IGNORED.items() if key in environment],
            )
        except FileNotFoundError:
            raise BadRequest("The bundle has no manifest.json.") from None
        except KeyError as error:
            raise BadRequest(f"manifest.json has no {error}.") from None
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise BadRequest(f"manifest.json is not a manifest: {error}") from None


def unpack(archive: BinaryIO, directory: Path) -> Manifest:
    """Unpack a .tar.gz into a new directory and return its manifest; raises BadRequest.

    What it has written by then stays in `directory`, for the caller to remove.
    """
    try:
        # In full first: a small archive can hold a large header.
        with gzip.open(archive) as unzipped:
            data = unzipped.read(MAX_SIZE + 1)
        if len(data) > MAX_SIZE:
            raise ValueError(f"it is larger than {MAX_SIZE:,} bytes")
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            # Debian 12's Python 3.11.2 has no filters yet.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            for member in tar:
                if not is_plain(member):
                    raise ValueError(f"{member.name[:50]} is not a plain file")
            tar.extractall(directory)
    except Exception as error:  # tarfile raises any kind for a malformed archive
        raise BadRequest(f"The bundle cannot be unpacked: {error}") from None
    return Manifest.read(directory)


def is_plain(member: tarfile.TarInfo) -> bool:
    """Whether a member is a file or directory with a path in the bundle."""
    path = PurePosixPath(member.name)
    inside = not path.is_absolute() and ".." not in path.parts and len(member.name) <= MAX_PATH
    return inside and (member.isreg() or member.isdir())
