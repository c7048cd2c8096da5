"""A bad upload or request is a 4xx with one line, and leaves nothing."""

import io
import re
import socket
import tarfile

import psutil
import pytest

from shared.connect import bundles
from tests.connect.support import ask, deploy, make_bundle

pytestmark = pytest.mark.local


def member(name, kind=tarfile.REGTYPE, link="", size=0, **pax):
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size, member.pax_headers = kind, link, size, pax
    return member


LOOP = member("requirements.txt", tarfile.SYMTYPE, "requirements.txt")
BAD_BUNDLES = {
    "traversal": (make_bundle(members=[member("../evil.py")]), "cannot be unpacked"),
    "link": (make_bundle(members=[member("a", tarfile.SYMTYPE, "/etc")]), "cannot be unpacked"),
    "link to itself": (make_bundle({"requirements.txt": None}, [LOOP]), "cannot be unpacked"),
    "device": (make_bundle(members=[member("a", tarfile.CHRTYPE)]), "cannot be unpacked"),
    "nested": (make_bundle(members=[member("a/" * 1500)]), "cannot be unpacked"),
    "time": (make_bundle(members=[member("a", mtime="inf")]), "cannot be unpacked"),
    "bomb": (make_bundle(members=[member("a", size=2**21)]), "unpacks to more than"),
    "truncated": (make_bundle()[:-20], "cannot be unpacked"),
    "no archive": (b"hello", "cannot be unpacked"),
    "empty": (b"", "cannot be unpacked"),
    "mode": (make_bundle(metadata={"appmode": "static"}), "bundle of 'static'"),
    "no entrypoint": (make_bundle(metadata={"appmode": "python-api"}), "'entrypoint'"),
    "entrypoint": (
        make_bundle(metadata={"appmode": "python-api", "entrypoint": "-m evil"}),
        "not MODULE:OBJECT",
    ),
    "constraint": (
        make_bundle(environment={"python": {"requires": "/bin/evil"}}),
        "not a Python constraint",
    ),
    "no manifest": (make_bundle(metadata=None), "not a manifest"),
}


@pytest.mark.parametrize(("bundle", "told"), BAD_BUNDLES.values(), ids=BAD_BUNDLES)
def test_bad_bundle_is_refused_and_leaves_nothing(
    server, publisher, visitor, echo, monkeypatch, bundle, told
):
    monkeypatch.setattr(bundles, "MAX_SIZE", 2**20)
    before = sorted(server.directory.rglob("*"))
    response = publisher.post(f"content/{echo['guid']}/bundles", content=bundle)
    assert response.status_code == 400, response.text
    assert told in response.json()["error"] and "\n" not in response.json()["error"]
    assert sorted(server.directory.rglob("*")) == before
    assert ask(visitor, echo)["version"] == "1"


