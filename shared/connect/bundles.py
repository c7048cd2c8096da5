"""Unpacks an uploaded bundle safely, and checks it against its manifest."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from packaging.specifiers import InvalidSpecifier, SpecifierSet

MAX_UPLOAD = 64 * 1024**2  # bytes of the archive
MAX_UNPACKED = 256 * 1024**2  # bytes, as a small archive may hold very much
MAX_FILES = 10_000

ENTRYPOINT = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*)?")


class BundleError(Exception):
    """What is wrong with a bundle, for the person who uploaded it."""


class Manifest:
    """What a bundle says about itself, as `make_source_manifest` in the client's bundle.py writes it.

    Raises BundleError for what cannot be served here.
    """

    def __init__(self, directory: Path) -> None:
        try:
            data = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
            metadata, files = data["metadata"], data["files"]
            self.entrypoint = metadata["entrypoint"]
            self.checksums = {name: file["checksum"] for name, file in files.items()}
            mode = metadata["appmode"]
            python = data["python"]
            self.requirements = str(python["package_manager"]["package_file"])
            requires = data.get("environment", {}).get("python", {}).get("requires")
            # Without a constraint Connect takes any version of the same major.
            self.requires = SpecifierSet(
                requires or f"=={python['version'].split('.')[0]}.*"
            )
        except FileNotFoundError:
            raise BundleError("The bundle has no manifest.json.") from None
        except KeyError as error:
            raise BundleError(f"manifest.json has no {error}.") from None
        except (
            InvalidSpecifier,
            ValueError,
            TypeError,
            AttributeError,
            RecursionError,
        ) as error:
            raise BundleError(f"manifest.json cannot be read: {error}") from None
        if mode != "python-api":
            raise BundleError(
                f"The app mode is {mode!r}: only 'python-api' is served here."
            )
        if not isinstance(self.entrypoint, str) or not ENTRYPOINT.fullmatch(
            self.entrypoint
        ):
            raise BundleError(
                f"The entrypoint {self.entrypoint!r} is not MODULE:OBJECT."
            )
        if self.requirements not in self.checksums:
            raise BundleError(f"manifest.json does not list {self.requirements!r}.")
        self._compare(directory)

    def _compare(self, directory: Path) -> None:
        there = {
            path.relative_to(directory).as_posix()
            for path in directory.rglob("*")
            if path.is_file()
        } - {"manifest.json"}
        listed = set(self.checksums)
        for names, problem in (
            (listed - there, "lists files that the bundle does not have"),
            (there - listed, "does not list files that the bundle has"),
        ):
            if names:
                raise BundleError(
                    f"manifest.json {problem}: {', '.join(sorted(names)[:5])}."
                )
        for name, checksum in self.checksums.items():
            content = (directory / name).read_bytes()
            if hashlib.md5(content, usedforsecurity=False).hexdigest() != checksum:
                raise BundleError(f"manifest.json has another checksum for {name}.")


def unpack(archive: BinaryIO, directory: Path) -> Manifest:
    """Unpack a .tar.gz into the empty `directory` and return its checked manifest.

    Raises BundleError; what it wrote until then is below `directory`, for the caller to remove.
    """
    with tempfile.TemporaryFile() as tar:
        _decompress(archive, tar)
        try:
            with tarfile.open(fileobj=tar, mode="r:") as bundle:
                bundle.extractall(directory, members=_members(bundle), filter="data")
        except (tarfile.TarError, OSError, ValueError) as error:
            raise BundleError(f"The bundle cannot be unpacked: {error}") from error
    return Manifest(directory)


def _decompress(archive: BinaryIO, tar: BinaryIO) -> None:
    # Before tarfile sees it: its reader would hold a huge header in memory.
    try:
        with gzip.GzipFile(fileobj=archive) as stream:
            for chunk in iter(lambda: stream.read(1024**2), b""):
                if tar.tell() + len(chunk) > MAX_UNPACKED:
                    raise BundleError(
                        f"The bundle unpacks to more than {MAX_UNPACKED:,} bytes."
                    )
                tar.write(chunk)
    except (EOFError, OSError, zlib.error) as error:
        raise BundleError(f"The bundle is not a whole .tar.gz: {error}") from error
    tar.seek(0)


def _members(bundle: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    names, size = set(), 0
    for member in bundle:
        name, size = PurePosixPath(member.name), size + member.size
        if not (member.isreg() or member.isdir()):
            raise BundleError(
                f"{name} is a link or a device: a bundle holds files only."
            )
        # tarfile would make an absolute path relative: better to say that it is there.
        if name.is_absolute() or ".." in name.parts or "\\" in member.name:
            raise BundleError(f"{name} leads out of the bundle.")
        if name in names:
            raise BundleError(f"{name} is in the bundle twice.")
        names.add(name)
        if size > MAX_UNPACKED or len(names) > MAX_FILES:
            raise BundleError("The bundle unpacks to too much.")
        yield member
