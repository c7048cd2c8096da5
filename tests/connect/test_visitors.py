"""What visitors and apps see: mounts, variables, credentials, and requests passed on whole."""

import http.client
import json
import os
import socket

import httpx
import pytest

from shared.connect.server import LocalConnect
from tests.connect.support import ask, deploy, make_bundle, read_log

pytestmark = pytest.mark.local


def raw(server, path):
    """Send a GET for a path as it is; return the body of the response."""
    lines = [f"GET {path} HTTP/1.1", "Host: localhost:1", "Connection: close"]
    request = "\r\n".join([*lines, f"Authorization: Key {server.api_key}", "", ""])
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(request.encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.read()


def test_both_mounts_lead_to_one_process(publisher, visitor, own_echo):
    url = f"content/{own_echo['guid']}/vanity"
    assert publisher.put(url, json={"path": "/team/echo/"}).status_code == 200
    mount = f"/content/{own_echo['guid']}"
    told = [visitor.get(f"{m}/a").json() for m in (mount, "/team/echo") * 2]
    assert [t["environ"]["SCRIPT_NAME"] for t in told] == [mount, "/team/echo"] * 2
    assert {t["environ"]["PATH_INFO"] for t in told} == {"/a"}
    assert len({t["pid"] for t in told}) == 1
    moved = visitor.get("/team/echo?a=b")
    assert (moved.status_code, moved.headers["location"]) == (307, "/team/echo/?a=b")
    publisher.delete(f"content/{own_echo['guid']}")
    assert visitor.get("/team/echo/").status_code == 404


PATHS = {"/content/x/": 400, "/__api__/": 400, "/connect/": 400, "/": 400, "/a/../b": 400}
PATHS |= {"/team": 409, "/team/echo/more/": 409, "/connect-demo/": 400, "/demo-connect": 200}


def test_vanity_path_is_free_and_not_reserved(publisher, echo, content):
    publisher.put(f"content/{echo['guid']}/vanity", json={"path": "/team/echo/"})
    url = f"content/{content['guid']}/vanity"
    codes = {path: publisher.put(url, json={"path": path}).status_code for path in PATHS}
    publisher.put(f"content/{echo['guid']}/vanity", json={"path": "/echo/"})
    assert codes == PATHS


def test_app_has_the_variables_of_connect(server, publisher, visitor, own_echo):
    told = ask(visitor, own_echo)
    variables = told["variables"]
    assert variables["POSIT_PRODUCT"] == variables["RSTUDIO_PRODUCT"] == "CONNECT"
    assert variables["CONNECT_CONTENT_GUID"] == own_echo["guid"]
    assert variables["CONNECT_SERVER"] == f"{server.url}/"
    assert variables["LANG"] == "C.UTF-8"
    assert {"app.py", "manifest.json", "requirements.txt"} <= set(told["files"])
    key = {"Authorization": f"Key {variables['CONNECT_API_KEY']}"}
    assert visitor.get("/__api__/v1/user", headers=key).json()["username"] == "admin"
    publisher.delete(f"content/{own_echo['guid']}")
    assert visitor.get("/__api__/v1/user", headers=key).status_code == 401


@pytest.mark.parametrize("name", ["rstudio-connect-credentials", "RStudio_Connect-Credentials"])
def test_credentials_cannot_be_forged(jose, publisher, stranger, own_echo, name):
    publisher.patch(f"content/{own_echo['guid']}", json={"access_type": "all"})
    forged = [(name, '{"user": "root"}'), (name, '{"user": "admin"}')]
    told = ask(stranger, own_echo, headers=forged)["environ"]
    assert "HTTP_RSTUDIO_CONNECT_CREDENTIALS" not in told
    key = [("Authorization", f"Key {jose}")]
    told = ask(stranger, own_echo, headers=forged + key)["environ"]
    # WSGI decodes the header's bytes as Latin-1, PEP 3333.
    credentials = told["HTTP_RSTUDIO_CONNECT_CREDENTIALS"].encode("latin-1")
    assert json.loads(credentials) == {"user": "josé", "groups": ["équipe", "lecteurs"]}


def test_signed_in_visitor_is_known_to_content(server, jose, publisher, stranger, own_echo):
    publisher.patch(f"content/{own_echo['guid']}", json={"access_type": "all"})
    form, origin = {"user": "josé"}, {"Origin": server.url}
    foreign = stranger.post("/sign-in", data=form, headers={"Origin": "http://evil.example"})
    assert foreign.status_code == stranger.post("/sign-in", data=form).status_code == 403
    cookie = stranger.post("/sign-in", data=form, headers=origin).headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    told = ask(stranger, own_echo)["environ"]
    assert "josÃ©" in told["HTTP_RSTUDIO_CONNECT_CREDENTIALS"]
    # The session is for content only: a page of an app cannot deploy.
    assert stranger.get("/__api__/v1/user").status_code == 401
    stranger.post("/sign-out", headers=origin)
    assert "HTTP_RSTUDIO_CONNECT_CREDENTIALS" not in ask(stranger, own_echo)["environ"]


def test_odd_cookie_of_another_app_does_not_sign_out(server, stranger, echo):
    stranger.post("/sign-in", data={"user": "admin"}, headers={"Origin": server.url})
    session = stranger.cookies[f"connect-{server.port}"]
    odd = f'a[b]={{"x": 1}}; "; connect-{server.port}={session}; c=d'
    told = ask(stranger, echo, headers={"Cookie": odd})["environ"]
    assert "admin" in told["HTTP_RSTUDIO_CONNECT_CREDENTIALS"]
    assert told["HTTP_COOKIE"] == odd


def test_key_does_not_reach_the_app(server, visitor, echo):
    told = ask(visitor, echo, headers={"Authorization": f"Key {server.api_key}"})
    assert server.api_key not in json.dumps(told)
    wrong = visitor.get(echo["content_url"], headers={"Authorization": "Key wrong"})
    assert wrong.status_code == 401


def test_app_is_told_the_public_address(environments):
    """As behind a proxy with TLS; a client cannot change it."""
    with LocalConnect(environments=environments, address="https://connect.example/") as server:
        local = f"http://127.0.0.1:{server.port}"
        headers = {"Authorization": f"Key {server.api_key}"}
        with httpx.Client(base_url=f"{local}/__api__/v1/", headers=headers) as publisher:
            content = publisher.post("content", json={"name": "behind"}).json()
            deploy(publisher, content, make_bundle())
        mount = f"/content/{content['guid']}"
        names = ("X-RSC-Request", "RStudio-Connect-App-Base-URL", "X-Forwarded-Proto")
        forged = dict.fromkeys(names, "http://evil.example")
        host = {"Host": "connect.example"}
        told = httpx.get(f"{local}{mount}/a?b=c", headers=headers | forged | host).json()["environ"]
        foreign = httpx.get(local, headers={"Host": "evil.example"})
    assert content["content_url"] == f"https://connect.example{mount}/"
    assert told["HTTP_X_RSC_REQUEST"] == f"https://connect.example{mount}/a?b=c"
    assert told["HTTP_RSTUDIO_CONNECT_APP_BASE_URL"] == f"https://connect.example{mount}/"
    assert told["HTTP_X_FORWARDED_PROTO"] == "https"
    assert foreign.status_code == 400


TARGETS = [
    ("/a%25b/%2F/%C3%A9?x=%2F&y=%25", "/a%b///é"),
    ("/%61//b;c/../d%3F", "/a//b;c/../d?"),
    ("/a\x01b?q=\x7f", "/a\x01b"),
    ("//doubled///", "//doubled///"),
    ("/%FF", None),
    (f"/_bundle{'9' * 5000}/", f"/_bundle{'9' * 5000}/"),  # not a draft's
]


@pytest.mark.parametrize(("target", "path"), TARGETS)
def test_target_reaches_the_app_as_it_was_sent(server, echo, target, path):
    sent = f"/content/{echo['guid']}{target}"
    told = json.loads(raw(server, sent))["environ"]
    if path is not None:
        assert told["PATH_INFO"].encode("latin-1").decode() == path
    escaped = sent.replace("\x01", "%01").replace("\x7f", "%7F")
    assert told["QUERY_STRING"] == escaped.partition("?")[2]
    assert told["REQUEST_URI"] == escaped
    assert told["HTTP_HOST"] == "localhost:1"


def test_request_and_answer_pass_whole(visitor, echo):
    url = echo["content_url"]
    chunks = (b"ab" * 2**15 for _ in range(4))
    assert visitor.post(url, content=chunks).json()["body"] == "ab" * 2**17
    hop = {"Connection": "X-Hop", "X-Hop": "1", "X-End": "2", "X-Forwarded-For": "evil", "TE": "a"}
    told = visitor.put(url, content=b"body", headers=hop).json()
    assert (told["body"], told["environ"]["REQUEST_METHOD"]) == ("body", "PUT")
    assert told["environ"]["HTTP_X_END"] == "2"
    assert not {"HTTP_X_HOP", "HTTP_TE"} & told["environ"].keys()
    assert told["environ"]["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    head = visitor.head(url)
    assert int(head.headers["content-length"]) > 100 and head.content == b""
    assert visitor.get(f"{url}big").json()["big"] == "x" * 2**24
    moved = visitor.get(f"{url}moved")
    assert moved.headers["location"] == f"/content/{echo['guid']}/here"
    assert moved.headers.get_list("set-cookie") == ["a=1", "b=2"]


def test_answer_is_passed_on_as_it_comes(visitor, echo, tmp_path):
    os.mkfifo(tmp_path / "second")
    with visitor.stream("GET", f"{echo['content_url']}stream?{tmp_path}/second") as response:
        parts = response.iter_raw()
        assert next(parts) == b"first"
        (tmp_path / "second").write_bytes(b"second")
        assert b"".join(parts) == b"second"


def test_index_links_what_is_deployed(visitor, publisher, own_echo):
    publisher.patch(f"content/{own_echo['guid']}", json={"title": "<b>Echo</b>"})
    ask(visitor, own_echo)
    page = visitor.get("/").text
    assert "&lt;b&gt;Echo&lt;/b&gt;" in page and "<b>Echo" not in page
    assert f'href="/content/{own_echo["guid"]}/"' in page
    assert "running" in page and "Sign in as admin" in page


def test_requests_to_this_machine_use_no_proxy(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert httpx.get(server.url).status_code == 200


def test_log_is_where_the_client_says(visitor, echo):
    ask(visitor, echo, "marked")
    log = read_log(visitor, echo)
    assert "was asked for /marked" in log and "is active" in log
