"""Uploads of any client are kept as sent; bad ones are refused in one line."""

import errno
import gzip
import hashlib
import io
import json
import socket
import tarfile
from base64 import b64encode

import pytest

from shared.connect import archives, bundles
from shared.connect.api import bundles as uploads
from shared.connect.errors import StorageFull
from tests.connect.support import make_bundle, problem

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


NO_FILE = "requirements file (package_file), which is not a file in the bundle"
NO_OPERATOR = "each part has an operator and a version, such as '~=3.11'"
NO_NAME = "no text python.package_manager.package_file"
BAD_MANIFESTS = {
    "none": (archive_of(), "The bundle has no manifest.json."),
    "below": (
        archive_of(**{"my-api__manifest.json": "{}", "my-api__app.py": ""}),
        "no manifest.json at its top, only 'my-api/manifest.json': archive what is in the directory",
    ),
    "no JSON": (archive_of(**{"manifest.json": "{"}), "cannot be read: Expecting"),
    "too large": (make_bundle(more=" " * 2**24), "has more than 16,777,216 bytes"),
    "list": (archive_of(**{"manifest.json": "[]"}), "no text metadata.appmode"),
    "NUL": (make_bundle(entrypoint="a\0"), "no text metadata.entrypoint"),
    "long": (make_bundle(entrypoint="a" * 1001), "no text metadata.entrypoint"),
    "version": (make_bundle(python=PYTHON | {"version": "new"}), "'new' is not a version"),
    "package_file directory": (package_file("data"), f"'data' as {NO_FILE}"),
    "package_file absolute": (package_file("/etc/passwd"), f"'/etc/passwd' as {NO_FILE}"),
    "package_file list": (package_file(["requirements.txt"]), NO_NAME),
    # posit-dev/publisher#2628
    "3.11": (requires("3.11"), f"'3.11' is not a Python constraint: {NO_OPERATOR}"),
}


@pytest.fixture
def unchanged(server, echo):
    """At the end, the server has the files that it had at the start."""
    before = set(server.directory.rglob("*"))
    yield
    changed = sorted(map(str, before ^ set(server.directory.rglob("*"))))
    assert not changed, f"it left or removed {', '.join(changed)}"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("bundle", "message"), BAD_MANIFESTS.values(), ids=BAD_MANIFESTS)
def test_bad_manifest_is_refused(api, echo, bundle, message):
    response = api.post(f"content/{echo['guid']}/bundles", content=bundle)
    assert problem(response) == (400, 38)
    assert message in response.json()["error"] and "/connect-" not in response.text


@pytest.mark.usefixtures("unchanged")
def test_content_of_another_kind_is_not_implemented(api, echo):
    bundle = make_bundle(metadata=FLASK | {"appmode": "static"})
    response = api.post(f"content/{echo['guid']}/bundles", content=bundle)
    assert problem(response) == (501, 1) and "bundle of 'static'" in response.json()["error"]


@pytest.mark.usefixtures("unchanged")
def test_bundle_over_the_limit_is_refused(api, echo, monkeypatch):
    assert bundles.MAX_SIZE == 1024**3  # README.md
    monkeypatch.setattr(uploads, "MAX_SIZE", 1024)
    response = api.post(f"content/{echo['guid']}/bundles", content=WHOLE + b"\0" * 1024)
    assert response.status_code == 413
    assert "larger than 9.53674e-07 GiB (1,024 bytes)" in response.json()["error"]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("module", "step"), [(archives, "write"), (bundles, "unpack")])
def test_full_disk_is_told_and_gives_its_space_back(api, echo, monkeypatch, module, step):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device", "/a/path")

    monkeypatch.setattr(module, step, full)
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
    # curl --data-binary, as in rstudio/connect-api-deploy-shiny
    "curl": {"content": WHOLE, "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
    "gzip": {"content": WHOLE, "headers": {"Content-Type": "application/gzip"}},
    "bad type": {"content": WHOLE, "headers": {"Content-Type": ";;"}},
    "chunked": {"content": iter([WHOLE[:99], WHOLE[99:]])},
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
    sent = options["content"] if isinstance(options.get("content"), bytes) else WHOLE
    assert kept == sent and response.json()["size"] == len(sent)
    assert response.json()["metadata"]["source"] == ("git" if "data" in options else None)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"files": {"other": b"x"}}, "The form has no file with the name archive."),
        ({**FORM, "data": {"metadata": "[]"}}, "metadata is not a JSON object"),
    ],
)
def test_bad_form_is_refused(api, echo, options, message):
    response = api.post(f"content/{echo['guid']}/bundles", **options)
    assert response.status_code == 400 and response.json()["error"].startswith(message)


MD5 = hashlib.md5(WHOLE)


@pytest.mark.parametrize("checksum", [b64encode(MD5.digest()).decode(), MD5.hexdigest()])
def test_checksum_of_an_upload_is_checked(api, content, checksum):
    """It is the archive's MD5 (Connect's API reference)."""
    url, headers = f"content/{content['guid']}/bundles", {"X-Content-Checksum": checksum}
    assert api.post(url, content=WHOLE, headers=headers).status_code == 200
    refused = api.post(url, content=make_bundle({"a": ""}), headers=headers)
    assert problem(refused) == (400, 104)
    assert len(api.get(url).json()) == 1


def test_upload_to_deleted_content_is_refused(server, api, content, monkeypatch):
    """Also to content that is deleted while the archive is unpacked."""
    url, unpack = f"content/{content['guid']}", bundles.unpack

    def delete_then(*arguments):
        manifest = unpack(*arguments)
        api.delete(url)
        return manifest

    monkeypatch.setattr(bundles, "unpack", delete_then)
    assert problem(api.post(f"{url}/bundles", content=WHOLE)) == (404, 4)
    assert problem(api.post(f"{url}/bundles", content=WHOLE)) == (404, 4)
    assert not (server.directory / content["guid"]).exists()


def test_bundle_keeps_modes_and_times(server, api, content):
    """Its owner can read and replace each file."""
    program, closed = tarfile.TarInfo("run.sh"), tarfile.TarInfo("closed")
    program.mode, program.mtime, closed.mode = 0o755, 10**9, 0
    bundle = make_bundle(members=[program, closed])
    uploaded = api.post(f"content/{content['guid']}/bundles", content=bundle).json()
    files = server.store.get(content["guid"]).bundles[uploaded["id"]].files
    status = (files / "run.sh").stat()
    assert (status.st_mode & 0o777, status.st_mtime) == (0o755, 10**9)
    assert (files / "closed").stat().st_mode & 0o777 == 0o600
