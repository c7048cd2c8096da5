"""The fixtures of the tests of the local Connect."""

import re

import httpx
import pytest

from shared.connect.server import LocalConnect
from shared.harness.client import private_client
from shared.harness.publication import kept_environments
from tests.connect.support import deploy, make_bundle


@pytest.fixture(scope="session")
def environments(tmp_path_factory):
    """A directory of virtual environments, which all servers of the tests share."""
    return kept_environments() or tmp_path_factory.mktemp("environments")


@pytest.fixture(scope="session")
def server(environments):
    """A running local Connect."""
    with LocalConnect(environments=environments) as server:
        yield server


@pytest.fixture(scope="session")
def jose(server):
    """The API key of a user whose name is not ASCII."""
    return server.users.add_key(server.users.create("josé", ["équipe", "lecteurs"]))


@pytest.fixture(scope="session")
def rsconnect(server):
    """The client in a home of its own, which knows the server as `local`."""
    with private_client() as client:
        client.run("add", "-n", "local", "-s", server.url, "-k", server.api_key)
        yield client


@pytest.fixture
def visitor(server):
    """An HTTP client with the key of the contents' owner."""
    headers = {"Authorization": f"Key {server.api_key}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as visitor:
        yield visitor


@pytest.fixture
def stranger(server):
    """An HTTP client without a key."""
    with httpx.Client(base_url=server.url, timeout=60) as stranger:
        yield stranger


@pytest.fixture(scope="session")
def publisher(server):
    """An HTTP client below /__api__/v1/, with the key."""
    headers = {"Authorization": f"Key {server.api_key}"}
    url = f"{server.url}/__api__/v1/"
    with httpx.Client(base_url=url, headers=headers, timeout=60) as publisher:
        yield publisher


@pytest.fixture
def content(publisher, request):
    """A new content item."""
    name = re.sub(r"[^\w.-]", "-", request.node.name, flags=re.ASCII)[:60]
    content = publisher.post("content", json={"name": name}).json()
    yield content
    publisher.delete(f"content/{content['guid']}")


@pytest.fixture
def own_echo(publisher, content):
    """A content item with the echo app, for a test that changes it."""
    deploy(publisher, content, make_bundle())
    return content


@pytest.fixture(scope="session")
def echo(publisher):
    """A content item with the echo app, which the tests only ask."""
    content = publisher.post("content", json={"name": "echo"}).json()
    deploy(publisher, content, make_bundle())
    return content
