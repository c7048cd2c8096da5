"""What is uploaded: whole archives of any client, and in one line what is wrong with others."""

import errno
import gzip
import hashlib
import io
import json
import socket
import tarfile

import pytest

from shared.connect import bundles
from shared.connect.api import bundles as uploads
from shared.connect.errors import StorageFull
from tests.connect.support import make_bundle

pytestmark = pytest.mark.local

WHOLE = make_bundle()
TAR = gzip.decompress(WHOLE)


def bundle_with(name, type=tarfile.REGTYPE, linkname=""):
    """A bundle with one more member of the archive."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = type, linkname
    return make_bundle(members=[member])


def archive_of(**files):
    """A .tar.gz of files by name; two underscores are a slash."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name.replace("__", "/"))
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return archive.getvalue()


FLASK = {"appmode": "python-api", "entrypoint": "app"}
PYTHON = {"version": "3.11.0", "package_manager": {"package_file": "requirements.txt"}}


def requires(constraint):
    return make_bundle(environment={"python": {"requires": constraint}})


def package_file(name):
    return make_bundle(
        {"data/a.txt": ""}, python=PYTHON | {"package_manager": {"package_file": name}}
    )


LINK = "is a link: replace it with the file itself"
BREAKS_OFF = "The bundle cannot be unpacked: it breaks off."
NOT_WHOLE = "Compressed file ended before the end-of-stream marker was reached"
NO_FILE = "requirements file (package_file), which is not a file in the bundle"
NO_OPERATOR = "each part has an operator and a version, such as '~=3.11'"
NO_NAME = "no text python.package_manager.package_file"
BAD_BUNDLES = {
    "traversal": (bundle_with("../evil.py"), 400, 135, "'../evil.py' leads out of it"),
    "absolute": (bundle_with("/tmp/evil.py"), 400, 135, "'/tmp/evil.py' leads out of it"),
    "link": (bundle_with("a/b", tarfile.SYMTYPE, "/etc"), 400, 135, f"'a/b' {LINK}"),
    "hard link": (bundle_with("a/b", tarfile.LNKTYPE, "app.py"), 400, 135, f"'a/b' {LINK}"),
    "fifo": (bundle_with("f", tarfile.FIFOTYPE), 400, 135, "'f' is neither a file nor a directory"),
    "device": (bundle_with("d", tarfile.CHRTYPE), 400, 135, "'d' is neither a file nor"),
    "file as directory": (bundle_with("app.py/b"), 400, 135, "'app.py/b': File exists"),
    "directory as file": (bundle_with("."), 400, 135, "'.': Is a directory"),
    "line end": (bundle_with("../a\nb"), 400, 135, r"'../a\nb' leads out of it"),
    "not UTF-8": (bundle_with("../\udcff"), 400, 135, r"'../\udcff' leads out of it"),
    "long name": (bundle_with("n" * 300), 400, 135, "File name too long"),
    "empty": (b"", 400, 135, "cannot be unpacked: empty file"),
    "zip": (b"PK\3\4" * 200, 400, 135, "Not a gzipped file"),
    "not compressed": (TAR, 400, 135, "Not a gzipped file"),
    "not a tar": (gzip.compress(b"manifest.json" * 100), 400, 135, "invalid header"),
    "truncated": (WHOLE[:500], 400, 135, NOT_WHOLE),
    "truncated by one": (WHOLE[:-1], 400, 135, NOT_WHOLE),
    "garbage after gzip": (WHOLE + b"garbage", 400, 135, "Not a gzipped file"),
    "bad checksum": (WHOLE[:-8] + b"\0" * 8, 400, 135, "CRC check failed"),
    "tar without end": (gzip.compress(TAR.rstrip(b"\0") + b"\0"), 400, 135, "cannot be unpacked"),
    "tar ends after a file": (gzip.compress(TAR[: 512 * 2]), 400, 135, BREAKS_OFF),
    "tar ends in a file": (gzip.compress(TAR[: 512 + 20]), 400, 135, "unexpected end of data"),
    "tar ends in a header": (gzip.compress(TAR[: 512 * 2 + 99]), 400, 135, BREAKS_OFF),
    "garbage in place of a header": (
        gzip.compress(TAR[: 512 * 2] + b"x" * 512 + TAR[512 * 2 :]),
        400,
        135,
        BREAKS_OFF,
    ),
    "two tars": (WHOLE + WHOLE, 400, 135, "something follows its end"),
    "no manifest": (archive_of(), 400, 38, "The bundle has no manifest.json."),
    "manifest below": (
        archive_of(**{"my-api__manifest.json": "{}", "my-api__app.py": ""}),
        400,
        38,
        "no manifest.json at its top, only 'my-api/manifest.json': archive what is in the directory",
    ),
    "manifest is no JSON": (
        archive_of(**{"manifest.json": "{"}),
        400,
        38,
        "cannot be read: Expecting",
    ),
    "manifest too deep": (
        archive_of(**{"manifest.json": "[" * 10**5}),
        400,
        38,
        "cannot be read: ",
    ),
    "manifest is a list": (
        archive_of(**{"manifest.json": "[]"}),
        400,
        38,
        "no text metadata.appmode",
    ),
    "mode": (make_bundle(metadata=FLASK | {"appmode": "static"}), 501, 1, "bundle of 'static'"),
    "no metadata": (make_bundle(metadata=None), 400, 38, "no text metadata.appmode"),
    "NUL": (make_bundle(entrypoint="a\0"), 400, 38, "no text metadata.entrypoint"),
    "surrogate": (make_bundle(entrypoint="\ud800"), 400, 38, "no text metadata.entrypoint"),
    "no manager": (make_bundle(python=PYTHON | {"package_manager": None}), 400, 38, NO_NAME),
    "version": (make_bundle(python=PYTHON | {"version": "new"}), 400, 38, "'new' is not a version"),
    "package_file gone": (package_file("gone.txt"), 400, 38, f"'gone.txt' as {NO_FILE}"),
    "package_file directory": (package_file("data"), 400, 38, f"'data' as {NO_FILE}"),
    "package_file absolute": (package_file("/etc/passwd"), 400, 38, f"'/etc/passwd' as {NO_FILE}"),
    "package_file above": (package_file("data/../app.py"), 400, 38, NO_FILE),
    "package_file NUL": (package_file("requirements.txt\0"), 400, 38, NO_NAME),
    "package_file empty": (package_file(""), 400, 38, NO_NAME),
    "package_file list": (package_file(["requirements.txt"]), 400, 38, NO_NAME),
    # posit-dev/publisher#2628
    "3.11": (requires("3.11"), 400, 38, f"'3.11' is not a Python constraint: {NO_OPERATOR}"),
    "3.11.*": (requires("3.11.*"), 400, 38, NO_OPERATOR),
    "^3.11": (requires("^3.11"), 400, 38, NO_OPERATOR),
    ">=3.8 <3.12": (requires(">=3.8 <3.12"), 400, 38, NO_OPERATOR),
    "~=3": (requires("~=3"), 400, 38, NO_OPERATOR),
    "=3.11": (requires("=3.11"), 400, 38, NO_OPERATOR),
    "requires 3": (requires(3), 400, 38, "no text environment.python.requires"),
}


