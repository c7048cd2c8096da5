"""Requests and answers pass between visitors and apps whole, below both mounts."""

import http.client
import json
import os
import socket
from urllib.parse import quote

import httpx
import pytest

from shared.connect.server import LocalConnect
from tests.connect.support import ask_echo, deploy_bundle, key_client, make_bundle


def test_both_mounts_lead_to_one_content(api, owner, own_echo):
    url = f"content/{own_echo['guid']}/vanity"
    assert api.put(url, json={"path": "/team/echo/"}).status_code == 200
    mount = f"/content/{own_echo['guid']}"
    echoed = [owner.get(f"{m}/a").json() for m in (mount, "/team/echo") * 2]
    assert [t["environ"]["SCRIPT_NAME"] for t in echoed] == [mount, "/team/echo"] * 2
    assert {t["environ"]["PATH_INFO"] for t in echoed} == {"/a"}
    assert len({t["pid"] for t in echoed}) == 1
    moved = owner.get("/team/echo?a=b")
    assert (moved.status_code, moved.headers["location"]) == (307, "/team/echo/?a=b")
    for other in ("/team/echoes/", "/team/", f"{mount}x/", f"{mount}-/"):
        assert owner.get(other).status_code == 404, other
    api.delete(f"content/{own_echo['guid']}")
    assert owner.get("/team/echo/").status_code == 404


def test_app_is_told_the_public_address(environments):
    """As behind a proxy with TLS; a client cannot change it. bjoern's scheme is always http."""
    with LocalConnect(environments=environments, address="https://connect.example/") as server:
        server_url, server.url = server.url, f"http://127.0.0.1:{server.port}"
        with key_client(server, "admin") as owner, key_client(server, "admin") as api:
            api.base_url = f"{server.url}/__api__/v1/"
            content = api.post("content", json={"name": "behind"}).json()
            deploy_bundle(api, content, make_bundle())
            mount = f"/content/{content['guid']}"
            names = ("X-RSC-Request", "RStudio-Connect-App-Base-URL", "X-Forwarded-Proto")
            names += ("X-Forwarded-Host", "X-Forwarded-Port", "Forwarded", "X-Forwarded-For")
            forged = {name: "evil.example" for name in names} | {"Host": "connect.example"}
            environ = owner.get(f"{mount}/a?b=c", headers=forged).json()["environ"]
    assert content["content_url"] == f"{server_url}{mount}/" == f"https://connect.example{mount}/"
    assert environ["HTTP_X_RSC_REQUEST"] == f"https://connect.example{mount}/a?b=c"
    assert environ["HTTP_RSTUDIO_CONNECT_APP_BASE_URL"] == f"https://connect.example{mount}"
    assert environ["HTTP_X_FORWARDED_PROTO"] == "https" and environ["wsgi.url_scheme"] == "http"
    assert environ["HTTP_X_FORWARDED_HOST"] == "connect.example"
    assert "evil.example" not in environ.values()


TARGETS = [
    ("/a%25b/%2F/%C3%A9?x=%2F&y=%25", "/a%b///é"),
    ("/%61//b;c/../d%3F", "/a//b;c/../d?"),
    ("/a\x01b?q=\x7f", "/a\x01b"),
    ("//doubled///", "//doubled///"),
    ("/%FF", None),
]


@pytest.fixture
def ask(server, echo):
    """Sends lines of a request to the echo app, as they are; gives its answer."""

    def ask(target, *lines, version="1.1", body=b""):
        first = f"{target.replace('MOUNT', '/content/' + echo['guid'])} HTTP/{version}"
        own = [
            "Host: localhost:1",
            "Connection: close",
            f"X-RSC-Authorization: Key {server.api_key}",
        ]
        request = "\r\n".join([first, *own, *lines, "", ""]).encode("latin-1")
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(request + body)
            response = http.client.HTTPResponse(connection)
            response.begin()
            response.text = response.read().decode()
        return response

    return ask


@pytest.fixture
def answer(ask):
    """Makes the echo app answer with a status and headers; gives what the visitor gets."""

    def answer(headers, status="200 OK", method="GET"):
        return ask(f"{method} MOUNT/answer?{quote(json.dumps([status, headers]))}")

    return answer


@pytest.mark.parametrize(("target", "path"), TARGETS)
def test_target_reaches_the_app_as_it_was_sent(server, echo, ask, target, path):
    sent = f"/content/{echo['guid']}{target}"
    environ = json.loads(ask(f"GET {sent}").text)["environ"]
    if path is not None:
        assert environ["PATH_INFO"].encode("latin-1").decode() == path
    escaped = sent.replace("\x01", "%01").replace("\x7f", "%7F")
    assert environ["QUERY_STRING"] == escaped.partition("?")[2]
    assert environ["REQUEST_URI"] == escaped
    assert environ["HTTP_HOST"] == "localhost:1"
    assert environ["HTTP_X_RSC_REQUEST"] == server.url + escaped