def test_oversized_upload_is_refused(server, publisher, content):
    chunk = b"\0" * 2**20
    chunks = (chunk for _ in range(bundles.MAX_SIZE // len(chunk) + 1))
    response = publisher.post(f"content/{content['guid']}/bundles", content=chunks)
    assert response.status_code == 413 and response.json()["error"]
    files = (server.directory / content["guid"]).iterdir()
    assert [file.name for file in files] == ["log"]


def test_broken_off_upload_leaves_nothing(server, publisher, content):
    before = sorted(server.directory.rglob("*"))
    with socket.create_connection(("127.0.0.1", server.port)) as upload:
        upload.sendall(
            f"POST /__api__/v1/content/{content['guid']}/bundles HTTP/1.1\r\n"
            f"Host: localhost\r\nAuthorization: Key {server.api_key}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n1000\r\nabc".encode()
        )
        upload.shutdown(socket.SHUT_WR)
        assert upload.recv(1) == b""
    assert sorted(server.directory.rglob("*")) == before


DEEP_JSON = "[" * 50_000
BAD_REQUESTS = [
    ("POST", "content", "{", 400, "not JSON"),
    ("POST", "content", DEEP_JSON, 400, "not JSON"),
    ("POST", "content", "[]", 400, "not a JSON object"),
    ("POST", "content", '{"name": "a b"}', 400, "A name has"),
    ("POST", "content", '{"name": 5}', 400, "name is not a text"),
    ("POST", "content", '{"name": "free", "title": 5}', 400, "title is not a text"),
    ("POST", "content", '{"name": "free", "access_type": "acl"}', 501, "access_type"),
    ("POST", "content", '{"name": "free", "run_as": "root"}', 501, "run_as"),
    ("PATCH", "content/{guid}", '{"title": "\\ud800"}', 400, "not JSON"),
    ("PATCH", "content/{guid}", '{"access_type": "acl"}', 501, "access_type"),
    ("PATCH", "content/{guid}/environment", "{}", 400, "not a JSON array"),
    ("PATCH", "content/{guid}/environment", '[{"name": "A=B", "value": "1"}]', 400, "variable"),
    ("PATCH", "content/{guid}/environment", '[{"name": "A", "value": 1}]', 400, "variable"),
    ("POST", "content/{guid}/deploy", '{"bundle_id": []}', 400, "bundle's id"),
    ("POST", "content/{guid}/deploy", '{"bundle_id": "x"}', 400, "bundle's id"),
    ("POST", "content/{guid}/deploy", f'{{"bundle_id": "{"9" * 5000}"}}', 400, "bundle's id"),
    ("POST", "content/{guid}/deploy", '{"bundle_id": "999999"}', 404, "no such bundle"),
    ("POST", "content/{guid}/deploy", '{"activate": "yes"}', 400, "activate"),
    ("GET", "content/{guid}/bundles/x/download", "", 400, "bundle's id"),
    ("GET", "content/{guid}/permissions", "", 501, "Not implemented here"),
    ("GET", "content/0-0", "", 404, "no content"),
    ("GET", "tasks/nothing", "", 404, "no task"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "told"), BAD_REQUESTS)
def test_bad_request_is_refused_in_one_line(
    server, publisher, echo, method, path, body, status, told
):
    count = len(server.contents.items)
    path = path.format(guid=echo["guid"])
    response = publisher.request(method, path, content=body)
    assert response.status_code == status
    assert told in response.json()["error"] and len(response.json()["error"]) < 300
    assert len(server.contents.items) == count
    assert publisher.get(f"content/{echo['guid']}").json()["title"] is None


def test_endless_number_of_a_draft_is_a_path_of_the_app(visitor, echo):
    path = f"_bundle{'9' * 5000}/"
    assert ask(visitor, echo, path)["environ"]["PATH_INFO"] == f"/{path}"


def test_only_loopback_is_served(server, visitor, echo):
    """Another site's name for this machine would let its page read everything (DNS rebinding)."""
    port = server.port
    for host in (f"127.0.0.1:{port}", f"LocalHost:{port}", f"[::1]:{port}", "localhost"):
        assert visitor.get("/", headers={"Host": host}).status_code == 200
    for host in (f"evil.example:{port}", "127.0.0.1.evil.example", "[::1", "é", ""):
        for path in ("/", "/__api__/server_settings", f"/content/{echo['guid']}/"):
            assert visitor.get(path, headers={"Host": host.encode()}).status_code in (400, 421)
    sockets = psutil.Process().net_connections("tcp")
    listening = {s.laddr.ip for s in sockets if s.laddr.port == port and not s.raddr}
    assert listening == {"127.0.0.1"}


def test_api_answers_what_the_client_reads(server, visitor, publisher, content):
    # RSConnectClient.server_version, without a key
    assert visitor.get("/__api__/server_settings").json()["version"] == "2025.12.0"
    for key in ("Key wrong", "Bearer x", ""):
        # verify_api_key_response
        response = visitor.get("/__api__/v1/user", headers={"Authorization": key})
        assert (response.status_code, response.json()["code"]) == (401, 30)
    # ContentBuildStore.add_content_item and `content build`
    assert content["owner_guid"] == publisher.get("user").json()["guid"]
    # RSConnectClient.get_content_by_id takes an id with a hyphen for a GUID
    assert content["id"] == content["guid"] and "-" in content["id"]
    for name, expected in ((content["name"], [content["guid"]]), ("nobody", [])):
        # find_unique_name
        named = publisher.get("content", params={"name": name}).json()
        assert [item["guid"] for item in named] == expected
    owned = publisher.get("content", params={"owner_guid": "nobody"}).json()
    assert owned == []
    created = {"name": "described", "title": "Title", "description": "Text", "access_type": "all"}
    described = publisher.post("content", json=created).json()
    publisher.delete(f"content/{described['guid']}")
    assert {key: described[key] for key in created} == created
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", described["created_time"])


def test_content_has_what_deploying_and_searching_read(server, publisher, echo, content):
    # RSConnectClient.deploy
    guid = content["guid"]
    assert content["title"] is None
    assert content["content_url"] == f"{server.url}/content/{guid}/"
    assert content["dashboard_url"] == f"{server.url}/connect/apps/{guid}"
    # RSConnectClient.content_update: an empty answer would be an error
    updated = publisher.patch(f"content/{guid}", json={"title": "A title"})
    assert updated.json()["title"] == "A title"
    # actions_content._apply_content_filters and _order_content_results
    item = publisher.get(f"content/{echo['guid']}").json()
    assert item["app_mode"] == "python-api"
    assert item["bundle_id"].isdecimal()
    assert re.fullmatch(r"3\.\d+\.\d+", item["py_version"])
    for time in (item["created_time"], item["last_deployed_time"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time)


def test_task_has_what_waiting_reads(publisher, content):
    # RSConnectClient.wait_for_task: output from `first` on, last, finished, code, result
    bundle = make_bundle({"requirements.txt": "no-such-package-0q"})
    _, task = deploy(publisher, content, bundle)
    assert task["code"] == 1 and task["last"] == len(task["output"]) > 1
    assert task["result"]["type"] == "build-failed-error" and task["result"]["data"]
    rest = publisher.get(f"tasks/{task['id']}", params={"first": 1}).json()
    assert rest["output"] == task["output"][1:]


def test_bundles_are_listed_and_downloaded(publisher, content):
    bundle = make_bundle()
    publisher.post(f"content/{content['guid']}/bundles", content=bundle)
    (listed,) = publisher.get(f"content/{content['guid']}/bundles").json()
    url = f"content/{content['guid']}/bundles/{listed['id']}/download"
    assert publisher.get(url).content == bundle
    with tarfile.open(fileobj=io.BytesIO(bundle)) as tar:
        assert "manifest.json" in tar.getnames()
