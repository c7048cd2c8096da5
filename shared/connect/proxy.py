"""Passes requests to the apps, below their mounts and with the visitor's credentials."""

import contextlib
import http.client
import string
from collections.abc import Iterator
from urllib.parse import quote, urlencode

from flask import Response, abort, current_app, redirect, request, session
from waitress.channel import ClientDisconnected
from werkzeug.datastructures import Headers
from werkzeug.http import remove_hop_by_hop_headers
from werkzeug.wrappers import Response as AnyResponse

from .contents import Content
from .current import contents, users
from .running.runner import MOUNT_HEADER
from .users import KEY, User

CHUNK = 64 * 1024  # bytes


def pass_on() -> AnyResponse | None:
    """Pass on a request whose path belongs to a content; None for others.

    It comes before routing, which would redirect paths with doubled slashes.
    """
    path, query = request.environ["PATH_INFO"], request.environ["QUERY_STRING"]
    found = contents.find(path)
    if found is None:
        return None
    content, mount, bundle_id = found
    if path == mount:
        return redirect(f"{mount}/{query and f'?{query}'}", 307)
    # The path and query as the client wrote them, control characters escaped.
    target = quote(request.environ["REQUEST_URI"].encode("latin-1"), safe=string.punctuation)
    user = users.authorized(request.headers) or users.by_name.get(session.get("user", ""))
    if not content.may_be_seen_by(user):
        return refuse(content, user, contents.url, target)
    sent = headers_for_app(contents.url, mount, target)
    if user:
        sent["RStudio-Connect-Credentials"] = user.credentials(current_app.config["TELL_GUIDS"])
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(content.connected(bundle_id))
        body = request.stream if request.content_length else None
        connection.request(request.method, target, body, dict(sent))
        answer = stack.enter_context(connection.getresponse())
        response = Response(body_of(answer), f"{answer.status} {answer.reason}")
        response.headers = Headers(answer.getheaders())
        remove_hop_by_hop_headers(response.headers)
        response.call_on_close(stack.pop_all().close)
    return response


def body_of(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the body as it comes, which `read` does not."""
    try:
        while chunk := answer.read1(CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException):
        # waitress then breaks off as it does for a client that is gone, without a traceback.
        raise ClientDisconnected from None


def refuse(content: Content, user: User | None, url: str, target: str) -> AnyResponse:
    """Send a browser to sign in, and come back; aborts for others."""
    if user:
        owner = content.owner.name
        abort(403, f"{user.name} may not see this content of {owner}. {url}/ signs others in.")
    # What other clients accept, */*, is HTML too.
    if "text/html" not in request.headers.get("Accept", "") or request.method != "GET":
        abort(401, f"This content is not public: send an API key, or sign in at {url}/.")
    return redirect(f"/sign-in?{urlencode({'next': target})}")


def headers_for_app(url: str, mount: str, target: str) -> Headers:
    """Return what the client sent, except what the app must not see or the server sets itself."""
    headers = Headers(request.headers)
    remove_hop_by_hop_headers(headers)
    if KEY.match(headers.get("Authorization", "")):
        headers.remove("Authorization")
    # waitress drops names with underscores, which mean the same in WSGI, and X-Forwarded-*.
    headers.remove("X-RSC-Authorization")
    headers.remove("RStudio-Connect-Credentials")
    scheme, _, host = url.partition("://")
    headers["X-Forwarded-For"] = request.environ["REMOTE_ADDR"]
    headers["X-Forwarded-Host"] = host
    headers["X-Forwarded-Proto"] = scheme
    headers["RStudio-Connect-App-Base-URL"] = f"{url}{mount}/"
    headers["X-RSC-Request"] = f"{url}{target}"
    headers[MOUNT_HEADER] = mount
    return headers
