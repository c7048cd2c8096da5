"""A bad upload or request is a 4xx with one line, and leaves nothing."""

import socket
import tarfile
import threading

import psutil
import pytest

from shared.connect import bundles
from shared.connect.jobs import BUILD, Job
from shared.connect.tasks import Task
from tests.connect.support import make_bundle

pytestmark = pytest.mark.local


def bundle_with(name, **attributes):
    """A bundle with one more member of the archive."""
    member = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(member, key, value)
    return make_bundle(members=[member])


BAD_BUNDLES = {
    "traversal": (bundle_with("../evil.py"), "cannot be unpacked"),
    "link": (bundle_with("a", type=tarfile.SYMTYPE, linkname="/etc"), "cannot be unpacked"),
    "nested": (bundle_with("a/" * 1500), "cannot be unpacked"),
    "time": (bundle_with("a", pax_headers={"mtime": "inf"}), "cannot be unpacked"),
    "bomb": (bundle_with("a", size=2**21), "larger than"),
    "truncated": (make_bundle()[:-20], "cannot be unpacked"),
    "no archive": (b"hello", "cannot be unpacked"),
    "no entrypoint": (make_bundle(metadata={"appmode": "python-api"}), "'entrypoint'"),
    "entrypoint": (
        make_bundle(metadata={"appmode": "python-api", "entrypoint": "-m evil"}),
        "is not an entrypoint",
    ),
    "no manifest": (make_bundle(metadata=None), "not a manifest"),
}


@pytest.fixture
def unchanged(server):
    """At the end, the server has the files and contents that it had at the start."""

    def state():
        return sorted(server.directory.rglob("*")), list(server.contents.items)

    before = state()
    yield
    assert state() == before


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("bundle", "told"), BAD_BUNDLES.values(), ids=BAD_BUNDLES)
def test_bad_bundle_is_refused_and_leaves_nothing(publisher, echo, monkeypatch, bundle, told):
    monkeypatch.setattr(bundles, "MAX_SIZE", 2**20)
    response = publisher.post(f"content/{echo['guid']}/bundles", content=bundle)
    assert response.status_code == 400, response.text
    assert told in response.json()["error"] and "\n" not in response.json()["error"]


@pytest.mark.usefixtures("unchanged")
def test_bundle_stays_in_its_directory_without_tarfiles_filter(publisher, echo, monkeypatch):
    """As with Debian 12's Python."""
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    for bundle, told in (BAD_BUNDLES["traversal"], BAD_BUNDLES["link"]):
        response = publisher.post(f"content/{echo['guid']}/bundles", content=bundle)
        assert response.status_code == 400 and told in response.json()["error"]


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


def test_only_loopback_is_served(server, visitor, echo):
    """Another site's name for this machine would let its page read everything (DNS rebinding)."""
    port = server.port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "localhost"):
        assert visitor.get("/", headers={"Host": host}).status_code == 200
    for host in (f"evil.example:{port}", "127.0.0.1.evil.example", "[::1", "é", ""):
        for path in ("/", "/__api__/server_settings", f"/content/{echo['guid']}/"):
            assert visitor.get(path, headers={"Host": host.encode()}).status_code == 400
    sockets = psutil.Process().net_connections("tcp")
    listening = {s.laddr.ip for s in sockets if s.laddr.port == port and not s.raddr}
    assert listening == {"127.0.0.1"}


@pytest.mark.parametrize(("key", "code"), [("Key wrong", 30), ("Bearer x", 24), ("", 24)])
def test_request_without_a_key_is_refused(visitor, key, code):
    response = visitor.get("/__api__/v1/user", headers={"Authorization": key})
    # 30 is what `verify_api_key_response` in the client's api.py reads.
    assert (response.status_code, response.json()["code"]) == (401, code)


def test_report_waits_for_a_line():
    """The client asks again at once."""
    task = Task(Job(BUILD, "1"))
    threading.Timer(0.1, task.say, ["a line"]).start()
    assert task.report(0, 30)["output"] == ["a line"]
