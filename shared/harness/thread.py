"""Serves an app in a thread of this process."""

import importlib.util
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import WSGIRequestHandler, make_server

# Where Connect mounts content: below its GUID, and at a path of the publisher's choice.
MOUNTS = {
    "root": "",
    "content": "/content/6f1f0f4a-2f2b-4f6e-8a3d-0c1f0d5a7b11",
    "vanity": "/team/greetings",
}
_serial = itertools.count(1)


class CannotImport(Exception):
    """Why an app.py cannot be imported; in one line, with the exception as its cause."""


def load(directory: Path) -> Callable:
    """Import the app.py of a directory under a new name, and return its WSGI app.

    Raises CannotImport.
    """
    name = f"example_app_{next(_serial)}"
    spec = importlib.util.spec_from_file_location(name, directory / "app.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        return module.app
    except Exception as error:
        message = f"{directory.name}/app.py: {type(error).__name__}: {error}"
        raise CannotImport(message) from error


def mounted(app: Callable) -> Callable:
    """Return a WSGI app that serves an app below each of the MOUNTS."""
    return DispatcherMiddleware(app, dict.fromkeys(filter(None, MOUNTS.values()), app))


class Handler(WSGIRequestHandler):
    """Keeps connections, as Connect does, and logs nothing."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *args: object) -> None: ...


@contextmanager
def serving(app: Callable, **options) -> Iterator[int]:
    """Serve a WSGI app in a thread of this process; give its port.

    options: those of Werkzeug's make_server.
    """
    options |= {"threaded": True, "request_handler": Handler}
    with make_server("127.0.0.1", 0, app, **options) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
        thread.start()
        try:
            yield server.port
        finally:
            server.shutdown()
            thread.join()
