"""Reads the manifest.json of an unpacked bundle."""

import json
from dataclasses import dataclass
from pathlib import Path

from werkzeug.exceptions import abort

from .errors import ConnectError, Problem


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
