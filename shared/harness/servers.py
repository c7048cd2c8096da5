"""Examples deployed by the README's commands, to a named server or to a local Connect."""

import functools
import os
import re
import shlex
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from shared.catalogue import EXAMPLES, Example
from shared.connect.server import LocalConnect
from shared.harness import NAMED_SERVER
from shared.harness.client import ClientError, private_client
from shared.harness.loopback import CONTEXT, bypass_proxies
from shared.harness.readme import commands

GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Of a local Connect, besides `admin`, with their groups.
USERS = [("ada", ["editors", "admins"]), ("josé", ["équipe"])]
# What the index of a local Connect shows for each example.
LINKS = {example.directory: example.links for example in EXAMPLES}
Deploy = Callable[[Example], dict[str, str]]


@dataclass(frozen=True)
class Server:
    """A server, how to deploy to it, and what verifies its certificate."""

    url: str  # for those who deploy
    key: str
    deploy: Deploy
    trust: ssl.SSLContext = CONTEXT

    @property
    def headers(self) -> dict[str, str]:
        """The header of a request as the owner of what is deployed."""
        return {"Authorization": f"Key {self.key}"}


def kept_environments() -> Path:
    """Return where virtual environments stay until the next run: in tox's directory."""
    return Path(os.environ["TOX_WORK_DIR"], "environments")


@contextmanager
def server_at(place: str) -> Iterator[Server]:
    """Give the named server, or else a local Connect.

    place: `deployed`; `tls` for visitors who come through a proxy with TLS; `processes` for three
    processes of each content.
    """
    with ExitStack() as stack:
        if NAMED_SERVER:
            key = os.environ["TEST_CONNECT_API_KEY"]
            deploy = stack.enter_context(deploying(NAMED_SERVER, key, unique=True))
            yield Server(NAMED_SERVER, key, deploy)
            return
        address, proxy, trust = None, {}, CONTEXT
        if place == "tls":
            from shared.harness.tls import tls_proxy  # needs what only the console tests install

            address, proxy, trust = stack.enter_context(tls_proxy())
        connect = LocalConnect(
            address=address,
            environments=kept_environments(),
            links=LINKS,
            users=USERS,
            processes=3 if place == "processes" else 1,
        )
        stack.enter_context(connect)
        url = f"http://127.0.0.1:{connect.port}"
        proxy["target"] = f"{url}/"
        deploy = stack.enter_context(deploying(url, connect.api_key))
        yield Server(url, connect.api_key, deploy, trust)


@contextmanager
def deploying(
    url: str, key: str, open_to_all: bool = False, unique: bool = False
) -> Iterator[Deploy]:
    """Give `deploy(example)`, which returns the base URL of its content at each mount.

    open_to_all: visitors need no key; by default content answers its owner only.
    unique: vanity paths end in a part of the GUID, for a server that others use, too.
    Each example is deployed once, and deleted when the context ends. `deploy` raises ClientError
    with the log of the app, or of its build, when the client fails.
    """
    bypass_proxies()
    add, known = [shlex.split(command)[1:] for command in commands("Deploy")]
    base, headers = f"{url}/__api__/v1/content/", {"Authorization": f"Key {key}"}
    with (
        httpx.Client(base_url=base, headers=headers, timeout=60, verify=CONTEXT) as api,
        ExitStack() as stack,
        private_client() as client,
    ):
        add[add.index("--server") + 1], add[add.index("--api-key") + 1] = url, key
        client.run(*add)

        @functools.cache
        def deploy(example: Example) -> dict[str, str]:
            try:
                printed = client.run(*known[:-1], f"./{example.directory}/")
            except ClientError as error:
                if found := GUID.search(error.output):
                    raise ClientError(f"{error.output}\n{newest_log(api, found[0])}") from None
                raise
            guid = re.search(rf"/content/({GUID.pattern})", printed)[1]
            stack.callback(lambda: api.delete(guid).raise_for_status())
            path = f"/{example.directory}" + (f"-{guid[:8]}" if unique else "")
            api.put(f"{guid}/vanity", json={"path": f"{path}/"}).raise_for_status()
            if open_to_all:
                api.patch(guid, json={"access_type": "all"}).raise_for_status()
            content = api.get(guid).json()["content_url"].rstrip("/")
            return {"content": content, "vanity": content.replace(f"/content/{guid}", path)}

        yield deploy


def newest_log(api: httpx.Client, guid: str) -> str:
    """Return the text of the log of a content's newest job; empty without one.

    api: a client of `/__api__/v1/content/`.
    """
    jobs = api.get(f"{guid}/jobs").raise_for_status().json()
    # An app starts after its build, if in the same second.
    jobs.sort(key=lambda job: (job["start_time"], job["tag"].startswith("run_")))
    logs = [api.get(f"{guid}/jobs/{job['key']}/log").json()["entries"] for job in jobs[-1:]]
    return "\n".join(entry["data"] for log in logs for entry in log)
