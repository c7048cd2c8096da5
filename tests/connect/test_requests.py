"""Requests and answers pass between visitors and apps whole, below all mounts."""

import http.client
import json
import os
import socket
from urllib.parse import quote

import httpx
import pytest

from shared.connect.server import LocalConnect
from tests.connect.support import ask_echo, credentials_of, deploy_bundle, key_client, make_bundle


def answering(headers, status="200 OK"):
    """The path of the echo app that answers so."""
    return f"answer?{quote(json.dumps([status, headers]))}"


def test_each_mount_leads_to_the_content_and_has_its_cookies(server, api, owner, own_echo):
    url = f"content/{own_echo['guid']}"
    assert api.put(f"{url}/vanity", json={"path": "/team/echo/"}).status_code == 200
    draft, _ = deploy_bundle(api, own_echo, make_bundle(), activate=False)
    first = f"/content/{own_echo['guid']}"
    pids = set()
    for mount in (first, f"{first}/_bundle{draft}", "/team/echo", first):
        echoed = owner.get(f"{mount}/a").json()
        environ = echoed["environ"]
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (mount, "/a")
        assert environ["HTTP_RSTUDIO_CONNECT_APP_BASE_URL"] == f"{server.url}{mount}"
        assert environ["HTTP_X_RSC_REQUEST"] == f"{server.url}{mount}/a"
        cookie = owner.get(f"{mount}/{answering([['Set-Cookie', 'a=1; Path=/']])}")
        assert cookie.headers["set-cookie"] == f"a=1; Path={mount}/"
        pids.add(echoed["pid"])
    assert len(pids) == 2  # of the active bundle and the draft
    moved = owner.get("/team/echo?a=b")
    assert (moved.status_code, moved.headers["location"]) == (307, "/team/echo/?a=b")
    for other in ("/team/echoes/", "/team/", f"{first}x/", f"{first}-/"):
        assert owner.get(other).status_code == 404, other
    api.delete(url)
    assert owner.get("/team/echo/").status_code == 404