@pytest.fixture
def unchanged(server, echo):
    """At the end, the server has the files that it had at the start."""
    before = set(server.directory.rglob("*"))
    yield
    changed = sorted(map(str, before ^ set(server.directory.rglob("*"))))
    assert not changed, f"it left or removed {', '.join(changed)}"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("bundle", "status", "code", "told"), BAD_BUNDLES.values(), ids=BAD_BUNDLES
)
def test_bad_bundle_is_refused_and_leaves_nothing(api, echo, bundle, status, code, told):
    response = api.post(f"content/{echo['guid']}/bundles", content=bundle)
    error = response.json()["error"]
    assert (response.status_code, response.json()["code"]) == (status, code), error
    assert told in error and "\n" not in error and len(error) < 300 and "/connect-" not in error


@pytest.mark.usefixtures("unchanged")
def test_bundle_that_breaks_off_anywhere_is_refused(api, echo):
    url = f"content/{echo['guid']}/bundles"
    for size in range(0, len(WHOLE), 37):
        assert api.post(url, content=WHOLE[:size]).status_code == 400, size
    for size in range(0, len(TAR.rstrip(b"\0")) + 512, 512 // 3):
        bundle = gzip.compress(TAR[:size], 1)
        assert api.post(url, content=bundle).status_code == 400, size


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("limit", "bundle", "status", "told"),
    [
        (
            "MAX_SIZE",
            WHOLE,
            413,
            "larger than 9.53674e-07 GiB (1,024 bytes), which is the limit here",
        ),
        ("MAX_UNPACKED", WHOLE, 400, "its files have more than 1,024 bytes"),
    ],
)
def test_bundle_beyond_a_limit_is_refused(api, echo, monkeypatch, limit, bundle, status, told):
    assert bundles.MAX_SIZE == 1024**3  # README.md
    for module in (bundles, uploads):
        monkeypatch.setattr(module, limit, 1024, raising=False)
    response = api.post(f"content/{echo['guid']}/bundles", content=bundle + b"\0" * 1024)
    assert response.status_code == status and told in response.json()["error"]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("step", ["write", "unpack"])
