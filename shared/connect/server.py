"""The local Connect as one object: waitress in front of the proxy, the API and the pages."""

from __future__ import annotations

import logging
import shutil
import socket
import tempfile
import threading
from pathlib import Path

from flask import Flask
from waitress import create_server, wasyncore

from . import bundles
from .api import create_api
from .contents import Contents
from .pages import create_pages
from .proxy import Proxy
from .users import User, Users

THREADS = 32  # requests at a time; others wait in waitress's queue


class LocalConnect:
    """A running server on the loopback interface, ended by `close` or the end of a `with` block.

    port: 0 for a free one; OSError when it is in use.
    api_key: of the first user, an administrator; a random one unless given.
    user, groups: that user's name, and the groups that content is told.
    data: a directory for bundles and logs, kept; else a temporary one, removed by `close`.
    environments: a directory for environments that are kept and used again; else within `data`.

    `url` has no slash at its end; `api_key` is the key.
    """

    def __init__(
        self,
        port: int = 0,
        api_key: str | None = None,
        *,
        user: str = "admin",
        groups: tuple[str, ...] = (),
        data: Path | None = None,
        environments: Path | None = None,
    ) -> None:
        listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        # Browsers send a host's cookies to all its ports.
        self.users = Users(cookie=f"connect-{port}")
        admin = User(user, groups)
        self.api_key = self.users.add(admin, api_key)

        self._temporary = None if data else Path(tempfile.mkdtemp(prefix="connect-"))
        data = data or self._temporary
        self.contents = Contents(
            self.url,
            data,
            environments or data / "environments",
            make_key=lambda: self.users.add(admin),
        )
        app = Proxy(self.contents, self.users, self._flask())
        # It warns of each request that waits for a thread, which is no news under load.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._server = create_server(
            app,
            sockets=[listener],
            threads=THREADS,
            connection_limit=1000,
            asyncore_use_poll=True,  # select() ends at 1024 files
            max_request_body_size=2
            * bundles.MAX_UPLOAD,  # beyond what the API refuses kindly
            ident="local Connect",
        )
        self._thread = threading.Thread(target=self._server.run, name="connect")
        self._thread.start()

    def _flask(self) -> Flask:
        app = Flask(__name__, template_folder=".", static_folder=None)
        app.config["MAX_CONTENT_LENGTH"] = bundles.MAX_UPLOAD
        app.register_blueprint(create_api(self.contents, self.users))
        app.register_blueprint(create_pages(self.contents, self.users))
        return app

    def add_user(
        self, name: str, groups: tuple[str, ...] = (), key: str | None = None
    ) -> str:
        """Add a user and return the API key, a random one unless given."""
        return self.users.add(User(name, groups), key)

    def close(self) -> None:
        """End every process, answer nothing more, remove what is temporary."""
        self.contents.close()
        # In the server's own thread, which may be in the middle of its sockets.
        self._server.trigger.pull_trigger(
            lambda: wasyncore.close_all(self._server._map)
        )
        self._thread.join()
        self._server.task_dispatcher.shutdown()
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception) -> None:
        self.close()
