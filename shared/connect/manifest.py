"""Reads the manifest.json of an unpacked bundle."""

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from .errors import ConnectError, Problem, not_implemented

MAX_SIZE = 2**24  # bytes: 100,000 files have about 10 MB
MAX_TEXT = 1000  # characters of an entrypoint, a version, ...


@dataclass(frozen=True)
class Manifest:
    """What manifest.json says, as `make_source_manifest` in the client's bundle.py writes it."""

    entrypoint: str  # MODULE or MODULE:OBJECT, where MODULE may be a file
    requirements: str  # the name of the requirements file, which is there
    version: str  # of the publisher's Python, such as 3.11.4
    requires: str  # the Python constraint, such as ">=3.10"; may be empty

    @classmethod
    def read(cls, directory: Path) -> "Manifest":
        """Read the manifest of an unpacked bundle; raises HTTPException."""
        file = directory / "manifest.json"
        try:
            if file.stat().st_size > MAX_SIZE:
                raise ValueError(f"it has more than {MAX_SIZE:,} bytes")
            data = json.loads(file.read_text(encoding="utf-8"))
            mode = text_at(data, "metadata", "appmode")
            if mode != "python-api":
                not_implemented(f"a bundle of {mode!r}, only 'python-api' runs")
            manifest = cls(
                entrypoint=text_at(data, "metadata", "entrypoint"),
                requirements=text_at(data, "python", "package_manager", "package_file"),
                version=text_at(data, "python", "version"),
                requires=text_at(data, "environment", "python", "requires", default=""),
            )
            Version(manifest.version)
            SpecifierSet(manifest.requires)
            listed = PurePosixPath(manifest.requirements)
            inside = not listed.is_absolute() and ".." not in listed.parts
            if not (inside and (directory / listed).is_file()):
                message = f"its requirements file (package_file) {str(listed)!r}"
                raise ValueError(f"{message} is not a file in the bundle")
        except (OSError, ValueError, RecursionError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            if isinstance(error, InvalidSpecifier):  # posit-dev/publisher#2628
                reason += "; a Python constraint has an operator and a version, such as '~=3.11'"
            message = f"The bundle's manifest.json cannot be used: {reason}."
            raise ConnectError(Problem.BAD_MANIFEST, message) from None
        return manifest


def text_at(data: object, *keys: str, default: str | None = None) -> str:
    """Return a text in nested objects; raises ValueError without it and a default."""
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    text = default if data is None else data
    # No name of a file or of a process's argument has a NUL, or what UTF-8 cannot carry.
    odd = isinstance(text, str) and ("\0" in text or text.encode(errors="replace").decode() != text)
    if not isinstance(text, str) or odd or len(text) > MAX_TEXT or not (text or default == ""):
        raise ValueError(f"it has no text {'.'.join(keys)}")
    return text
