"""What is uploaded: a bundle with its files."""

import hashlib
import shutil
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

from .archives import CHUNK, unpack
from .errors import ConnectError, Problem
from .jobs import now

MAX_SIZE = 1024**3  # bytes, of an upload: publishers tell of 1 GB (posit-dev/publisher#2696)
ORIGIN = ("source", "source_repo", "source_branch", "source_commit")


class Bundle:
    """One upload: its archive and its files."""

    def __init__(
        self,
        id: str,
        directory: Path,
        read: Callable[[int], bytes],
        metadata: dict,
        checksum: str | None,
    ) -> None:
        """Keep and unpack an archive; raises HTTPException or OSError, and keeps nothing then.

        directory: a new one; read: reads so many bytes of the archive at most; metadata: where it
        comes from, as the client tells; checksum: the MD5 of the archive, in Base64 as the API
        reference has it or in hexadecimal digits.
        """
        self.id = id
        self.directory = directory
        self.files = directory / "files"
        self.archive = directory / "bundle.tar.gz"
        self.created = now()
        self.failure = ""  # why it does not run
        sums = {name: hashlib.new(name) for name in ("md5", "sha1")}
        directory.mkdir()
        try:
            with self.archive.open("wb") as kept:
                while chunk := read(CHUNK):
                    kept.write(chunk)
                    for each in sums.values():
                        each.update(chunk)
            md5 = sums["md5"]
            if checksum and checksum not in (md5.hexdigest(), b64encode(md5.digest()).decode()):
                message = f"X-Content-Checksum is not the archive's MD5, {md5.hexdigest()}."
                raise ConnectError(Problem.BAD_CHECKSUM, message)
            self.size = self.archive.stat().st_size
            with self.archive.open("rb") as kept:
                self.manifest = unpack(kept, self.files)
        except BaseException:
            self.remove_files()
            raise
        # The values are texts, says Connect's API reference.
        texts = {key: str(value) for key, value in metadata.items() if value is not None}
        origin = {key: texts.get(key) for key in ORIGIN}
        self.metadata = origin | {f"archive_{name}": s.hexdigest() for name, s in sums.items()}

    def remove_files(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
