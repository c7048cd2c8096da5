"""The local Connect as one object: waitress, and a Flask app of the proxy, the API and the pages."""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import shutil
import socket
import tempfile
import threading
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask, abort, request
from waitress import create_server, wasyncore
from werkzeug.exceptions import HTTPException

from . import bundles
from .api import create_api
from .contents import ALL_REQUESTS, Contents
from .pages import Links, create_pages
from .proxy import add_proxy
from .users import User, Users

# Enough for the API and the pages, too, when all apps hang.
THREADS = ALL_REQUESTS + 32


class CannotStart(Exception):
    """Why the server does not start, and what to do, in one line."""


class LocalConnect:
    """A server on the loopback interface, until `close` or the end of a `with` block.

    port: 0 for a free one.
    address: the URL under which clients reach it, such as that of a proxy with TLS in front;
        by default its own. Connect's setting is `Server.Address`.
    api_key: of the first user, an administrator named `admin`; by default a random one.
    environments: a directory for virtual environments, kept for the next time; by default a
        temporary one.
    links: for the title of a content, the labels and paths that the index page links to.

    Raises CannotStart.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        address: str | None = None,
        api_key: str | None = None,
        environments: Path | None = None,
        links: Links | None = None,
    ) -> None:
        with contextlib.ExitStack() as undo:
            try:
                listener = undo.enter_context(
                    socket.create_server(("127.0.0.1", port), backlog=1024)
                )
            except (OSError, OverflowError):
                raise CannotStart(
                    f"Port {port} is in use: choose another one with --port."
                ) from None
            self.port = listener.getsockname()[1]
            self.url = address.rstrip("/") if address else f"http://127.0.0.1:{self.port}"
            self.users = Users()
            self.api_key = self.users.add(User("admin"), api_key)
            try:
                self.directory = Path(tempfile.mkdtemp(prefix="connect-"))
                undo.callback(shutil.rmtree, self.directory)
                environments = environments or self.directory / "environments"
                self.contents = Contents(self.url, self.directory, environments, self.users)
            except OSError as error:
                raise CannotStart(
                    f"Cannot write {error.filename}: {error.strerror}. "
                    "Choose other directories by --environments and TMPDIR."
                ) from None
            undo.pop_all()
        # It warns of each request that waits for a thread.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._sockets = {}
        self._server = create_server(
            self._flask(links or {}),
            map=self._sockets,
            sockets=[listener],
            threads=THREADS,
            connection_limit=5000,
            asyncore_use_poll=True,  # select() takes 1,024 files at most
            max_request_body_size=2 * bundles.MAX_SIZE,  # Flask's limit has a better message
            ident="local Connect",
        )
        self._thread = threading.Thread(target=self._server.run, name="local Connect")
        self._thread.start()

    def _flask(self, links: Links) -> Flask:
        app = Flask(__name__, template_folder=".", static_folder=None)
        app.secret_key = secrets.token_bytes()
        app.config |= {
            "MAX_CONTENT_LENGTH": bundles.MAX_SIZE,
            # Browsers send a host's cookies to all its ports.
            "SESSION_COOKIE_NAME": f"connect-{self.port}",
            "SESSION_COOKIE_SAMESITE": "Lax",
        }
        hosts = {"127.0.0.1", "localhost", "[::1]", host_of(urlsplit(self.url).netloc)}

        @app.before_request
        def check_host():
            # Another site's name may lead to this machine (DNS rebinding).
            if host_of(request.headers.get("Host", "")) not in hosts:
                abort(421, "Unknown host: use 127.0.0.1 or localhost.")

        @app.errorhandler(HTTPException)
        def answer_error(error):
            if not request.path.startswith("/__api__/"):
                plain = {"Content-Type": "text/plain; charset=utf-8"}
                return f"{error.description}\n", error.code, plain
            # 30 is what `verify_api_key_response` in the client's api.py reads; others are invented.
            code = 30 if error.code == 401 else error.code
            return {"code": code, "error": error.description}, error.code

        add_proxy(app, self.contents, self.users)
        app.register_blueprint(create_api(self.contents, self.users))
        app.register_blueprint(create_pages(self.contents, self.users, links))
        return app

    def close(self) -> None:
        """Stop answering, end all processes and remove the files."""
        self.contents.close()
        self._server.task_dispatcher.shutdown()
        # In the server's own thread, which uses them, and may have closed the trigger by then.
        with contextlib.suppress(OSError):
            self._server.trigger.pull_trigger(lambda: wasyncore.close_all(self._sockets))
        self._thread.join()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> LocalConnect:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def host_of(netloc: str) -> str:
    """Return a Host header without its port."""
    return re.sub(r":\d*$", "", netloc.lower())