@pytest.mark.parametrize("start", ["http://localhost:1", "//", "HTTP://localhost:1//"])
def test_app_is_told_one_spelling_of_its_mount(server, echo, ask, start):
    """Also for the absolute form of RFC 9112, which a client sends to a proxy."""
    mount = f"/content/{echo['guid']}"
    environ = json.loads(ask(f"GET {start.rstrip('/') or '/'}{mount}/a?b=/c").text)["environ"]
    assert (environ["REQUEST_URI"], environ["PATH_INFO"]) == (f"{mount}/a?b=/c", "/a")
    assert environ["HTTP_X_RSC_REQUEST"] == f"{server.url}{mount}/a?b=/c"


def test_request_and_answer_pass_whole(owner, echo):
    url = echo["content_url"]
    chunks = (b"ab" * 2**15 for _ in range(4))
    assert owner.post(url, content=chunks).json()["body"] == "ab" * 2**17
    echoed = owner.put(url, content=b"body", headers={"X-End": "2", "TE": "a"}).json()
    assert (echoed["body"], echoed["environ"]["REQUEST_METHOD"]) == ("body", "PUT")
    assert echoed["environ"]["HTTP_X_END"] == "2" and "HTTP_TE" not in echoed["environ"]
    assert echoed["environ"]["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    environ = owner.get(url).json()["environ"]
    assert "CONTENT_LENGTH" not in environ
    assert not [name for name in environ if name.startswith("HTTP_CONNECT")]
    assert environ["wsgi.multithread"] == environ["wsgi.multiprocess"] == "False"
    assert environ["SERVER_NAME"] == "127.0.0.1" and environ["SERVER_PORT"].isdigit()
    head = owner.head(url)
    assert int(head.headers["content-length"]) > 100 and head.content == b""
    assert owner.get(f"{url}big").json()["big"] == "x" * 2**24


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


# What an app sends, and what the visitor gets: eddiethedean/hedron probed `Path=/` on real servers.
COOKIES = [
    ("a=1; Path=/", "a=1; Path=MOUNT/"),
    ("a=1", "a=1"),
    ("a=1; Path=/x/y; HttpOnly", "a=1; Path=MOUNT/x/y; HttpOnly"),
    ("a=1; Path=MOUNT", "a=1; Path=MOUNT"),
    ("a=1; Path=MOUNT/x", "a=1; Path=MOUNT/x"),
    ("a=1; Path=MOUNTx", "a=1; Path=MOUNTMOUNTx"),
    ("a=1;path=/;Secure", "a=1;path=MOUNT/;Secure"),
    ("a=1; PATH = /x ; Secure", "a=1; PATH = MOUNT/x ; Secure"),
    ('a=1; Path="/x"', 'a=1; Path="MOUNT/x"'),
    ("a=1; Path=", "a=1; Path="),
    ("a=1; Path=x", "a=1; Path=x"),
    ("a=1; Path=/x; Path=/y", "a=1; Path=MOUNT/x; Path=MOUNT/y"),
    (
        "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; Max-Age=0",
        "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=MOUNT/; Max-Age=0",
    ),
    ("Path=/; Path=/", "Path=/; Path=MOUNT/"),
    ("a=path=/; Domain=localhost; Path=/", "a=path=/; Domain=localhost; Path=MOUNT/"),
    ('a="x, y"; Path=/', 'a="x, y"; Path=MOUNT/'),
    ("__Host-a=1; Secure; Path=/", "__Host-a=1; Secure; Path=MOUNT/"),
    ("a=1; PathX=/; X-Path=/", "a=1; PathX=/; X-Path=/"),
]


@pytest.mark.parametrize(("sent", "got"), COOKIES)
def test_cookie_of_an_app_is_for_its_mount(echo, answer, sent, got):
    mount = f"/content/{echo['guid']}"
    headers = [["set-cookie", sent.replace("MOUNT", mount)], ["Set-Cookie", "b=2"]]
    got_cookies = answer(headers).headers.get_all("Set-Cookie")
    assert got_cookies == [got.replace("MOUNT", mount), "b=2"]


def test_app_is_told_the_mount_of_the_request_and_its_cookies_are_for_it(
    server, api, owner, own_echo
):
    api.put(f"content/{own_echo['guid']}/vanity", json={"path": "/team/cookies"})
    draft, _ = deploy_bundle(api, own_echo, make_bundle(), activate=False)
    query = quote(json.dumps(["200 OK", [["Set-Cookie", "a=1; Path=/"]]]))
    own = f"/content/{own_echo['guid']}"
    for mount in (own, f"{own}/_bundle{draft}", "/team/cookies"):
        cookie = owner.get(f"{mount}/answer?{query}").headers["set-cookie"]
        assert cookie == f"a=1; Path={mount}/"
        environ = ask_echo(owner, {"content_url": f"{mount}/"})["environ"]
        assert environ["HTTP_RSTUDIO_CONNECT_APP_BASE_URL"] == f"{server.url}{mount}"
        assert environ["HTTP_X_RSC_REQUEST"] == f"{server.url}{mount}/"


ANSWERS = [
    [["Location", "/greetings"]],
    [["Location", "http://["]],
    [["Location", "../\u00c3\u00a9?a=b c&d=%C3%A9#e"]],  # the bytes of é in UTF-8
    [["Location", "https://example.com//a b"]],
    [["Www-Authenticate", "Basic realm=a"], ["Www-Authenticate", "Bearer"]],
    [["Link", "<a>; rel=a"], ["Link", "<b>; rel=b"], ["Vary", "Accept"], ["Vary", "Origin"]],
    [["Server", "own"], ["Date", "yesterday"], ["X-Empty", ""]],
    [["Etag", 'W/"a"'], ["Cache-Control", "max-age=60"], ["Content-Type", "a/b;  c=d"]],
    [["Content-Disposition", "attachment; filename=\u00e9.csv"]],
]


@pytest.mark.parametrize("headers", ANSWERS, ids=str)
def test_headers_of_an_answer_pass_as_they_are(answer, headers):
    response = answer(headers, status="302 Moved Somewhere")
    assert (response.status, response.reason) == (302, "Moved Somewhere")
    names = {name for name, _ in headers}
    got = [[name, value] for name, value in response.getheaders() if name in names]
    assert sorted(got, key=lambda header: header[0]) == sorted(
        headers, key=lambda header: header[0]
    )


def test_server_adds_no_headers_for_caches(stranger, public_echo, server):
    stranger.cookies.set(f"connect-{server.port}", "a")
    for status in ("200 OK", "404 Not Found"):
        query = quote(json.dumps([status, []]))
        names = {*stranger.get(f"{public_echo['content_url']}answer?{query}").headers}
        assert names <= {"content-length", "date", "server", "via"}


@pytest.mark.parametrize(("many", "long"), [(150, 1), (1, 70_000)])
def test_answer_with_more_headers_than_the_server_reads_is_explained(answer, many, long):
    refused = answer([[f"X-{number}", "a" * long] for number in range(many)])
    assert refused.status == 502 and "cannot be read: got more than" in refused.text


def test_large_body_reaches_the_app(owner, echo):
    """More than a bundle may have, publisher#2696; with a length and without."""
    size, part = 140 * 2**20, bytes(2**20)
    for headers in ({}, {"Content-Length": str(size)}):
        parts = (part for _ in range(140))
        response = owner.post(f"{echo['content_url']}length", content=parts, headers=headers)
        assert (response.status_code, response.text) == (200, str(size))


def test_app_may_answer_before_it_reads_a_body(owner, echo):
    query = quote(json.dumps(["413 Content Too Large", []]))
    for _ in range(3):
        refused = owner.post(f"{echo['content_url']}answer?{query}", content=bytes(2**23))
        assert refused.status_code == 413


def test_body_comes_after_the_server_asks_for_it(server, echo):
    lines = [
        f"POST /content/{echo['guid']}/ HTTP/1.1",
        "Host: localhost",
        "Connection: close",
    ]
    lines += [f"Authorization: Key {server.api_key}", "Expect: 100-continue", "Content-Length: 4"]
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"body")
        response = http.client.HTTPResponse(connection)
        response.begin()
        echoed = json.loads(response.read())
    assert (echoed["body"], "HTTP_EXPECT" in echoed["environ"]) == ("body", False)


