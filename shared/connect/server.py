"""The local Connect as one object: waitress, and a Flask app of the proxy, the API and the pages."""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from flask import Flask, request
from werkzeug.exceptions import HTTPException

from . import api, pages
from .bundles import MAX_SIZE
from .errors import answer_to, quoted
from .limits import Limits
from .listener import Listener
from .proxy import Proxy
from .store import Store
from .users import Users

# Of a server's directory in TMPDIR, and of a file in it.
PREFIX, LOCK = "connect-", "local-connect.lock"
ADDRESS = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?/?", re.I)
API_KEY = re.compile("[!-~]+")  # what each client can send in a header


def lock(directory: Path) -> IO:
    """Lock a file in a directory for as long as it is open, so as long as this process lives."""
    file = (directory / "locking").open("wb")
    fcntl.flock(file, fcntl.LOCK_EX)
    Path(file.name).rename(directory / LOCK)  # nobody finds it before it is locked
    return file


def remove_dead() -> None:
    """Remove the directories of servers of this user that were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError), path.open("rb+") as file:
            if path.parent.stat().st_uid == os.getuid():
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.parent)


class CannotStart(Exception):
    """Why the server does not start, and what to do, in one line."""


def check_options(address: str | None, api_key: str | None) -> None:
    """Raise CannotStart for an address that is not a server's, or a key that no request can carry."""
    if address and not ADDRESS.fullmatch(address):
        raise CannotStart(
            f"Cannot start with --address {quoted(address)}: an address has a scheme and a host, "
            "and no path, such as https://connect.example.com."
        )
    if api_key and not API_KEY.fullmatch(api_key):
        raise CannotStart(
            "Cannot start with this API key: an API key has letters, digits and punctuation of "
            "ASCII, and no spaces. Set another CONNECT_API_KEY, or none."
        )


class LocalConnect(contextlib.ExitStack):
    """A server on the loopback interface, until `close` or the end of a `with` block.

    port: 0 for a free one.
    address: the URL under which clients reach it, such as that of a proxy with TLS in front;
        by default its own. Connect's setting is `Server.Address`.
    api_key: of the first user, an administrator named `admin`; by default a random one.
    environments: a directory for virtual environments, kept for the next time; by default a
        temporary one.
    links: for the title of a content, the labels and paths that the index page links to.
    users: names, each with the names of groups; besides `admin`, who may be among them.
    guids: content is told GUIDs of users and groups; by default their names. Connect's setting is
        `Authorization.ContentCredentialsUseGUID`.
    processes: how many run of each content.
    limits: what a client or an app may take from others.

    Raises CannotStart.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        address: str | None = None,
        api_key: str | None = None,
        environments: Path | None = None,
        links: pages.Links | None = None,
        users: Iterable[tuple[str, Iterable[str]]] = (),
        guids: bool = False,
        processes: int = 1,
        limits: Limits | None = None,
    ) -> None:
        super().__init__()
        check_options(address, api_key)
        choose = "another --port"
        limits = limits or Limits()
        remove_dead()
        try:
            if port not in range(2**16):
                raise OSError(f"a port is one of 0-65535, not {port}")
            listening = socket.create_server(("127.0.0.1", port), backlog=1024)
            self.enter_context(listening)
            choose = "other --environments or another TMPDIR"
            self.port = listening.getsockname()[1]
            self.url = address.rstrip("/") if address else f"http://127.0.0.1:{self.port}"
            temporary = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
            self.directory = Path(self.enter_context(temporary))
            self.enter_context(lock(self.directory))
            self.users = Users(users, api_key)
            self.api_key = self.users.admin.key
            environments = environments or self.directory / "environments"
            self.store = Store(
                self.url, self.directory, environments, self.users, processes, limits
            )
        except OSError as error:
            self.close()
            raise CannotStart(f"Cannot start: {error}. Choose {choose}.") from None
        hosts = ["127.0.0.1", "localhost", urlsplit(self.url).hostname or ""]
        site = self._flask(links or {}, guids)
        proxy = Proxy(site, self.store, hosts, limits)
        self._listener = Listener(proxy, listening, limits)
        thread = threading.Thread(target=self._listener.run, name="local Connect")
        thread.start()
        # The last is called first: it ends what the others wait for.
        self.callback(thread.join)
        self.callback(self._listener.stop)
        self.callback(self.store.close)

    def _flask(self, links: pages.Links, guids: bool) -> Flask:
        app = Flask(__name__, template_folder=".", static_folder=None)
        app.extensions |= {"store": self.store, "users": self.users}
        app.secret_key = secrets.token_bytes()
        app.config |= {
            "LINKS": links,
            "TELL_GUIDS": guids,
            "MAX_CONTENT_LENGTH": MAX_SIZE,
            "PROPAGATE_EXCEPTIONS": True,  # to `guarded` in listener.py
            # Browsers send a host's cookies to all its ports.
            "SESSION_COOKIE_NAME": f"connect-{self.port}",
            "SESSION_COOKIE_SAMESITE": "Lax",
        }

        @app.errorhandler(HTTPException)
        def answer_error(error):
            return answer_to(error, request.path)

        app.register_blueprint(api.blueprint)
        app.register_blueprint(pages.blueprint)
        return app
