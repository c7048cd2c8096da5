"""Archives and manifests that are damaged or hostile are refused in one line, and soon."""

import gzip
import io
import os
import subprocess
import sys
import tarfile

import pytest

from shared.catalogue import ROOT
from shared.connect import archives
from shared.connect.errors import ConnectError
from tests.connect.support import make_archive, make_bundle

WHOLE = make_bundle()
TAR = gzip.decompress(WHOLE)
FILE = 2 * 512  # bytes of a small file with its header


def header(type, size, name="a"):
    """The header of a member, whatever its size."""
    member = tarfile.TarInfo(name)
    member.type, member.size = type, size
    return member.tobuf(tarfile.GNU_FORMAT)


def extended(text, type=tarfile.XHDTYPE):
    """A header of pax, with its text."""
    return header(type, len(text)) + text + b"\0" * (-len(text) % 512)


def record(text):
    """A line of pax, which begins with its length: two digits."""
    return b"%d %b\n" % (len(text) + 4, text)


def bundle_with(name, type=tarfile.REGTYPE, linkname=""):
    """A bundle with one more member of the archive."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = type, linkname
    return make_bundle(members=[member])


LINK = "'a/b' is a link: replace it with the file itself"
BREAKS_OFF = "The bundle cannot be unpacked: it breaks off."
BAD = {
    "traversal": (bundle_with("../a\nb"), r"'../a\nb' leads out of it"),
    "absolute": (bundle_with("/tmp/evil.py"), "'/tmp/evil.py' leads out of it"),
    "link": (bundle_with("a/b", tarfile.SYMTYPE, "/etc"), LINK),
    "hard link": (bundle_with("a/b", tarfile.LNKTYPE, "app.py"), LINK),
    "fifo": (bundle_with("f", tarfile.FIFOTYPE), "'f' is neither a file nor a directory"),
    "file as directory": (bundle_with("app.py/b"), "'app.py/b': File exists"),
    "long name": (bundle_with("n" * 300), "File name too long"),
    "deep": (bundle_with("a/" * 101 + "b"), "is below more than 100 directories"),
    "zip": (b"PK\3\4" * 200, "it is not gzipped. Upload a .tar.gz."),
    "not a tar": (gzip.compress(b"manifest.json" * 100), "invalid header"),
    "end after a file": (gzip.compress(TAR[:FILE]), BREAKS_OFF),
    "garbage as a header": (gzip.compress(TAR[:FILE] + b"x" * 512 + TAR[FILE:]), BREAKS_OFF),
    "two tars": (WHOLE + WHOLE, "something follows its end"),
    "long padding": (gzip.compress(TAR + b"\0" * 2**21), "something follows its end"),
}
PYTHON = {"version": "3.11.0", "package_manager": {"package_file": "requirements.txt"}}


def requirements_in(name):
    """A bundle whose manifest names another requirements file."""
    python = PYTHON | {"package_manager": {"package_file": name}}
    return make_bundle({"data/a.txt": ""}, python=python)


BAD_MANIFESTS = {
    "none": (make_archive({}), "The bundle has no manifest.json."),
    "below": (
        make_archive({"my-api/manifest.json": "{}", "my-api/app.py": ""}),
        "no manifest.json at its top, only 'my-api/manifest.json': archive what is in the directory",
    ),
    "no JSON": (make_archive({"manifest.json": "{"}), "cannot be used: Expecting"),
    "too large": (make_bundle(more=" " * 2**24), "has more than 16,777,216 bytes"),
    "list": (make_archive({"manifest.json": "[]"}), "no text metadata.appmode"),
    "NUL": (make_bundle(entrypoint="a\0"), "no text metadata.entrypoint"),
    "long": (make_bundle(entrypoint="a" * 1001), "no text metadata.entrypoint"),
    "version": (make_bundle(python=PYTHON | {"version": "new"}), "Invalid version: 'new'"),
    "package_file directory": (requirements_in("data"), "'data' is not a file in the bundle"),
    "package_file absolute": (requirements_in("/etc/passwd"), "'/etc/passwd' is not a file in the"),
    "package_file list": (requirements_in(["a"]), "no text python.package_manager.package_file"),
    # posit-dev/publisher#2628
    "3.11": (
        make_bundle(environment={"python": {"requires": "3.11"}}),
        "Invalid specifier: '3.11'; a Python constraint has an operator and a version",
    ),
}


def unpack(bundle, tmp_path, number=135):
    """What is wrong with a bundle; number: Connect's."""
    tmp_path.mkdir(exist_ok=True)
    with pytest.raises(ConnectError) as error:
        archives.unpack(io.BytesIO(bundle), tmp_path / "files")
    assert (error.value.code, error.value.number) == (400, number)
    return error.value.description


@pytest.mark.parametrize(("bundle", "message"), BAD.values(), ids=BAD)
def test_bad_archive_is_refused_in_one_line(tmp_path, bundle, message):
    error = unpack(bundle, tmp_path)
    assert message in error and "\n" not in error and len(error) < 300


