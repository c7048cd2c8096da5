"""Examples deployed by the README's commands, to a named server or to a local Connect."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from shared.bundle import private_client
from shared.catalogue import Example
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
    # tox keeps this directory, so that the next run finds the environments built.
    kept = os.environ.get("TOX_ENV_DIR")
    environments = Path(kept, "environments") if kept else None
    with LocalConnect(environments=environments) as connect:
        yield connect.url, connect.api_key


@contextmanager
def deployments(url: str, key: str) -> Iterator[Callable]:
    """Give `deploy(example)`: a context manager of its content's base URL by mount.

    The content is deleted when that context ends.
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

        @contextmanager
        def deploy(example: Example) -> Iterator[Urls]:
            [command] = (c for c in commands if example.directory in c)
            printed = client.run_command(command, url, key)
            # What the client remembers would make the next deployment a redeployment.
            shutil.rmtree(client.root / example.directory / "rsconnect-python")
            guid = re.search(r"/content/([0-9a-f-]{36})", printed)[1]
            try:
                vanity = f"/greetings-{guid[:8]}"
                path = {"path": f"{vanity}/"}
                api.put(f"content/{guid}/vanity", json=path).raise_for_status()
                yield {"content": f"{url}/content/{guid}", "vanity": url + vanity}
            finally:
                api.delete(f"content/{guid}").raise_for_status()

        yield deploy


def authorization(key: str) -> dict[str, str]:
    """The header of a request that may see the content."""
    return {"Authorization": f"Key {key}"}
