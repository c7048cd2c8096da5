"""Serves an example in this process."""

import importlib.util
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.catalogue import Example

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
def served_in_thread(example: Example) -> Iterator[dict[str, str]]:
    """Serve an example below two mounts; give the base URL of each."""
    # Only the environments of the examples have Werkzeug.
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections, as Connect does

        def log_request(self, *args: object) -> None:
            pass

    app = load(example.path)
    mounted = DispatcherMiddleware(app, {CONTENT_MOUNT: app, VANITY_MOUNT: app})
    server = make_server("127.0.0.1", 0, mounted, threaded=True, request_handler=Handler)
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.port}"
        yield {"content": url + CONTENT_MOUNT, "vanity": url + VANITY_MOUNT}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
