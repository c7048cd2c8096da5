"""Passes requests to the apps, below their mounts and with the visitor's credentials."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Callable, Iterator
from urllib.parse import quote

from .children import Stopping
from .contents import Content, Contents, NotDeployed
from .processes import AppProcess, StartError
from .runner import MOUNT_HEADER
from .users import InvalidKey, User, Users

CHUNK = 64 * 1024
SAFE = {
    "GET",
    "HEAD",
    "OPTIONS",
}  # methods of which a repetition changes nothing, RFC 9110, 9.2.1
# Of one connection only, RFC 9110, 7.6.1; waitress, in front, has already done what Expect asks.
HOP_BY_HOP = {
    *("connection", "keep-alive", "proxy-connection", "proxy-authenticate"),
    *("proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "expect"),
}
# What only the server may say. waitress drops names with underscores, and joins duplicates.
OURS = {"rstudio-connect-credentials", MOUNT_HEADER.lower(), "forwarded"}
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


class Proxy:
    """A WSGI callable: content goes to its app, everything else to `otherwise`."""

    def __init__(self, contents: Contents, users: Users, otherwise: Callable) -> None:
        self._contents = contents
        self._users = users
        self._otherwise = otherwise

    def __call__(self, environ: dict, start_response: Callable):
        found = self._contents.find(environ["PATH_INFO"])
        if not found:
            return self._otherwise(environ, start_response)
        content, mount, bundle_id = found
        if environ["PATH_INFO"] == mount:
            query = environ["QUERY_STRING"] and "?" + environ["QUERY_STRING"]
            location = [("Location", f"{mount}/{query}")]
            return say(start_response, "307 Temporary Redirect", "Moved.", location)
        try:
            user = self._users.by_key(environ) or self._users.by_session(environ)
            process = self._contents.enter(content, bundle_id)
        except InvalidKey:
            return invalid_key(start_response)
        except NotDeployed as error:
            return say(start_response, "404 Not Found", str(error))
        except Stopping as error:
            return say(start_response, "503 Service Unavailable", str(error))
        except StartError as error:
            return self._bad_gateway(start_response, content, str(error))
        try:
            return self._forward(process, environ, start_response, mount, user)
        except (OSError, http.client.HTTPException):
            process.leave()
            process.wait_if_ending()  # so that the next request finds it ended
            what = "The app ended before it answered; the next request starts it again."
            return self._bad_gateway(start_response, content, what)
        except BaseException:
            process.leave()
            raise

    def _bad_gateway(
        self, start_response: Callable, content: Content, what: str
    ) -> list[bytes]:
        log = f"{self._contents.url}/connect/apps/{content.guid}/logs"
        return say(start_response, "502 Bad Gateway", f"{what} Its log: {log}")

    def _forward(
        self,
        process: AppProcess,
        environ: dict,
        start_response: Callable,
        mount: str,
        user: User | None,
    ) -> Body:
        connection, response = exchange(
            process, environ, self._headers(environ, mount, user)
        )
        drop = named_in_connection(response.getheader("Connection", ""))
        headers = [
            (name, value)
            for name, value in response.getheaders()
            if name.lower() not in drop and name.lower() not in {"server", "date"}
        ]
        start_response(f"{response.status} {response.reason}", headers)
        return Body(process, connection, response)

    def _headers(
        self, environ: dict, mount: str, user: User | None
    ) -> Iterator[tuple[str, str | bytes]]:
        """What the app gets: what the client sent, less what is not the app's, and what is ours."""
        drop = named_in_connection(environ.get("HTTP_CONNECTION", "")) | OURS
        for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if environ.get(key):
                yield key.replace("_", "-").title(), environ[key]
        for key, value in environ.items():
            name = key[5:].replace("_", "-").title()
            if not key.startswith("HTTP_") or name.lower() in drop:
                continue
            if name.startswith("X-Forwarded-"):
                continue
            if name == "Authorization" and value.lower().startswith("key "):
                continue
            if name == "Cookie":
                value = self._without_session(value)
            if value:
                yield name, value
        yield "X-Forwarded-For", environ["REMOTE_ADDR"]
        yield "X-Forwarded-Host", environ.get("HTTP_HOST", "")
        yield "X-Forwarded-Proto", environ["wsgi.url_scheme"]
        yield MOUNT_HEADER, mount
        if user:
            yield "RStudio-Connect-Credentials", user.credentials

    def _without_session(self, cookies: str) -> str:
        pairs = (pair.strip() for pair in cookies.split(";"))
        return "; ".join(
            pair for pair in pairs if pair.partition("=")[0] != self._users.cookie
        )


class Body:
    """An answer's body, passed on as it comes; `close` ends the request, however it went."""

    def __init__(
        self,
        process: AppProcess,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
    ) -> None:
        self._process = process
        self._connection = connection
        self._response = response
        self._whole = False

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._response.read1(CHUNK):
            yield chunk
        self._whole = not self._response.length and not self._response.will_close

    def close(self) -> None:
        self._response.close()
        if self._whole:
            self._process.keep(self._connection)
        else:
            self._connection.close()
        self._process.leave()


def exchange(
    process: AppProcess, environ: dict, headers: Iterator[tuple[str, str | bytes]]
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """Send the request; the connection, and the answer's head. Raises OSError, HTTPException.

    Only a safe request goes over a connection that was used before, and is sent again over a
    new one if the app has closed that: no other request can be sent twice.
    """
    headers = list(headers)
    repeatable = environ["REQUEST_METHOD"] in SAFE and not environ.get("CONTENT_LENGTH")
    connection = process.idle_connection() if repeatable else None
    if connection:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return connection, send(connection, environ, headers)
        connection.close()
        if not process.alive:
            raise ConnectionResetError
    connection = process.new_connection()
    try:
        return connection, send(connection, environ, headers)
    except BaseException:
        connection.close()
        raise


def send(
    connection: http.client.HTTPConnection,
    environ: dict,
    headers: list[tuple[str, str | bytes]],
) -> http.client.HTTPResponse:
    # As the client wrote it, but for control characters, which http.client refuses.
    target = quote(environ["REQUEST_URI"].encode("latin-1"), safe=PRINTABLE)
    method = environ["REQUEST_METHOD"]
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    body, left = environ["wsgi.input"], int(environ.get("CONTENT_LENGTH") or 0)
    while left and (chunk := body.read(min(left, CHUNK))):
        connection.send(chunk)
        left -= len(chunk)
    return connection.getresponse()


def named_in_connection(connection: str) -> set[str]:
    """The headers that end here: the usual ones and those that Connection names."""
    return HOP_BY_HOP | {name.strip().lower() for name in connection.split(",")}


def say(start_response: Callable, status: str, text: str, headers: list | None = None):
    """A short answer of the server's own, for people."""
    body = (text + "\n").encode()
    plain = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
    ]
    start_response(status, plain + (headers or []))
    return [body]


def invalid_key(start_response: Callable) -> list[bytes]:
    """The answer to a wrong API key; the client's `verify_api_key_response` reads the code."""
    body = json.dumps({"code": 30, "error": "The API key is not valid."}).encode()
    start_response("401 Unauthorized", [("Content-Type", "application/json")])
    return [body]
