"""Unpacks the archive of a bundle, whatever a client sends."""

import gzip
import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from .errors import ConnectError, Problem, StorageFull, http_error
from .manifest import Manifest

MAX_UNPACKED = 4 * 1024**3  # bytes, of the files
MAX_HEADERS = 100_000  # so 50,000 files that have two each, as Python writes them
MAX_LONG_HEADER = 8192  # bytes; a path has 4,096
MAX_SQUARES = 2**32  # of the lengths of all long headers
MAX_DEPTH = 100  # directories in a path: shutil.rmtree is recursive before Python 3.13
MAX_PADDING = 2**20  # bytes after the end
CHUNK = 2**16  # bytes that are read at once
GZIP = b"\x1f\x8b"  # in front, RFC 1952
# Headers with more about the next one: those of pax, of Solaris, and long names of GNU tar.
LONG_HEADERS = tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, *tarfile.GNU_TYPES


class Member(tarfile.TarInfo):
    """A member of an archive, whose header is checked before tarfile reads what it announces.

    Not all Pythons do so: CVE-2024-6232 is a regular expression that takes the square of a header's
    length, CVE-2025-8194 an endless loop at negative sizes.
    """

    def _proc_member(self, tar: "Archive") -> tarfile.TarInfo:
        tar.headers += 1
        tar.pax_headers = {}  # the global ones, which are applied to each member
        if self.size < 0:
            raise ValueError(f"{self.name[:200]!r} has a negative size")
        if self.type == tarfile.GNUTYPE_SPARSE:
            self._proc_gnusparse_10()
        if self.type in LONG_HEADERS:
            tar.squares += self.size**2
            if self.size > MAX_LONG_HEADER:
                raise ValueError(f"a header has {self.size:,} bytes")
        if tar.headers > MAX_HEADERS or tar.squares > MAX_SQUARES:
            raise ValueError(f"it has more than {MAX_HEADERS // 2:,} files")
        return super()._proc_member(tar)  # type: ignore[misc]

    def _proc_gnusparse_10(self, *_: object) -> None:
        """Refuse a map that tarfile reads without a limit."""
        raise ValueError(f"{self.name[:200]!r} is a sparse file: archive it without --sparse")


class Archive(tarfile.TarFile):
    """An archive that is read once, from its start to its end."""

    tarinfo = Member
    headers = squares = 0  # how many there are, and the squares of the lengths of long ones


def unpack(archive: BinaryIO, directory: Path) -> Manifest:
    """Unpack a .tar.gz into a new directory and return its manifest.

    Raises HTTPException, and OSError on a full disk. What it has written by then stays in
    `directory`, for the caller to remove.
    """
    names, size, member = set(), 0, None
    try:
        if archive.read(2) != GZIP:
            raise ValueError("it is not gzipped. Upload a .tar.gz")
        archive.seek(0)
        with gzip.open(archive) as data, Archive(fileobj=data) as tar:
            directory.mkdir()
            for member in tar:
                names.add(PurePosixPath(member.name))
                size += member.size
                if size > MAX_UNPACKED:
                    raise ValueError(f"its files have more than {MAX_UNPACKED:,} bytes")
                write(tar, member, directory)
            # tarfile stops silently at a damaged header, so check for the end marker.
            data.seek(tar.offset)
            end = data.read(tarfile.BLOCKSIZE)
            if len(end) < tarfile.BLOCKSIZE or any(end):
                raise ValueError("it breaks off")
            # gzip checks its sums at the end of what it reads.
            if any(data.read(MAX_PADDING)) or data.read(1):
                raise ValueError("something follows its end")
    except Exception as error:  # tarfile raises any kind for a malformed archive
        if isinstance(http_error(error), StorageFull):
            raise
        reason = getattr(error, "strerror", None) or error
        if member and getattr(error, "errno", None):
            reason = f"{member.name[:200]!r}: {reason}"
        message = f"The bundle cannot be unpacked: {reason}."
        raise ConnectError(Problem.BAD_ARCHIVE, message) from None
    if PurePosixPath("manifest.json") not in names:
        below = min((str(name) for name in names if name.name == "manifest.json"), default=None)
        message = "The bundle has no manifest.json"
        if below:
            message += f" at its top, only {below!r}: archive what is in the directory, without it"
        raise ConnectError(Problem.BAD_MANIFEST, f"{message}.")
    return Manifest.read(directory)


def write(tar: tarfile.TarFile, member: tarfile.TarInfo, directory: Path) -> None:
    """Write a member of an archive; raises ValueError unless it is a file below the directory."""
    name, shown = PurePosixPath(member.name), repr(member.name[:200])
    if name.is_absolute() or ".." in name.parts:
        raise ValueError(f"{shown} leads out of it")
    if len(name.parts) > MAX_DEPTH:
        raise ValueError(f"{shown} is below more than {MAX_DEPTH} directories")
    if member.issym() or member.islnk():
        raise ValueError(f"{shown} is a link: replace it with the file itself")
    if not (member.isreg() or member.isdir()):
        raise ValueError(f"{shown} is neither a file nor a directory")
    path = directory / name
    (path if member.isdir() else path.parent).mkdir(parents=True, exist_ok=True)
    if source := tar.extractfile(member):  # None for a directory
        with path.open("wb") as file:
            shutil.copyfileobj(source, file, CHUNK)
        path.chmod(0o600 | member.mode & 0o777)
        os.utime(path, (member.mtime, member.mtime))
