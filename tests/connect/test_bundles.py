"""Uploads of any client are kept as sent; bad ones are refused in one line."""

import errno
import hashlib
import socket
from base64 import b64encode

import pytest

from shared.connect import archives, bundles
from shared.connect.api import bundles as uploads
from shared.connect.errors import StorageFull
from tests.connect.support import make_bundle, problem

WHOLE = make_bundle()
FORM = {"files": {"archive": ("bundle.tar.gz", WHOLE)}}


@pytest.fixture(autouse=True)
def unchanged_files(server, echo):
    """At the end, the server has the files that it had at the start."""
    before = set(server.directory.rglob("*"))
    yield
    changed = sorted(map(str, before ^ set(server.directory.rglob("*"))))
    assert not changed, f"it left or removed {', '.join(changed)}"


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ({"content": WHOLE[:-1]}, 135, "The bundle cannot be unpacked"),
        ({"files": {"other": b"x"}}, 135, "The form has no file with the name archive."),
        ({**FORM, "data": {"metadata": "[]"}}, 87, "metadata is not a JSON object"),
        ({"content": WHOLE, "headers": {"X-Content-Checksum": "0"}}, 104, "X-Content-Checksum"),
    ],
)
def test_bad_upload_is_refused(api, echo, options, code, message):
    response = api.post(f"content/{echo['guid']}/bundles", **options)
    assert problem(response) == (400, code)
    assert response.json()["error"].startswith(message)


def test_bundle_over_the_limit_is_refused(api, echo, monkeypatch):
    assert bundles.MAX_SIZE == 1024**3  # README.md
    monkeypatch.setattr(uploads, "MAX_SIZE", 1024)
    response = api.post(f"content/{echo['guid']}/bundles", content=WHOLE + b"\0" * 1024)
    assert response.status_code == 413
    assert "larger than 9.53674e-07 GiB (1,024 bytes)" in response.json()["error"]


def test_full_disk_is_told_and_gives_its_space_back(api, echo, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "/a/path")

    monkeypatch.setattr(archives, "write", full)
    response = api.post(f"content/{echo['guid']}/bundles", content=WHOLE)
    assert response.status_code == 507
    assert response.json()["error"] == StorageFull.description


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


MD5 = hashlib.md5(WHOLE)
HEADERS = [
    # curl --data-binary, as in rstudio/connect-api-deploy-shiny
    {"Content-Type": "application/x-www-form-urlencoded"},
    # Connect's API reference
    {"X-Content-Checksum": b64encode(MD5.digest()).decode()},
    {"X-Content-Checksum": MD5.hexdigest()},
]


@pytest.mark.parametrize("headers", HEADERS, ids=str)
def test_upload_of_any_client_is_kept_as_sent(api, content, headers):
    url = f"content/{content['guid']}/bundles"
    bundle = api.post(url, content=WHOLE, headers=headers).json()
    assert api.get(f"{url}/{bundle['id']}/download").content == WHOLE


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
