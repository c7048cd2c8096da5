"""Passes requests to the apps, below their mounts and with the visitor's credentials."""

import contextlib
import re
import string
import threading
from collections.abc import Callable, Iterable, Iterator
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Any
from urllib.parse import quote, urlencode

from flask import Flask
from waitress.channel import ClientDisconnected
from waitress.task import hop_by_hop
from werkzeug.datastructures import EnvironHeaders
from werkzeug.exceptions import Forbidden, ServiceUnavailable, Unauthorized
from werkzeug.utils import redirect
from werkzeug.wrappers import Response
from werkzeug.wsgi import ClosingIterator, get_host

from .limits import Limits
from .running.runner import MOUNT_HEADER
from .store import Content, Store, below
from .users import KEY, User

CHUNK = 64 * 1024  # bytes

# Those that are about one connection only: PEP 3333 and RFC 9110.
HOP_BY_HOP = hop_by_hop | {"trailer", "proxy-connection"}
# The app gets none of these from a client, nor X-Forwarded-*. The body has come, so nothing is
# expected any more. waitress drops names with underscores, which mean the same in WSGI.
DROPPED = HOP_BY_HOP | {"expect", "rstudio-connect-credentials", "x-rsc-authorization"}
# The cookies of all local Connects, as Werkzeug reads them: with spaces, or without a value. Browsers
# send a host's cookies to all its ports. waitress joins headers with commas.
COOKIES = re.compile(r"(^|[;,])\s*connect-\d+\s*(=[^;,]*)?(?=[;,]|$)")
COOKIE_PATH = re.compile(r"""(;\s*path\s*=\s*"?)(/[^;"]*)""", re.IGNORECASE)

Environ = dict[str, Any]
Headers = list[tuple[str, str]]


