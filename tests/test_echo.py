"""What an app is told on a server: what Connect documents, and all else for people to read."""

import json
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from shared.harness.client import private_client
from shared.harness.servers import GUID
from tests.connect.support import write_app

SECRET = re.compile("AUTHORIZATION|COOKIE|KEY|PASSWORD|SECRET|TOKEN")


@pytest.fixture(scope="module")
def content(server, api):
    """The echo app as content, deployed by the client."""
    to_server = ["--server", server.url, "--api-key", server.key]
    with private_client() as client:
        directory = write_app(client.root / "echo")
        printed = client.run("deploy", "api", *to_server, "--entrypoint", "app:app", directory)
    guid = re.search(rf"/content/({GUID.pattern})", printed)[1]
    yield api.get(f"content/{guid}").raise_for_status().json()
    api.delete(f"content/{guid}")


@pytest.fixture(scope="module")
def answers(content, server):
    """The app's answers, by path; without secrets they stay in echo.json, in tox's directory."""
    draft = f"/_bundle{content['bundle_id']}/here"
    paths = ["", "/", "/here", draft, "/caf%C3%A9//a%2Fb?c=d%20e", "//doubled", "/cookie"]
    url = content["content_url"].rstrip("/")
    with httpx.Client(timeout=60, **server.visitor) as visitor:
        answers = {path: visitor.get(url + path) for path in paths}
    records = {path: described(answer) for path, answer in answers.items()}
    text = json.dumps(records, indent=2).replace(server.key, "removed")
    Path(os.environ["TOX_ENV_DIR"], "echo.json").write_text(text, encoding="utf-8")
    return answers


def described(answer: httpx.Response) -> dict[str, object]:
    """What of an answer is worth reading."""
    body = answer.json() if answer.headers.get("Content-Type") == "application/json" else {}
    for values in (body.get("environ", {}), body.get("variables", {})):
        values.update(dict.fromkeys(filter(SECRET.search, values), "removed"))
    headers = dict(answer.headers)
    # The server's own may be those of a session.
    cookies = [re.sub("=[^;]*", "=removed", each, count=1) for each in cookies_of(answer)]
    headers |= {"set-cookie": cookies} if cookies else {}
    return {"status": answer.status_code, "headers": headers, "body": body}


def cookies_of(answer: httpx.Response) -> list[str]:
    return answer.headers.get_list("set-cookie")


@pytest.fixture(scope="module")
def echoed(answers):
    """What the app tells of a plain request."""
    return answers["/here"].raise_for_status().json()


def test_script_name_is_the_mount(echoed, content):
    mount = urlsplit(content["content_url"]).path.rstrip("/")
    assert echoed["environ"]["SCRIPT_NAME"] == mount
    assert echoed["environ"]["PATH_INFO"] == "/here"


def test_credentials_name_the_owner_of_the_key(echoed, api):
    credentials = json.loads(echoed["environ"]["HTTP_RSTUDIO_CONNECT_CREDENTIALS"])
    assert credentials["user"] == api.get("user").json()["username"]


def test_variables_name_the_content(echoed, content):
    assert echoed["variables"]["CONNECT_CONTENT_GUID"] == content["guid"]
    assert {"CONNECT_SERVER", "CONNECT_API_KEY"} <= set(echoed["variables"])


def test_cookie_of_the_app_reaches_the_visitor(answers):
    cookies = cookies_of(answers["/cookie"])
    assert [cookie for cookie in cookies if cookie.startswith("a=1;")], cookies


def test_key_of_the_visitor_does_not_reach_the_app(echoed, server):
    names = [name for name, value in echoed["environ"].items() if server.key in value]
    assert not names


def test_no_key_is_kept(answers, echoed, server):
    kept = Path(os.environ["TOX_ENV_DIR"], "echo.json").read_text(encoding="utf-8")
    assert "a=removed; Path=/" in kept and "a=1" not in kept
    keys = {"visitor": server.key, "app": echoed["variables"]["CONNECT_API_KEY"]}
    names = [name for name, key in keys.items() if key in kept]
    assert not names
