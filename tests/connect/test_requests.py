"""Requests and answers pass between visitors and apps whole, below both mounts."""

import http.client
import json
import os
import socket

import httpx
import pytest

from shared.connect.server import LocalConnect
from tests.connect.support import ask_echo, deploy_bundle, key_client, make_bundle

pytestmark = pytest.mark.local


def test_both_mounts_lead_to_one_content(publisher, owner, own_echo):
    url = f"content/{own_echo['guid']}/vanity"
    assert publisher.put(url, json={"path": "/team/echo/"}).status_code == 200
    mount = f"/content/{own_echo['guid']}"
    told = [owner.get(f"{m}/a").json() for m in (mount, "/team/echo") * 2]
    assert [t["environ"]["SCRIPT_NAME"] for t in told] == [mount, "/team/echo"] * 2
    assert {t["environ"]["PATH_INFO"] for t in told} == {"/a"}
    assert len({t["pid"] for t in told}) == 1
    moved = owner.get("/team/echo?a=b")
    assert (moved.status_code, moved.headers["location"]) == (307, "/team/echo/?a=b")
    assert owner.get("/team/echoes/").status_code == owner.get("/team/").status_code == 404
    publisher.delete(f"content/{own_echo['guid']}")
    assert owner.get("/team/echo/").status_code == 404


def test_app_is_told_the_public_address(environments):
    """As behind a proxy with TLS; a client cannot change it. bjoern's scheme is always http."""
    with LocalConnect(environments=environments, address="https://connect.example/") as server:
        server_url, server.url = server.url, f"http://127.0.0.1:{server.port}"
        with key_client(server, "admin") as owner, key_client(server, "admin") as publisher:
            publisher.base_url = f"{server.url}/__api__/v1/"
            content = publisher.post("content", json={"name": "behind"}).json()
            deploy_bundle(publisher, content, make_bundle())
            mount = f"/content/{content['guid']}"
            names = ("X-RSC-Request", "RStudio-Connect-App-Base-URL", "X-Forwarded-Proto")
            names += ("X-Forwarded-Host", "X-Forwarded-Port", "Forwarded", "X-Forwarded-For")
            forged = {name: "evil.example" for name in names} | {"Host": "connect.example"}
            told = owner.get(f"{mount}/a?b=c", headers=forged).json()["environ"]
    assert content["content_url"] == f"{server_url}{mount}/" == f"https://connect.example{mount}/"
    assert told["HTTP_X_RSC_REQUEST"] == f"https://connect.example{mount}/a?b=c"
    assert told["HTTP_RSTUDIO_CONNECT_APP_BASE_URL"] == f"https://connect.example{mount}/"
    assert told["HTTP_X_FORWARDED_PROTO"] == "https" and told["wsgi.url_scheme"] == "http"
    assert told["HTTP_X_FORWARDED_HOST"] == "connect.example"
    assert "evil.example" not in told.values()


TARGETS = [
    ("/a%25b/%2F/%C3%A9?x=%2F&y=%25", "/a%b///é"),
    ("/%61//b;c/../d%3F", "/a//b;c/../d?"),
    ("/a\x01b?q=\x7f", "/a\x01b"),
    ("//doubled///", "//doubled///"),
    ("/%FF", None),
]


@pytest.mark.parametrize(("target", "path"), TARGETS)
def test_target_reaches_the_app_as_it_was_sent(server, echo, target, path):
    sent = f"/content/{echo['guid']}{target}"
    lines = [f"GET {sent} HTTP/1.1", "Host: localhost:1", "Connection: close"]
    request = "\r\n".join([*lines, f"Authorization: Key {server.api_key}", "", ""])
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(request.encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        told = json.loads(response.read())["environ"]
    if path is not None:
        assert told["PATH_INFO"].encode("latin-1").decode() == path
    escaped = sent.replace("\x01", "%01").replace("\x7f", "%7F")
    assert told["QUERY_STRING"] == escaped.partition("?")[2]
    assert told["REQUEST_URI"] == escaped
    assert told["HTTP_HOST"] == "localhost:1"


def test_request_and_answer_pass_whole(owner, echo):
    url = echo["content_url"]
    chunks = (b"ab" * 2**15 for _ in range(4))
    assert owner.post(url, content=chunks).json()["body"] == "ab" * 2**17
    told = owner.put(url, content=b"body", headers={"X-End": "2", "TE": "a"}).json()
    assert (told["body"], told["environ"]["REQUEST_METHOD"]) == ("body", "PUT")
    assert told["environ"]["HTTP_X_END"] == "2" and "HTTP_TE" not in told["environ"]
    assert told["environ"]["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    assert "CONTENT_LENGTH" not in owner.get(url).json()["environ"]
    head = owner.head(url)
    assert int(head.headers["content-length"]) > 100 and head.content == b""
    assert owner.get(f"{url}big").json()["big"] == "x" * 2**24
    moved = owner.get(f"{url}moved")
    assert moved.headers["location"] == f"/content/{echo['guid']}/here"
    assert moved.headers.get_list("set-cookie") == ["a=1", "b=2"]


def test_answer_is_passed_on_as_it_comes(owner, echo, tmp_path):
    os.mkfifo(tmp_path / "second")
    with owner.stream("GET", f"{echo['content_url']}stream?{tmp_path}/second") as response:
        parts = response.iter_raw()
        assert next(parts) == b"first"
        (tmp_path / "second").write_bytes(b"second")
        assert b"".join(parts) == b"second"


def test_answer_that_breaks_off_is_not_taken_for_whole(owner, own_echo, tmp_path, caplog):
    os.mkfifo(tmp_path / "second")
    pid = ask_echo(owner, own_echo)["pid"]
    with owner.stream("GET", f"{own_echo['content_url']}stream?{tmp_path}/second") as response:
        parts = response.iter_raw()
        assert next(parts) == b"first"
        os.kill(pid, 9)
        with pytest.raises(httpx.RemoteProtocolError):
            list(parts)
    assert [record.exc_text for record in caplog.records if record.exc_info] == []
