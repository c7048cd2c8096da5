"""Examples deployed by the README's commands, to a named server or to a local Connect."""

import contextlib
import functools
import os
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from shared.catalogue import EXAMPLES, Example
from shared.connect.server import LocalConnect
from shared.harness.client import ClientError, private_client
from shared.harness.loopback import bypass_proxies
from shared.harness.places import NAMED_SERVER
from shared.harness.readme import console_commands


def kept_environments() -> Path | None:
    """Return where virtual environments stay until the next run: in tox's directory."""
    directory = os.environ.get("TOX_WORK_DIR")
    return Path(directory, "environments") if directory else None


@contextmanager
def server(tls: bool = False) -> Iterator[tuple[str, str]]:
    """Give the URL and an API key of a server: the named one, or else a local Connect.

    With `tls`, visitors reach the content of a local Connect through a proxy with TLS.
    Raises LookupError when a server is named without a key.
    """
    if NAMED_SERVER:
        key = os.environ.get("CONNECT_API_KEY")
        if not key:
            raise LookupError(f"Set CONNECT_API_KEY, too, to a key of {NAMED_SERVER}.")
        yield NAMED_SERVER, key
        return
    options = {"environments": kept_environments(), "links": links()}
    if not tls:
        with LocalConnect(**options) as connect:
            yield connect.url, connect.api_key
        return
    from shared.harness.tls import tls_proxy  # needs what only the console tests install

    with tls_proxy() as (address, pass_on_to), LocalConnect(address=address, **options) as connect:
        pass_on_to(connect.port)
        yield f"http://127.0.0.1:{connect.port}", connect.api_key


def links() -> dict[str, list[tuple[str, str]]]:
    """Return the labels and paths that a local Connect's index shows for each example."""
    return {example.directory: example.links for example in EXAMPLES}


@contextmanager
def deployments(url: str, key: str) -> Iterator[Callable[[Example], dict[str, str]]]:
    """Give `deploy(example)`, which returns the base URL of its content at each mount.

    Each example is deployed once, and deleted when the context ends. `deploy` raises ClientError
    with the last line of the app's log when the app does not start.
    """
    bypass_proxies()
    add, *commands = [shlex.split(command)[1:] for command in console_commands("Deploy")]
    headers = {"Authorization": f"Key {key}"}
    with (
        httpx.Client(base_url=f"{url}/__api__/v1/content/", headers=headers, timeout=60) as api,
        contextlib.ExitStack() as stack,
        private_client() as client,
    ):
        add[add.index("--server") + 1], add[add.index("--api-key") + 1] = url, key
        client.run(*add)

        @functools.cache
        def deploy(example: Example) -> dict[str, str]:
            [command] = (c for c in commands if c[-1] == f"./{example.directory}/")
            try:
                printed = client.run(*command)
            except ClientError as error:
                if log := re.search(r"http\S+/logs", error.output):
                    lines = api.get(log[0]).text.strip()
                    raise ClientError(f"{error.output}\n{lines}") from None
                raise
            guid = re.search(r"/content/([0-9a-f-]{36})", printed)[1]
            stack.callback(lambda: api.delete(guid).raise_for_status())
            # A server that others use, too, may have the path already.
            unique = f"-{guid[:8]}" if NAMED_SERVER else ""
            path = f"/{example.directory}{unique}"
            api.put(f"{guid}/vanity", json={"path": f"{path}/"}).raise_for_status()
            content = api.get(guid).json()["content_url"].rstrip("/")
            return {"content": content, "vanity": content.replace(f"/content/{guid}", path)}

        yield deploy