def test_length_of_a_body_is_what_the_app_can_read(ask):
    """In HTTP/1.0, which has no Transfer-Encoding, a client may send it with a length."""
    lines = ("Transfer-Encoding: chunked", "Content-Length: 4")
    assert ask("POST MOUNT/length", *lines, version="1.0", body=b"body").text == "4"
    text = ask("POST MOUNT/", "Content-Length: 0").text
    assert json.loads(text)["environ"]["CONTENT_LENGTH"] == "0"


def test_request_to_change_the_protocol_is_an_ordinary_request(ask):
    """An app of WSGI has no websockets."""
    lines = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: a")
    environ = json.loads(ask("GET MOUNT/", *lines).text)["environ"]
    assert "HTTP_UPGRADE" not in environ and environ["HTTP_SEC_WEBSOCKET_VERSION"] == "13"


def test_header_that_connection_names_does_not_pass(ask):
    """It is for the next server only: RFC 9110, 7.6.1."""
    lines = ("Connection: X-Secret ,x-other", "X-Secret: a", "X-Other: b", "X-Secret-2: c")
    environ = json.loads(ask("GET MOUNT/", *lines).text)["environ"]
    assert {"HTTP_X_SECRET", "HTTP_X_OTHER"} & environ.keys() == set()
    assert environ["HTTP_X_SECRET_2"] == "c"
