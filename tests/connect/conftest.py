"""The fixtures of the tests of the local Connect."""

import httpx
import pytest

from shared.connect.server import LocalConnect
from shared.harness.client import private_client
from shared.harness.loopback import CONTEXT
from shared.harness.servers import kept_environments
from tests.connect.support import deploy_bundle, key_client, make_bundle

USERS = [("josé", ["équipe", "lecteurs"]), ("ada", [])]


@pytest.fixture(scope="session")
def environments():
    """A directory of virtual environments, which all servers of the tests share."""
    return kept_environments()


@pytest.fixture(scope="session")
def server(environments):
    """A running local Connect, with two users besides `admin`."""
    with LocalConnect(environments=environments, users=USERS) as server:
        yield server


@pytest.fixture(scope="module")
def rsconnect(server, api):
    """The client in a home of its own, which knows the server as `local`."""
    with private_client() as client:
        client.run("add", "-n", "local", "-s", server.url, "-k", server.api_key)
        yield client


@pytest.fixture(scope="module")
def api(server):
    """An HTTP client of the API, with the key of `admin`; at the end, all content is deleted."""
    with key_client(server, "admin", "/__api__/v1/") as api:
        yield api
        for content in api.get("content").json():
            api.delete(f"content/{content['guid']}")


@pytest.fixture
def owner(server):
    """An HTTP client with the key of `admin`, who owns all content."""
    with key_client(server, "admin") as owner:
        yield owner


@pytest.fixture
def viewer(server):
    """An HTTP client with the key of a user who owns nothing."""
    with key_client(server, "josé") as viewer:
        yield viewer


@pytest.fixture
def stranger(server):
    """An HTTP client without a key."""
    with httpx.Client(base_url=server.url, timeout=60, verify=CONTEXT) as stranger:
        yield stranger


@pytest.fixture
def content(api):
    """A new content item."""
    content = api.post("content", json={}).json()
    yield content
    api.delete(f"content/{content['guid']}")


@pytest.fixture
def own_echo(api, content):
    """A content item with the echo app, for a test that changes it."""
    deploy_bundle(api, content, make_bundle())
    return content


@pytest.fixture
def public_echo(api, own_echo):
    """A content item with the echo app, which everybody may see."""
    api.patch(f"content/{own_echo['guid']}", json={"access_type": "all"})
    return own_echo


@pytest.fixture(scope="module")
def echo(api):
    """A content item with the echo app, which the tests only ask."""
    content = api.post("content", json={}).json()
    deploy_bundle(api, content, make_bundle())
    return content
