"""What is uploaded: a bundle with its files, its environment once it is built, and its app."""

import gzip
import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from .errors import ConnectError, Problem, StorageFull, http_error
from .jobs import now
from .manifest import Manifest
from .running.apps import App, Pool
from .running.environments import Environment

MAX_SIZE = 1024**3  # bytes, of an upload: publishers tell of 1 GB (posit-dev/publisher#2696)
MAX_UNPACKED = 4 * MAX_SIZE  # bytes, of its files
CHUNK = 2**16  # bytes that are read at once
ORIGIN = ("source", "source_repo", "source_branch", "source_commit")


class Bundle:
    """One upload: its files, its environment once it is built, and its processes."""

    def __init__(
        self,
        id: str,
        directory: Path,
        read: Callable[[int], bytes],
        metadata: dict,
        start: Callable[["Bundle"], App],
        processes: int,
    ) -> None:
        """Keep and unpack an archive; raises HTTPException or OSError, and keeps nothing then.

        directory: a new one; read: reads so many bytes of the archive at most; metadata: where it
        comes from, as the client tells; start: starts a process of the bundle's app, one of so
        many `processes`.
        """
        self.id = id
        self.directory = directory
        self.files = directory / "files"
        self.archive = directory / "bundle.tar.gz"
        self.created = now()
        self.environment: Environment | None = None
        self.failure = ""  # why it does not run
        self.pool = Pool(lambda: start(self), processes)
        sums = {name: hashlib.new(name) for name in ("md5", "sha1")}
        directory.mkdir()
        try:
            with self.archive.open("wb") as kept:
                while chunk := read(CHUNK):
                    kept.write(chunk)
                    for checksum in sums.values():
                        checksum.update(chunk)
            self.size = self.archive.stat().st_size
            with self.archive.open("rb") as kept:
                self.manifest = unpack(kept, self.files)
        except BaseException:
            self.remove_files()
            raise
        origin = {key: metadata.get(key) for key in ORIGIN}
        self.metadata = origin | {f"archive_{name}": s.hexdigest() for name, s in sums.items()}

    @property
    def state(self) -> str:
        if self.failure:
            return "failed"
        return "running" if self.pool.running else "not started"

    def remove_files(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


def unpack(archive: BinaryIO, directory: Path) -> Manifest:
    """Unpack a .tar.gz into a new directory and return its manifest.

    Raises HTTPException, and OSError on a full disk. What it has written by then stays in
    `directory`, for the caller to remove.
    """
    names, size, member = set(), 0, None
    try:
        with gzip.open(archive) as data, tarfile.open(fileobj=data, mode="r:") as tar:
            directory.mkdir()
            for member in tar:
                names.add(PurePosixPath(member.name))
                size += member.size
                if size > MAX_UNPACKED:
                    raise ValueError(f"its files have more than {MAX_UNPACKED:,} bytes")
                write(tar, member, directory)
            # tarfile takes whatever is no header for the end; gzip checks its sums there.
            data.seek(tar.offset)
            end = data.read(tarfile.BLOCKSIZE)
            if len(end) < tarfile.BLOCKSIZE or any(end):
                raise ValueError("it breaks off")
            while chunk := data.read(CHUNK):
                if any(chunk):
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
