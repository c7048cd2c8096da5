"""Where an example is served: on a named server, or in a thread of this process."""

import importlib.util
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.catalogue import Example

# The URL of a real server to test on; CONNECT_API_KEY is a key of it.
NAMED_SERVER = os.environ.get("CONNECT_SERVER", "").rstrip("/")
# Where Connect mounts content: below its GUID, and at a path of the publisher's choice.
CONTENT_MOUNT = "/content/6f1f0f4a-2f2b-4f6e-8a3d-0c1f0d5a7b11"
VANITY_MOUNT = "/team/greetings"

_serial = itertools.count(1)


def load(directory: Path) -> Callable:
    """Import the app.py of a directory under a new name, and return its WSGI app.

    Raises what the import raises.
    """
    name = f"example_app_{next(_serial)}"
    spec = importlib.util.spec_from_file_location(name, directory / "app.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module.app


@contextmanager
def serving(app: Callable, **options) -> Iterator[int]:
    """Serve a WSGI app in a thread of this process; give its port.

    options: those of Werkzeug's make_server.
    """
    # Only the environments of the examples have Werkzeug.
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections, as Connect does

        def log_request(self, *args: object) -> None:
            pass

    options |= {"threaded": True, "request_handler": Handler}
    server = make_server("127.0.0.1", 0, app, **options)
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def served_in_thread(example: Example) -> Iterator[dict[str, str]]:
    """Serve an example below two mounts; give the base URL of each."""
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    app = load(example.path)
    mounted = DispatcherMiddleware(app, {CONTENT_MOUNT: app, VANITY_MOUNT: app})
    with serving(mounted) as port:
        url = f"http://127.0.0.1:{port}"
        yield {"content": url + CONTENT_MOUNT, "vanity": url + VANITY_MOUNT}
