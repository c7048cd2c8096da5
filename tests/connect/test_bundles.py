"""Bundles are unpacked and kept; a bad one is refused in one line, and leaves nothing."""

import io
import socket
import tarfile

import pytest

from shared.connect import bundles
from tests.connect.support import ask_echo, deploy_bundle, make_bundle

pytestmark = pytest.mark.local


def bundle_with(type, linkname=""):
    """A bundle with one more member of the archive."""
    member = tarfile.TarInfo("../evil.py" if type == tarfile.REGTYPE else "member")
    member.type, member.linkname = type, linkname
    return make_bundle(members=[member])


def without_manifest():
    archive = io.BytesIO()
    tarfile.open(fileobj=archive, mode="w:gz").close()
    return archive.getvalue()


FLASK = {"appmode": "python-api", "entrypoint": "app"}
NO_MANAGER = {"version": "3.11.0", "package_manager": None}
BAD_BUNDLES = {
    "traversal": (bundle_with(tarfile.REGTYPE), 400, 135, "cannot be unpacked"),
    "link": (bundle_with(tarfile.SYMTYPE, "/etc"), 400, 135, "cannot be unpacked"),
    "device": (bundle_with(tarfile.FIFOTYPE), 400, 135, "cannot be unpacked"),
    "truncated": (make_bundle()[:500], 400, 135, "cannot be unpacked"),
    "no manifest": (without_manifest(), 400, 38, "manifest.json cannot be read"),
    "mode": (make_bundle(metadata=FLASK | {"appmode": "static"}), 501, 1, "bundle of 'static'"),
    "no metadata": (make_bundle(metadata=None), 400, 38, "no text metadata.appmode"),
    "no manager": (make_bundle(python=NO_MANAGER), 400, 38, "no text python.package_manager"),
}


@pytest.fixture
def unchanged(server, echo):
    """At the end, the server has the files that it had at the start."""
    before = sorted(server.directory.rglob("*"))
    yield
    assert sorted(server.directory.rglob("*")) == before


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("bundle", "status", "code", "told"), BAD_BUNDLES.values(), ids=BAD_BUNDLES
)
def test_bad_bundle_is_refused_and_leaves_nothing(publisher, echo, bundle, status, code, told):
    response = publisher.post(f"content/{echo['guid']}/bundles", content=bundle)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert told in response.json()["error"] and "\n" not in response.json()["error"]


@pytest.fixture
def unfiltered(monkeypatch):
    """A tarfile that unpacks everything, as that of Debian 12's Python, which has no filters."""
    everything = getattr(tarfile, "fully_trusted_filter", None)
    monkeypatch.setattr(tarfile, "data_filter", everything, raising=False)


@pytest.mark.usefixtures("unchanged", "unfiltered")
@pytest.mark.parametrize("name", ["traversal", "link", "device"])
def test_bundle_stays_in_its_directory_without_tarfiles_filter(publisher, echo, name):
    bundle, status, code, told = BAD_BUNDLES[name]
    response = publisher.post(f"content/{echo['guid']}/bundles", content=bundle)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert told in response.json()["error"]


@pytest.mark.usefixtures("unchanged")
def test_oversized_upload_is_refused(publisher, echo):
    chunk = b"\0" * 2**20
    chunks = (chunk for _ in range(bundles.MAX_SIZE // len(chunk) + 1))
    response = publisher.post(f"content/{echo['guid']}/bundles", content=chunks)
    assert response.status_code == 413 and response.json()["error"]


@pytest.mark.usefixtures("unchanged")
def test_broken_off_upload_leaves_nothing(server, echo):
    with socket.create_connection(("127.0.0.1", server.port)) as upload:
        upload.sendall(
            f"POST /__api__/v1/content/{echo['guid']}/bundles HTTP/1.1\r\n"
            f"Host: localhost\r\nAuthorization: Key {server.api_key}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n1000\r\nabc".encode()
        )
        upload.shutdown(socket.SHUT_WR)
        assert upload.recv(1) == b""


@pytest.mark.usefixtures("unfiltered")
def test_bundle_is_unpacked_without_tarfiles_filter(publisher, owner, content):
    deploy_bundle(publisher, content, make_bundle())
    assert ask_echo(owner, content)["version"] == "1"
