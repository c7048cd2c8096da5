"""Examples deployed by the README's commands, to a named server or to a local Connect."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from shared.bundle import kept_environments
from shared.catalogue import Example
from shared.client import private_client
from shared.connect.server import LocalConnect
from shared.readme import console_commands

Urls = dict[str, str]


def named_server() -> tuple[str, str] | None:
    """The URL and the API key of the server to test, if the environment names one.

    Raises LookupError when it gives the URL without the key.
    """
    url, key = (os.environ.get(name) for name in ("CONNECT_SERVER", "CONNECT_API_KEY"))
    if not url:
        return None
    if not key:
        raise LookupError(f"Set CONNECT_API_KEY too, to a key of {url}.")
    return url.rstrip("/"), key


@contextmanager
def server() -> Iterator[tuple[str, str]]:
    """The URL and the API key of a server: the named one, else a local Connect's."""
    if named := named_server():
        yield named
        return
    with LocalConnect(environments=kept_environments()) as connect:
        yield connect.url, connect.api_key


@contextmanager
def deployments(url: str, key: str) -> Iterator[Callable[[Example], Urls]]:
    """Give `deploy(example)`, which returns the base URL of its content at each mount.

    Each example is deployed once, and deleted when the context ends.
    """
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(private_client())
        add, *commands = console_commands("Deploy")
        client.run_command(add, url, key)
        api = stack.enter_context(
            httpx.Client(
                base_url=f"{url}/__api__/v1/", headers=authorization(key), timeout=60
            )
        )

        def delete(guid: str) -> None:
            api.delete(f"content/{guid}").raise_for_status()

        @functools.cache
        def deploy(example: Example) -> Urls:
            [command] = (c for c in commands if example.directory in c)
            printed = client.run_command(command, url, key)
            guid = re.search(r"/content/([0-9a-f-]{36})", printed)[1]
            stack.callback(delete, guid)
            vanity = f"/greetings-{guid[:8]}"
            path = {"path": f"{vanity}/"}
            api.put(f"content/{guid}/vanity", json=path).raise_for_status()
            return {"content": f"{url}/content/{guid}", "vanity": url + vanity}

        yield deploy


def authorization(key: str) -> dict[str, str]:
    """The header of a request that may see the content."""
    return {"Authorization": f"Key {key}"}
