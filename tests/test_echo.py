"""What an app is told on a server, as Connect documents it."""

import json
import re
from urllib.parse import urlsplit

import httpx

from shared.harness.client import private_client
from shared.harness.servers import GUID
from tests.connect.support import write_app


def test_app_is_told_its_mount_its_visitor_and_its_content_but_no_key(server, api):
    to_server = ["--server", server.url, "--api-key", server.key]
    with private_client() as client:
        directory = write_app(client.root / "echo")
        printed = client.run("deploy", "api", *to_server, "--entrypoint", "app:app", directory)
    guid = re.search(rf"/content/({GUID.pattern})", printed)[1]
    url = api.get(f"content/{guid}").json()["content_url"].rstrip("/")
    answer = httpx.get(f"{url}/here", headers=server.headers, timeout=60)
    api.delete(f"content/{guid}").raise_for_status()
    environ, variables = answer.json()["environ"], answer.json()["variables"]
    assert environ["SCRIPT_NAME"] == urlsplit(url).path
    assert environ["PATH_INFO"] == "/here"
    credentials = json.loads(environ["HTTP_RSTUDIO_CONNECT_CREDENTIALS"])
    assert credentials["user"] == api.get("user").json()["username"]
    assert variables["CONNECT_CONTENT_GUID"] == guid
    assert {"CONNECT_SERVER", "CONNECT_API_KEY"} <= set(variables)
    assert not [name for name, value in environ.items() if server.key in value]
