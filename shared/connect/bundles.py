"""What is uploaded: a bundle with its files, its environment once it is built, and its app."""

import hashlib
import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from .errors import ConnectError, Problem
from .jobs import now
from .manifest import Manifest
from .running.apps import App, Pool
from .running.environments import Environment

MAX_SIZE = 128 * 1024**2  # bytes, of an upload
ORIGIN = ("source", "source_repo", "source_branch", "source_commit")


class Bundle:
    """One upload: its files, its environment once it is built, and its processes."""

    def __init__(
        self,
        id: str,
        directory: Path,
        archive: bytes,
        metadata: dict,
        start: Callable[["Bundle"], App],
        processes: int,
    ) -> None:
        """Keep and unpack an archive; raises HTTPException, and keeps nothing then.

        directory: a new one; metadata: where the archive comes from, as the client tells; start:
        starts a process of the bundle's app, one of so many `processes`.
        """
        self.id = id
        self.directory = directory
        self.files = directory / "files"
        self.archive = directory / "bundle.tar.gz"
        self.size = len(archive)
        self.created = now()
        self.environment: Environment | None = None
        self.failure = ""  # why it does not run
        self.pool = Pool(lambda: start(self), processes)
        directory.mkdir()
        try:
            self.archive.write_bytes(archive)
            self.manifest = unpack(io.BytesIO(archive), self.files)
            self.metadata = origin(archive, metadata)
        except BaseException:
            self.remove_files()
            raise

    @property
    def state(self) -> str:
        if self.failure:
            return "failed"
        return "running" if self.pool.running else "not started"

    def remove_files(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


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
