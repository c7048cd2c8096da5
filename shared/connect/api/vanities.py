"""Vanity paths: which content is served below which path, besides its own."""

import re

from flask import Blueprint, abort, g

from ..current import store, users
from ..errors import ConnectError, Problem, quoted
from ..jobs import now, timestamp
from ..store import Content, below
from .reading import fields_of, json_body

PATH = re.compile(r"(/[A-Za-z0-9_-]+)+")
# From Connect's API reference, but for the last, which are pages of the local Connect only.
FORBIDDEN = re.compile(
    r"/(\Z|__|favicon\.ico|connect|apps|users|groups|setpassword|user-completion|confirm|recent"
    r"|reports|plots|unpublished|settings|metrics|tokens|help|login|welcome|register"
    r"|resetpassword|content|sign-in\b|sign-out\b)"
)

blueprint = Blueprint("vanities", __name__)


def vanity_record(content: Content) -> dict:
    return {
        "content_guid": content.guid,
        "path": f"{content.vanity}/",
        "created_time": timestamp(content.vanity_created),
    }


@blueprint.get("/v1/vanities")
def list_vanities():
    if g.user is not users.admin:
        abort(403, f"{g.user.name} may not list all vanity paths: only administrators may.")
    return [vanity_record(item) for item in store.all() if item.vanity]


@blueprint.get("/v1/content/<content>/vanity")
def get_vanity(content):
    if not content.vanity:
        abort(404, "This content has no vanity path.")
    return vanity_record(content)


@blueprint.put("/v1/content/<content>/vanity")
def set_vanity(content):
    body = fields_of(json_body(dict), path=str, force=bool)
    path, force = "/" + (body["path"] or "").strip("/"), body["force"]
    if FORBIDDEN.match(path):
        message = f"The vanity path {quoted(path)} is reserved for the server."
        raise ConnectError(Problem.VANITY_FORBIDDEN, message)
    if not PATH.fullmatch(path):
        message = f"The vanity path {quoted(path)} has more than letters, digits, '-', '_' and '/'."
        raise ConnectError(Problem.BAD_PARAMETER, message)
    with store.paths:
        for other in store.all():
            if other is content or not other.vanity:
                continue
            if force and path == other.vanity:
                other.vanity = None
            elif below(path, other.vanity) or below(other.vanity, path):
                message = f"The vanity path {path} conflicts with {other.vanity}."
                raise ConnectError(Problem.VANITY_IN_USE, message)
        content.vanity, content.vanity_created = path, now()
    return vanity_record(content)


@blueprint.delete("/v1/content/<content>/vanity")
def delete_vanity(content):
    content.vanity = None
    return "", 204
