"""Unpacks a bundle and reads its manifest."""

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from werkzeug.exceptions import BadRequest

MAX_SIZE = 128 * 1024**2  # bytes, of an upload


@dataclass(frozen=True)
class Manifest:
    """What manifest.json says, as `make_source_manifest` in the client's bundle.py writes it."""

    entrypoint: str  # MODULE or MODULE:OBJECT, where MODULE may be a file
    requirements: str  # the name of the requirements file
    requires: str  # the Python constraint, such as ">=3.10"

    @classmethod
    def read(cls, directory: Path) -> "Manifest":
        """Read the manifest of an unpacked bundle; raises BadRequest."""
        try:
            data = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
            metadata = data["metadata"]
            if metadata["appmode"] != "python-api":
                mode = metadata["appmode"]
                raise BadRequest(f"This is a bundle of {mode!r}: only 'python-api' runs here.")
            python, environment = data["python"], data.get("environment", {})
            # Without a constraint Connect takes any version of the same major.
            any_minor = f"=={python['version'].split('.')[0]}.*"
            return cls(
                entrypoint=str(metadata["entrypoint"]),
                requirements=str(python["package_manager"]["package_file"]),
                requires=str(environment.get("python", {}).get("requires") or any_minor),
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
        with tarfile.open(fileobj=archive, mode="r:gz") as tar:
            # Nothing outside of the directory, and no device. Debian 12's Python has no filters.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(directory)
    except Exception as error:  # tarfile raises any kind for a malformed archive
        raise BadRequest(f"The bundle cannot be unpacked: {error}") from None
    return Manifest.read(directory)