def test_full_disk_is_told_and_gives_its_space_back(api, echo, monkeypatch, step):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device", "/a/path")

    monkeypatch.setattr(bundles, step, full)
    response = api.post(f"content/{echo['guid']}/bundles", content=WHOLE)
    assert response.status_code == 507
    assert response.json()["error"] == StorageFull.description


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "headers", ["Transfer-Encoding: chunked\r\n\r\n1000", "Content-Length: 999\r\n"]
)
def test_broken_off_upload_leaves_nothing(server, echo, headers):
    with socket.create_connection(("127.0.0.1", server.port)) as upload:
        upload.sendall(
            f"POST /__api__/v1/content/{echo['guid']}/bundles HTTP/1.1\r\n"
            f"Host: localhost\r\nAuthorization: Key {server.api_key}\r\n"
            f"{headers}\r\nabc".encode()
        )
        upload.shutdown(socket.SHUT_WR)
        assert upload.recv(1) == b""


FORM = {"files": {"archive": ("bundle.tar.gz", WHOLE)}}
UPLOADS = {
    "no type": {"content": WHOLE},
    # curl --data-binary, as in rstudio/connect-api-deploy-shiny
    "curl": {"content": WHOLE, "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
    "gzip": {"content": WHOLE, "headers": {"Content-Type": "application/gzip"}},
    "JSON": {"content": WHOLE, "headers": {"Content-Type": "application/json"}},
    "bad type": {"content": WHOLE, "headers": {"Content-Type": ";;"}},
    "chunked": {"content": iter([WHOLE[:99], WHOLE[99:]])},
    "form": FORM,
    "form with metadata": {**FORM, "data": {"metadata": json.dumps({"source": "git"})}},
    "two members of gzip": {"content": gzip.compress(TAR[:700]) + gzip.compress(TAR[700:])},
    "zeros after gzip": {"content": WHOLE + b"\0" * 512},
    "dot": {"content": bundle_with("./data/", tarfile.DIRTYPE)},
    "odd name": {"content": bundle_with("a b\n\udcff é'\"")},
}


@pytest.mark.parametrize("options", UPLOADS.values(), ids=UPLOADS)
def test_upload_of_any_client_is_kept_as_sent(api, content, options):
    url = f"content/{content['guid']}/bundles"
    response = api.post(url, **options)
    assert response.is_success, response.text
    kept = api.get(f"{url}/{response.json()['id']}/download").content
    sent = b"".join([options["content"]]) if isinstance(options.get("content"), bytes) else WHOLE
    told = response.json()["metadata"]
    assert kept == sent and response.json()["size"] == len(sent)
    assert told["archive_sha1"] == hashlib.sha1(sent).hexdigest()
    assert told["source"] == ("git" if "data" in options else None)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"files": {"other": b"x"}}, "The form has no file with the name archive."),
        ({**FORM, "data": {"metadata": "[]"}}, "metadata is not a JSON object"),
        ({**FORM, "data": {"metadata": "{"}}, "metadata is not a JSON object"),
        ({**FORM, "data": {"metadata": "[" * 10**5}}, "metadata is not a JSON object"),
    ],
)
def test_bad_form_is_refused(api, echo, options, told):
    response = api.post(f"content/{echo['guid']}/bundles", **options)
    assert response.status_code == 400 and response.json()["error"].startswith(told)


def test_bundle_keeps_modes_and_times(server, api, content):
    """Its owner can read and replace each file."""
    program, closed = tarfile.TarInfo("run.sh"), tarfile.TarInfo("closed")
    program.mode, program.mtime, closed.mode = 0o755, 10**9, 0
    bundle = make_bundle(members=[program, closed])
    uploaded = api.post(f"content/{content['guid']}/bundles", content=bundle).json()
    files = server.contents.get(content["guid"]).bundles[uploaded["id"]].files
    told = (files / "run.sh").stat()
    assert (told.st_mode & 0o777, told.st_mtime) == (0o755, 10**9)
    assert (files / "closed").stat().st_mode & 0o777 == 0o600