class Proxy:
    """A WSGI app: the content items, and another app for all other URLs."""

    def __init__(self, site: Flask, store: Store, hosts: list[str], limits: Limits) -> None:
        """site: has the sessions; hosts: under which it is asked."""
        self._site, self._store, self._users = site, store, store.users
        self._hosts = hosts
        self._most_requests = limits.requests
        self._places = threading.Semaphore(limits.requests)

    def __call__(self, environ: Environ, start_response: Callable) -> Iterable[bytes]:
        """Answer a request, before Flask redirects doubled slashes; raises HTTPException."""
        # Another site's name may lead to this machine (DNS rebinding).
        get_host(environ, self._hosts)
        found = self._store.find(environ["PATH_INFO"])
        if found is None:
            return self._site(environ, start_response)
        content, mount, bundle_id = found
        target = target_of(environ)
        if environ["PATH_INFO"] == mount:
            _, mark, query = target.partition("?")
            return redirect(f"{mount}/{mark}{query}", 307)(environ, start_response)
        user = self._users.authorized(EnvironHeaders(environ)) or self._signed_in(environ)
        if content.role_of(user) == "none":
            return self._refuse(environ, content, user)(environ, start_response)
        headers = self._headers_for_app(environ, mount, target)
        if user:
            credentials = user.credentials(self._site.config["TELL_GUIDS"])
            headers.append(("RStudio-Connect-Credentials", credentials))
        with contextlib.ExitStack() as stack:
            if not self._places.acquire(blocking=False):
                raise ServiceUnavailable(f"{self._most_requests} requests to apps are in progress.")
            stack.callback(self._places.release)
            connection = stack.enter_context(content.connected(bundle_id))
            connection.putrequest(environ["REQUEST_METHOD"], target, True, True)  # without headers
            for header in headers:
                connection.putheader(*header)
            # waitress has read the body: its length is right whatever encoding the client says.
            has_body = int(environ.get("CONTENT_LENGTH", 0))
            connection.endheaders(environ["wsgi.input"] if has_body else None)
            answer = stack.enter_context(connection.getresponse())
            start_response(f"{answer.status} {answer.reason}", headers_for_visitor(answer, mount))
            close = stack.pop_all().close
        return ClosingIterator(body_of(answer, close), close)

    def _signed_in(self, environ: Environ) -> User | None:
        """Return the user of the session, None without one."""
        interface, request = self._site.session_interface, self._site.request_class(environ)
        session = interface.open_session(self._site, request)
        return self._users.by_name.get(session.get("user", "")) if session else None

    def _refuse(self, environ: Environ, content: Content, user: User | None) -> Response:
        """Send a browser to sign in, and come back; raises HTTPException for others."""
        url = self._store.url
        if user:
            message = f"{user.name} may not see this content of {content.owner.name}."
            raise Forbidden(f"{message} {url}/ signs others in.")
        # What other clients accept, */*, is HTML too.
        if "text/html" not in environ.get("HTTP_ACCEPT", "") or environ["REQUEST_METHOD"] != "GET":
            raise Unauthorized(
                f"This content is not public: send an API key, or sign in at {url}/."
            )
        return redirect(f"/sign-in?{urlencode({'next': target_of(environ)})}")

    def _headers_for_app(self, environ: Environ, mount: str, target: str) -> Headers:
        """Return what the client sent, except what the app must not see or the server sets."""
        url = self._store.url
        scheme, _, host = url.partition("://")
        headers = [
            ("X-Forwarded-For", environ["REMOTE_ADDR"]),
            ("X-Forwarded-Host", host),
            ("X-Forwarded-Proto", scheme),
            # Without a slash at the end: eddiethedean/hedron, ColinFay/brochure.
            ("RStudio-Connect-App-Base-URL", url + mount),
            ("X-RSC-Request", url + target),
            (MOUNT_HEADER, mount),
            ("Connection", "close"),
        ]
        # Those that the client names are about its connection only (RFC 9110, 7.6.1).
        named = environ.get("HTTP_CONNECTION", "").split(",")
        names = {*DROPPED, *named, *dict(headers)}
        dropped = {f"HTTP_{name.strip().upper().replace('-', '_')}" for name in names}
        for key, value in environ.items():
            name = key.removeprefix("HTTP_")
            if key in dropped or name.startswith("X_FORWARDED_"):
                continue
            if key == "HTTP_AUTHORIZATION" and (api_key := KEY.match(value)):
                # X-RSC-Authorization leaves this one to the app: Connect's user guide, API keys.
                other = KEY.match(environ.get("HTTP_X_RSC_AUTHORIZATION", ""))
                if not other or api_key[1] in self._users.by_key:
                    continue
            if key == "HTTP_COOKIE" and not (value := COOKIES.sub("", value).lstrip(";, ")):
                continue
            if name != key or key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                headers.append((name.replace("_", "-"), value))
        return headers


def target_of(environ: Environ) -> str:
    """Return the path and query as the client wrote them, control characters escaped.

    Without the scheme and host of an absolute URL, and as waitress reads doubled slashes in front.
    """
    target = quote(environ["REQUEST_URI"].encode("latin-1"), safe=string.punctuation)
    if not target.startswith("/"):
        target = target.partition("://")[2].partition("/")[2]
    return "/" + target.lstrip("/")


def headers_for_visitor(answer: HTTPResponse, mount: str) -> Headers:
    """Return an app's headers as they are, but its cookies below the mount of the request.

    Real servers put `Path=/` there (probes of eddiethedean/hedron). What they do with other paths,
    and with `__Host-` cookies, is not known: they get the same here, unless they are below the
    mount. Without a path, a browser takes the request's, which is below it.
    """

    def below_mount(match: re.Match) -> str:
        before, path = match.groups()
        return before + path if below(path, mount) else before + mount + path

    headers = []
    for name, value in answer.getheaders():
        if name.lower() == "set-cookie":
            value = COOKIE_PATH.sub(below_mount, value)
        if name.lower() not in HOP_BY_HOP:
            headers.append((name, value))
    return headers


def body_of(answer: HTTPResponse, close: Callable[[], None]) -> Iterator[bytes]:
    """Yield the body as it comes, which `read` does not."""
    try:
        while chunk := answer.read1(CHUNK):
            if answer.length == 0:
                close()  # so that the visitor who has all of it finds the process free
            yield chunk
        if answer.length:
            raise IncompleteRead(b"", answer.length)
    except (OSError, HTTPException):
        # waitress then breaks off as it does for a client that is gone, without a traceback.
        raise ClientDisconnected from None
