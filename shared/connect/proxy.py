"""Passes requests to the apps, below their mounts and with the visitor's credentials."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from urllib.parse import quote

from flask import Flask, Response, redirect, request, session
from werkzeug.exceptions import BadGateway

from .contents import Contents
from .runner import MOUNT_HEADER
from .users import User, Users

CHUNK = 64 * 1024  # bytes
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
# For one connection only, RFC 9110, 7.6.1; waitress has already answered Expect.
HOP_BY_HOP = {
    *("connection", "keep-alive", "proxy-connection", "proxy-authenticate"),
    *("proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "expect"),
}
# Only the server sets these. waitress drops names with underscores, which mean the same in WSGI.
OURS = {
    *("rstudio-connect-credentials", "rstudio-connect-app-base-url", "x-rsc-request"),
    *("x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"),
    *("forwarded", MOUNT_HEADER.lower()),
}


def add_proxy(app: Flask, contents: Contents, users: Users) -> None:
    """Let a Flask app pass on each request whose path belongs to a content."""

    # Before routing, which would redirect paths with doubled slashes.
    @app.before_request
    def pass_on() -> Response | None:
        environ = request.environ
        found = contents.find(environ["PATH_INFO"])
        if found is None:
            return None
        content, mount, bundle_id = found
        if environ["PATH_INFO"] == mount:
            query = environ["QUERY_STRING"] and f"?{environ['QUERY_STRING']}"
            return redirect(f"{mount}/{query}", 307)
        user = users.authorized(request.headers.get("Authorization", ""))
        user = user or users.by_name.get(session.get("user"))
        headers = headers_for_app(mount, contents.url, user, app.config["SESSION_COOKIE_NAME"])
        log = f"Its log: {contents.url}/connect/apps/{content.guid}/logs"
        with contextlib.ExitStack() as stack:
            try:
                running = stack.enter_context(contents.running(content, bundle_id))
            except BadGateway as error:
                raise BadGateway(f"{error.description} {log}") from None
            try:
                connection = stack.enter_context(contextlib.closing(running.connect()))
                answer = stack.enter_context(exchange(connection, headers))
            except (OSError, http.client.HTTPException):
                running.wait_if_ending()  # the next request then starts it again
                raise BadGateway(f"The app crashed or dropped the request. {log}") from None
            response = Response(body(answer), f"{answer.status} {answer.reason}")
            response.headers.clear()
            drop = HOP_BY_HOP | {"server", "date"} | listed(answer.getheader("Connection"))
            for name, value in answer.getheaders():
                if name.lower() not in drop:
                    response.headers.add(name, value)
            response.call_on_close(stack.pop_all().close)
        return response


def headers_for_app(
    mount: str, url: str, user: User | None, session_cookie: str
) -> Iterator[tuple[str, str | bytes]]:
    """Yield what the client sent, except what the app must not see or the server sets itself."""
    drop = HOP_BY_HOP | OURS | listed(request.headers.get("Connection"))
    for name, value in request.headers:
        if name.lower() in drop or (name == "Content-Length" and not value):
            continue
        if name == "Authorization" and value.lower().startswith("key "):
            continue
        if name == "Cookie":
            cookies = (cookie.strip() for cookie in value.split(";"))
            value = "; ".join(c for c in cookies if not c.startswith(f"{session_cookie}="))
        yield name, value.encode("latin-1")
    scheme, _, host = url.partition("://")
    yield "X-Forwarded-For", request.environ["REMOTE_ADDR"]
    yield "X-Forwarded-Host", host
    yield "X-Forwarded-Proto", scheme
    yield "RStudio-Connect-App-Base-URL", f"{url}{mount}/"
    yield "X-RSC-Request", f"{url}{target()}"
    yield MOUNT_HEADER, mount
    if user:
        yield "RStudio-Connect-Credentials", user.credentials


def exchange(
    connection: http.client.HTTPConnection, headers: Iterator[tuple[str, str | bytes]]
) -> http.client.HTTPResponse:
    """Send the request, and return the answer with its body unread."""
    connection.putrequest(request.method, target(), skip_host=True, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    connection.putheader("Connection", "close")
    connection.endheaders()
    while chunk := request.stream.read(CHUNK):
        connection.send(chunk)
    return connection.getresponse()


def target() -> str:
    """The path and query as the client wrote them, control characters escaped."""
    return quote(request.environ["REQUEST_URI"].encode("latin-1"), safe=PRINTABLE)


def body(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the answer's body as it comes."""
    while chunk := answer.read1(CHUNK):
        yield chunk


def listed(connection: str | None) -> set[str]:
    """The names that a Connection header lists."""
    return {name.strip().lower() for name in (connection or "").split(",")}
