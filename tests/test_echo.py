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

SECRET = re.compile("authorization|cookie|key|password|secret|token", re.IGNORECASE)


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
def echoed(content, server):
    """What the app is told of a request. All answers stay in echo.json, in tox's directory."""
    paths = ["/here", f"/_bundle{content['bundle_id']}/here", "/caf%C3%A9//a%2Fb?c=d", "//doubled"]
    with httpx.Client(timeout=60, **server.visitor) as visitor:
        url = content["content_url"].rstrip("/")
        records = {path: record(visitor.get(url + path)) for path in paths}
    text = json.dumps(json.loads(json.dumps(records), object_hook=without_secrets), indent=2)
    Path(os.environ["TOX_ENV_DIR"], "echo.json").write_text(text, encoding="utf-8")
    return records["/here"]["body"]


def record(answer):
    """What of an answer is worth reading."""
    is_json = answer.headers.get("Content-Type") == "application/json"
    headers, body = dict(answer.headers), answer.json() if is_json else answer.text[:200]
    return {"status": answer.status_code, "headers": headers, "body": body}


def without_secrets(values):
    """The values of a JSON object whose names do not tell of a secret."""
    return {name: "removed" if SECRET.search(name) else value for name, value in values.items()}


def test_app_is_told_its_mount_its_visitor_and_its_content(echoed, content, api):
    environ, variables = echoed["environ"], echoed["variables"]
    assert environ["SCRIPT_NAME"] == urlsplit(content["content_url"]).path.rstrip("/")
    assert environ["PATH_INFO"] == "/here"
    credentials = json.loads(environ["HTTP_RSTUDIO_CONNECT_CREDENTIALS"])
    assert credentials["user"] == api.get("user").json()["username"]
    assert variables["CONNECT_CONTENT_GUID"] == content["guid"]
    assert {"CONNECT_SERVER", "CONNECT_API_KEY"} <= set(variables)


def test_key_of_the_visitor_does_not_reach_the_app(echoed, server):
    assert not [name for name, value in echoed["environ"].items() if server.key in value]


def test_no_key_is_kept(echoed, server):
    text = Path(os.environ["TOX_ENV_DIR"], "echo.json").read_text(encoding="utf-8")
    keys = {"visitor": server.key, "app": echoed["variables"]["CONNECT_API_KEY"]}
    assert not [name for name, key in keys.items() if key in text]
