"""Posit Publisher deploys, the extension of VS Code and Positron.

Its code cannot be a dependency, so this sends its requests, in its order: those of
packages/connect-api/src/client.ts and extensions/vscode/src/publish/connectPublish.ts in
posit-dev/publisher (2.11.2).
"""

import re
import time

import pytest

from tests.connect.support import ask_echo, echo_source, key_client, make_bundle

# What it asks before it deploys a Flask API, all at once.
SETTINGS = (
    "v1/user",
    "server_settings",
    "server_settings/applications",
    "server_settings/scheduler/python-api",
    "v1/server_settings/python",
    "v1/server_settings/r",
    "v1/server_settings/quarto",
    "v1/server_settings/nodejs",
)


@pytest.fixture
def extension(server):
    """The HTTP client of Posit Publisher, with a key."""
    with key_client(server, "admin", "/__api__/") as extension:
        yield extension


def bundle_of(version):
    """The bytes of a bundle of the echo app, with the manifest that Publisher writes."""
    return make_bundle(
        {"app.py": echo_source(version)},
        entrypoint="app.py",
        environment={"image": "", "prebuilt": False, "python": {"requires": ">=3.10"}},
        packages={},
    )


def publish(extension, bundle, guid=None):
    """Deploy a bundle as Publisher does, to new content without a GUID; return the content."""

    def send(method, path, **options):
        response = extension.request(method, path, **options)
        assert response.is_success, f"{method} {path}: {response.text}"
        return response.content and response.json()

    user = send("GET", "v1/user")  # what its `testAuthentication` reads
    assert user["guid"] and user["confirmed"] and not user["locked"]
    assert user["user_role"] in ("publisher", "administrator")
    *settings, nodejs = (extension.get(path) for path in SETTINGS)
    assert {response.status_code for response in settings} == {200}
    assert nodejs.status_code == 404
    _, general, _, _, python, r, quarto = (response.json() for response in settings)
    assert general["license"]["allow-apis"] is True
    assert all(isinstance(each["installations"], list) for each in (python, r, quarto))

    if guid:
        content = send("GET", f"v1/content/{guid}")
        assert content["locked"] is False and content["app_mode"] in ("unknown", "python-api")
    else:
        content = send("POST", "v1/content", json={"name": ""})
    url = f"v1/content/{content['guid']}"
    headers = {"Content-Type": "application/gzip"}
    uploaded = send("POST", f"{url}/bundles", content=bundle, headers=headers)
    # What a user has set in the configuration comes with them.
    send("PATCH", url, json={"name": "", "title": "greetings", "min_processes": 1})
    send("PATCH", f"{url}/environment", json=[{"name": "GREETING", "value": "hello"}])
    started = send("POST", f"{url}/deploy", json={"bundle_id": uploaded["id"]})
    task = {"finished": False, "last": 0}
    while not task["finished"]:
        task = send("GET", f"v1/tasks/{started['task_id']}", params={"first": task["last"]})
        time.sleep(0.1)  # as Publisher does, which does not ask the server to wait
    assert task["error"] == ""
    send("GET", content["content_url"])
    return send("GET", url)


def test_publisher_deploys_and_redeploys(server, extension, stranger, owner):
    assert re.fullmatch("[0-9A-Za-z]{32}", server.api_key)  # else it does not take the credential
    assert stranger.get("/__api__/v1/user").status_code == 401
    content = publish(extension, bundle_of("1"))
    assert (content["title"], content["app_mode"]) == ("greetings", "python-api")
    assert content["min_processes"] == 1
    echoed = ask_echo(owner, content)
    assert (echoed["version"], echoed["variables"]["GREETING"]) == ("1", "hello")
    again = publish(extension, bundle_of("2"), content["guid"])
    assert (again["guid"], again["name"]) == (content["guid"], content["name"])
    assert ask_echo(owner, content)["version"] == "2"
