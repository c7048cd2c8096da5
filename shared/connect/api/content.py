"""Content items and their environment variables."""

import re
import secrets
from collections.abc import Collection

from flask import Blueprint, abort, g, request

from ..contents import Content
from ..current import contents, users
from ..errors import ConnectError, Problem
from ..jobs import timestamp
from ..users import User
from .access import open_to
from .bundles import built_record
from .reading import json_body, not_implemented, value_of
from .users import UNNAMED

SETTABLE = {"name", "title", "description", "access_type"}
ACCESS_TYPES = ["acl", "logged_in", "all"]
INCLUDES = {"owner", "tags", "vanity_url"}  # tags: there only when set, which they never are
# What nobody can set here, and is null.
UNSET = """
    connection_timeout read_timeout init_timeout idle_timeout max_processes min_processes
    max_conns_per_process load_factor memory_request memory_limit cpu_request cpu_limit
    amd_gpu_limit nvidia_gpu_limit service_account_name default_image_name image_name
    default_environment_guid environment_guid default_r_environment_management
    default_py_environment_management r_version r_environment_management quarto_version
    node_version run_as metrics_collection_enabled notify_on_share public_content_status
"""
CONTENT = dict.fromkeys(UNSET.split()) | {
    "locked": False,
    "locked_message": "",
    "content_category": "",
    "parameterized": False,
    "run_as_current_user": False,
    "otel_enabled": False,
}

blueprint = Blueprint("content", __name__)


def content_record(content: Content, user: User, include: Collection[str] = ()) -> dict:
    """A content item as the user sees it; include: `owner` or `vanity_url`, or both."""
    bundle, owner = content.active, content.owner
    record = CONTENT | {
        "guid": content.guid,
        "id": content.number,
        "name": content.name,
        "title": content.title,
        "description": content.description,
        "access_type": content.access_type,
        "owner_guid": owner.guid,
        "app_mode": "python-api" if bundle else "unknown",
        "bundle_id": bundle and bundle.id,
        "created_time": timestamp(content.created),
        "last_deployed_time": timestamp(content.deployed),
        "content_url": content.url,
        "dashboard_url": content.dashboard,
        "app_role": "owner" if user is owner else "viewer",
        **built_record(bundle),
    }
    if "owner" in include:
        record["owner"] = {"guid": owner.guid, "username": owner.name} | UNNAMED
    if "vanity_url" in include and content.vanity:
        record["vanity_url"] = content.url.replace(content.mount, content.vanity)
    return record


def included() -> set[str]:
    """What the request's query includes in the records of content; raises ConnectError."""
    include = set(filter(None, request.args.get("include", "").split(",")))
    if not include <= INCLUDES:
        told = f"include takes only {', '.join(sorted(INCLUDES))} here."
        raise ConnectError(Problem.BAD_INCLUDE, told)
    return include


def changes() -> dict[str, str | None]:
    """What the request's body sets of a content item; raises HTTPException."""
    body = json_body(dict)
    if unknown := {key for key in body.keys() - SETTABLE if body[key] is not None}:
        not_implemented(", ".join(sorted(unknown)))
    texts = {key: value_of(body, key, str) for key in body.keys() & SETTABLE}
    # An empty name leaves the choice to the server. Only a title can be taken away.
    changes = {key: text for key, text in texts.items() if text or key == "title"}
    if not re.fullmatch(r"[\w.-]{3,64}", changes.get("name") or "its", re.ASCII):
        told = "name is not 3 to 64 letters, digits, '.', '_' or '-'."
        raise ConnectError(Problem.BAD_NAME, told)
    if changes.get("access_type", "acl") not in ACCESS_TYPES:
        told = f"access_type is not {', '.join(ACCESS_TYPES)}."
        raise ConnectError(Problem.BAD_ACCESS_TYPE, told)
    return changes


def variables() -> dict[str, str | None]:
    """The environment variables in the request's body; raises ConnectError."""
    values: dict[str, str | None] = {}
    for item in json_body(list):
        if not isinstance(item, dict):
            raise ConnectError(Problem.BAD_BODY, "A variable is not a JSON object.")
        name = value_of(item, "name", str)
        if not name:
            raise ConnectError(Problem.EMPTY_VARIABLE_NAME, "A variable has no name.")
        values[name] = value_of(item, "value", str)
    return values


@blueprint.get("/v1/content")
def list_contents():
    include = included()
    seen = [content for content in contents.all() if content.may_be_seen_by(g.user)]
    records = [content_record(content, g.user, include) for content in seen]
    wanted = {key: request.args[key] for key in ("name", "owner_guid") if key in request.args}
    return [record for record in records if wanted.items() <= record.items()]


@blueprint.post("/v1/content")
def create_content():
    if g.user is not users.admin:
        abort(403, "A viewer may not publish.")
    wanted = changes()
    content = contents.create(wanted.pop("name", None) or secrets.token_hex(8))
    content.update(wanted)
    return content_record(content, g.user)


@blueprint.get("/v1/content/<content>")
@open_to("viewers")
def get_content(content):
    return content_record(content, g.user, included())


@blueprint.patch("/v1/content/<content>")
def update_content(content):
    wanted = changes()
    contents.rename(content, wanted.pop("name", None) or content.name)
    content.update(wanted)
    return content_record(content, g.user)


@blueprint.delete("/v1/content/<content>")
def delete_content(content):
    contents.delete(content)
    return "", 204


@blueprint.get("/v1/content/<content>/environment")
def list_variables(content):
    return sorted(content.variables)


@blueprint.put("/v1/content/<content>/environment")
@blueprint.patch("/v1/content/<content>/environment")
def set_variables(content):
    kept = content.variables if request.method == "PATCH" else {}
    values = kept | variables()
    # None removes a variable.
    content.variables = {name: value for name, value in values.items() if value is not None}
    return sorted(content.variables)
