"""The places where an example can be served: each gives the URLs of its mounts."""

from __future__ import annotations

import importlib.util
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from shared.catalogue import Example

# Where Connect mounts a content: below its GUID, and at a path of one's choice.
CONTENT_MOUNT = "/content/6f1f0f4a-2f2b-4f6e-8a3d-0c1f0d5a7b11"
VANITY_MOUNT = "/team/greetings"

_serial = itertools.count(1)


# Serves an example for as long as the context lasts, and gives its base URL, with
# no slash at the end, for each mount.
Serve = Callable[[Example], AbstractContextManager[dict[str, str]]]


@dataclass(frozen=True)
class Place:
    """A way to serve examples: its mounts to test, and what opens it for a session."""

    mounts: tuple[str, ...]
    open: Callable[[], AbstractContextManager[Serve]]


def load(directory: Path) -> Callable:
    """Import the app.py of a directory under a new name; return its WSGI app.

    Raises what the import raises: an example that does not import is broken.
    """
    name = f"example_app_{next(_serial)}"
    spec = importlib.util.spec_from_file_location(name, directory / "app.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module.app


@contextmanager
def in_a_thread(example: Example) -> Iterator[dict[str, str]]:
    """Serve the example in this process, at the root and below two mounts."""
    # Here, since only an example's environment has Werkzeug.
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    from werkzeug.serving import WSGIRequestHandler, make_server

    class QuietHandler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections, as Connect does

        def log_request(self, *args: object) -> None:
            pass

    app = load(example.path)
    mounted = DispatcherMiddleware(app, {CONTENT_MOUNT: app, VANITY_MOUNT: app})
    server = make_server(
        "127.0.0.1", 0, mounted, threaded=True, request_handler=QuietHandler
    )
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.port}"
        yield {
            "root": url,
            "content": url + CONTENT_MOUNT,
            "vanity": url + VANITY_MOUNT,
        }
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# What follows needs the client, which an example's environment does not have.


@contextmanager
def from_bundles() -> Iterator[Serve]:
    """Run what the client would bundle; see `shared.bundle`."""
    from shared.bundle import from_its_bundle

    yield from_its_bundle


@contextmanager
def on_connect() -> Iterator[Serve]:
    """Deploy examples with the README's commands; see `shared.deployment`."""
    from shared import deployment

    with deployment.server() as (url, key), deployment.deployments(url, key) as deploy:
        yield lambda example: nullcontext(deploy(example))


PLACES = {
    "thread": Place(("root", "content"), lambda: nullcontext(in_a_thread)),
    "bundle": Place(("root",), from_bundles),
    "connect": Place(("content", "vanity"), on_connect),
}