def test_app_is_told_the_public_address_and_guids(environments):
    """As behind a proxy with TLS; a client cannot change it. bjoern's scheme is always http."""
    options = {"users": [("admin", ["editors", "admins"])], "guids": True}
    address = "https://connect.example/"
    with LocalConnect(environments=environments, address=address, **options) as server:
        server_url, server.url = server.url, f"http://127.0.0.1:{server.port}"
        with key_client(server, "admin", "/__api__/v1/") as api:
            content = api.post("content", json={"name": "behind"}).json()
            deploy_bundle(api, content, make_bundle())
            mount = f"/content/{content['guid']}"
            forwarded = [f"X-Forwarded-{of}" for of in ("Proto", "Host", "Port", "For", "Prefix")]
            names = ["X-RSC-Request", "RStudio-Connect-App-Base-URL", "Forwarded", *forwarded]
            forged = dict.fromkeys(names, "evil.example") | {"Host": "connect.example"}
            echoed = api.get(f"{server.url}{mount}/a?b=c", headers=forged).json()
    environ = echoed["environ"]
    groups = [server.users.groups[name].guid for name in ("editors", "admins")]
    assert credentials_of(echoed) == {"user": server.users.admin.guid, "groups": groups}
    assert content["content_url"] == f"{server_url}{mount}/" == f"https://connect.example{mount}/"
    assert environ["HTTP_X_RSC_REQUEST"] == f"https://connect.example{mount}/a?b=c"
    assert environ["HTTP_RSTUDIO_CONNECT_APP_BASE_URL"] == f"https://connect.example{mount}"
    assert environ["HTTP_X_FORWARDED_PROTO"] == "https" and environ["wsgi.url_scheme"] == "http"
    assert environ["HTTP_X_FORWARDED_HOST"] == "connect.example"
    assert environ["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    assert "evil.example" not in environ.values()


@pytest.fixture
def ask(server, echo):
    """Sends a request to the echo app with a target as it is; gives its answer."""

    def ask(target, *lines):
        host, key = "Host: localhost:1", f"Authorization: Key {server.api_key}"
        request = "\r\n".join([f"GET {target} HTTP/1.1", host, key, *lines, "", ""])
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(request.encode("latin-1"))
            response = http.client.HTTPResponse(connection)
            response.begin()
            response.text = response.read().decode()
        return response

    return ask


TARGETS = [
    ("MOUNT//%61%25b;c/../%2F%3F%C3%A9//?x=%2F&y=%25", "//a%b;c/..//?é//"),
    ("MOUNT/a\x01b?q=\x7f", "/a\x01b"),
    ("MOUNT/%FF", "/\udcff"),
    # The absolute form of RFC 9112, which a client sends to a proxy; the mount has one spelling.
    ("HTTP://localhost:1//MOUNT/a?b=/c", "/a"),
]


@pytest.mark.parametrize(("target", "path"), TARGETS)
def test_target_reaches_the_app_as_it_was_sent(server, echo, ask, target, path):
    mount = f"/content/{echo['guid']}"
    environ = json.loads(ask(target.replace("MOUNT", mount)).text)["environ"]
    assert environ["PATH_INFO"].encode("latin-1").decode(errors="surrogateescape") == path
    rest = target.partition("MOUNT")[2].replace("\x01", "%01").replace("\x7f", "%7F")
    assert environ["QUERY_STRING"] == rest.partition("?")[2]
    assert environ["REQUEST_URI"] == mount + rest
    assert environ["HTTP_HOST"] == "localhost:1"
    assert environ["HTTP_X_FORWARDED_HOST"] == server.url.partition("://")[2]
    assert environ["HTTP_X_RSC_REQUEST"] == server.url + mount + rest


def test_request_and_answer_pass_whole(owner, echo):
    url = echo["content_url"]
    assert owner.post(f"{url}length", content=iter([bytes(2**20)] * 4)).text == str(2**22)
    assert owner.get(f"{url}big").json()["big"] == "x" * 2**24
    head = owner.head(url)
    assert int(head.headers["content-length"]) > 100 and head.content == b""
    # What Connection names is for the next server only, as what is about a connection: RFC 9110,
    # 7.6.1. An app of WSGI has no websockets.
    headers = {"Connection": "X-Secret ,x-other", "X-Secret": "a", "X-Other": "b", "TE": "a"}
    headers |= {"Expect": "100-continue", "Upgrade": "websocket"}
    echoed = owner.put(url, content=b"body", headers={**headers, "X-Secret-2": "c"}).json()
    environ = echoed["environ"]
    assert (echoed["body"], environ["REQUEST_METHOD"]) == ("body", "PUT")
    assert environ["HTTP_X_SECRET_2"] == "c"
    dropped = {f"HTTP_{name.upper().replace('-', '_')}" for name in headers}
    assert not [name for name in environ if name in dropped or name.startswith("HTTP_CONNECT")]
    assert environ["wsgi.multithread"] == environ["wsgi.multiprocess"] == "False"
    assert environ["SERVER_NAME"] == "127.0.0.1" and environ["SERVER_PORT"].isdigit()
    assert "CONTENT_LENGTH" not in owner.get(url).json()["environ"]


def test_answer_is_passed_on_as_it_comes(owner, own_echo, tmp_path, caplog):
    """One that breaks off is not taken for whole."""
    os.mkfifo(tmp_path / "second")
    url = f"{own_echo['content_url']}stream?{tmp_path}/second"
    pid = ask_echo(owner, own_echo)["pid"]
    with owner.stream("GET", url) as response:
        parts = response.iter_raw()
        assert next(parts) == b"first"
        (tmp_path / "second").write_bytes(b"second")
        assert b"".join(parts) == b"second"
    with owner.stream("GET", url) as response:
        parts = response.iter_raw()
        assert next(parts) == b"first"
        os.kill(pid, 9)
        with pytest.raises(httpx.RemoteProtocolError):
            list(parts)
    assert [record.exc_text for record in caplog.records if record.exc_info] == []


# What an app sends, and what the visitor gets: eddiethedean/hedron probed `Path=/` on real servers.
COOKIES = [
    ("a=1; Path=/x/y; HttpOnly", "a=1; Path=MOUNT/x/y; HttpOnly"),
    ("a=1; Path=MOUNT/x", "a=1; Path=MOUNT/x"),
    ("a=1; Path=MOUNTx", "a=1; Path=MOUNTMOUNTx"),
    ('a=1; PATH = "/x" ; Secure', 'a=1; PATH = "MOUNT/x" ; Secure'),
    ("a=1; Path=/x; Path=/y", "a=1; Path=MOUNT/x; Path=MOUNT/y"),
    ("Path=/; PathX=/; X-Path=/; Path=x", "Path=/; PathX=/; X-Path=/; Path=x"),
]


def test_cookies_of_an_app_are_for_its_mount(owner, echo):
    mount = f"/content/{echo['guid']}"
    sent, expected = ([text.replace("MOUNT", mount) for text in texts] for texts in zip(*COOKIES))
    response = owner.get(echo["content_url"] + answering([["set-cookie", text] for text in sent]))
    assert response.headers.get_list("set-cookie") == expected


def test_headers_of_an_answer_pass_as_they_are(server, echo, ask):
    """With none of the server's, such as those for caches, which a session adds."""
    sent = [
        ("Location", "../\u00c3\u00a9?a=b c&d=%C3%A9//#e"),  # the bytes of é in UTF-8
        ("Www-Authenticate", "Basic realm=a"),
        ("Www-Authenticate", "Bearer"),
        ("Server", "own"),
        ("Date", "yesterday"),
        ("X-Empty", ""),
        ("Content-Disposition", "attachment; filename=\u00e9.csv"),
    ]
    target = f"/content/{echo['guid']}/{answering(sent, '302 Moved Somewhere')}"
    response = ask(target, f"Cookie: connect-{server.port}=a")
    assert (response.status, response.reason) == (302, "Moved Somewhere")
    received = [
        header for header in response.getheaders() if header[0] not in ("Via", "Connection")
    ]
    assert sorted(received) == sorted([*sent, ("Content-Length", "0")])


def test_answer_with_more_headers_than_the_server_reads_is_explained(owner, echo):
    many = [[f"X-{number}", "a"] for number in range(150)]
    refused = owner.get(echo["content_url"] + answering(many))
    assert refused.status_code == 502 and "cannot be read: got more than" in refused.text