@pytest.mark.parametrize(("bundle", "message"), BAD_MANIFESTS.values(), ids=BAD_MANIFESTS)
def test_bad_manifest_is_refused_in_one_line(tmp_path, bundle, message):
    error = unpack(bundle, tmp_path, 38)
    assert message in error and "\n" not in error and str(tmp_path) not in error


UNUSUAL = {
    "two members of gzip": gzip.compress(TAR[:700]) + gzip.compress(TAR[700:]),
    "zeros after gzip": WHOLE + b"\0" * 512,
    "dot": bundle_with("./data/", tarfile.DIRTYPE),
    "odd name": bundle_with("a b\n\udcff é'\""),
}


@pytest.mark.parametrize("bundle", UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_archive_is_unpacked(tmp_path, bundle):
    assert archives.unpack(io.BytesIO(bundle), tmp_path / "files").entrypoint == "app:app"


def test_files_keep_modes_and_times(tmp_path):
    """Their owner can read and replace each of them."""
    program, closed = tarfile.TarInfo("run.sh"), tarfile.TarInfo("closed")
    program.mode, program.mtime, closed.mode = 0o755, 10**9, 0
    archives.unpack(io.BytesIO(make_bundle(members=[program, closed])), tmp_path / "files")
    status = (tmp_path / "files/run.sh").stat()
    assert (status.st_mode & 0o777, status.st_mtime) == (0o755, 10**9)
    assert (tmp_path / "files/closed").stat().st_mode & 0o777 == 0o600


def test_archive_that_breaks_off_anywhere_is_refused(tmp_path):
    for size in range(0, len(WHOLE), 37):
        assert unpack(WHOLE[:size], tmp_path / str(size))
    for size in range(0, len(TAR.rstrip(b"\0")) + 512, 512 // 3):
        assert unpack(gzip.compress(TAR[:size], 1), tmp_path / f"tar-{size}")


LIMITS = {
    "MAX_UNPACKED": (WHOLE, "its files have more than 1,000 bytes"),
    "MAX_HEADERS": (gzip.compress(header(tarfile.REGTYPE, 0) * 1001), "more than 500 files"),
    "MAX_SQUARES": (
        gzip.compress((extended(record(b"comment=text")) + header(tarfile.REGTYPE, 0)) * 10),
        "more than",
    ),
}


@pytest.mark.parametrize(("limit", "case"), LIMITS.items(), ids=LIMITS)
def test_archive_over_a_limit_is_refused(tmp_path, monkeypatch, limit, case):
    assert archives.MAX_UNPACKED == 4 * 1024**3 and archives.MAX_HEADERS == 100_000  # README.md
    bundle, message = case
    monkeypatch.setattr(archives, limit, 1000)
    assert message in unpack(bundle, tmp_path)


SPARSE = record(b"GNU.sparse.major=1") + record(b"GNU.sparse.minor=0")
# What tarfile reads for a long time or for ever, at least before Python 3.12.6 or 3.13.6.
HOSTILE = {
    **{
        f"digits, {kind}": (extended(b"1" * 400_000, kind), "a header has 400,000 bytes")
        for kind in (b"x", b"g", b"X", b"L", b"K")
    },
    "long name": (header(tarfile.GNUTYPE_LONGNAME, 2**33), "a header has 8,589,934,592 bytes"),
    "negative header": (header(tarfile.XHDTYPE, -1024), "'a' has a negative size"),
    "negative loop": (TAR[:FILE] + header(tarfile.REGTYPE, -1536), "'a' has a negative size"),
    "negative pax size": (
        extended(record(b"size=-1536")) + header(tarfile.REGTYPE, 0),
        "cannot be unpacked",
    ),
    "huge pax size": (extended(record(b"size=" + b"9" * 80)) + header(tarfile.REGTYPE, 0), "more"),
    "nested": (extended(record(b"path=abcd")) * 5000, "maximum recursion depth"),
    "old sparse": (header(tarfile.GNUTYPE_SPARSE, 512), "'a' is a sparse file"),
    "endless sparse map": (
        extended(SPARSE) + header(tarfile.REGTYPE, 512) + b"9" * 512,
        "'a' is a sparse file",
    ),
}
UNPACK = """
import sys
from pathlib import Path
from shared.connect.archives import unpack
for name in sys.argv[1:]:
    try:
        unpack(open(name, "rb"), Path(f"{name}-files"))
    except Exception as error:
        print(error.description, flush=True)
"""


def test_hostile_archive_is_refused_soon(tmp_path):
    """In a process that can be ended: a regular expression of tarfile holds all threads."""
    for name, (archive, _) in HOSTILE.items():
        (tmp_path / name).write_bytes(gzip.compress(archive + TAR, 1))
    command = [sys.executable, "-W", "ignore", "-c", UNPACK, *HOSTILE]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    output = subprocess.check_output(
        command, cwd=tmp_path, env=environment, encoding="utf-8", timeout=60
    )
    for (name, (_, message)), line in zip(HOSTILE.items(), output.splitlines(), strict=True):
        assert message in line, name
