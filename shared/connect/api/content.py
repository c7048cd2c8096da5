"""Content items and their environment variables."""

import re
import secrets

from flask import Blueprint, abort, g, request

from ..current import store, users
from ..errors import ConnectError, Problem, not_implemented, quoted
from ..jobs import timestamp
from ..store import Content
from .access import check_access
from .bundles import built_record
from .reading import fields_of, json_body
from .users import UNNAMED

# What each text matches, the problem of others, and what it is.
TEXTS = {
    "name": (r"[\w.-]{3,64}", Problem.BAD_NAME, "3 to 64 letters, digits, '.', '_' or '-'"),
    "title": (r".{3,1024}|", Problem.BAD_TITLE, "3 to 1024 characters"),
    "description": (r".{0,4096}", Problem.BAD_DESCRIPTION, "0 to 4096 characters"),
    "access_type": ("acl|logged_in|all", Problem.BAD_ACCESS_TYPE, "acl, logged_in or all"),
}
# An empty name or access type leaves the choice to the server, and only a title can be taken away.
EMPTY = [("title", None), ("title", ""), ("description", "")]
# Kept and given back, without an effect here; null is the server's default.
NUMBERS = """
    connection_timeout read_timeout init_timeout idle_timeout min_processes max_processes
    max_conns_per_process memory_request memory_limit amd_gpu_limit nvidia_gpu_limit
"""
SETTINGS: dict[str, type] = dict.fromkeys(NUMBERS.split(), int)
SETTINGS |= dict.fromkeys(["load_factor", "cpu_request", "cpu_limit"], float)
SETTINGS |= dict.fromkeys(["metrics_collection_enabled", "notify_on_share"], bool)
SETTINGS |= {f"default_{name}_environment_management": bool for name in ("r", "py")}
SETTINGS |= {"default_image_name": str}
# What only a Connect lets clients set, by the API reference.
FIXED: dict[str, type] = dict.fromkeys(["locked", "run_as_current_user", "otel_enabled"], bool)
FIXED |= dict.fromkeys(["owner_guid", "locked_message", "run_as", "service_account_name"], str)
FIXED |= dict.fromkeys(["content_category", "default_environment_guid"], str)
# What nobody can set, and is null.
UNSET = """
    image_name environment_guid r_version r_environment_management quarto_version node_version
    public_content_status
"""
CONTENT = dict.fromkeys([*SETTINGS, *FIXED, *UNSET.split()]) | {
    "locked": False,
    "locked_message": "",
    "content_category": "",
    "parameterized": False,
    "run_as_current_user": False,
    "otel_enabled": False,
}
MOST_VARIABLE = 128 * 1024  # bytes of `NAME=value` with its end, MAX_ARG_STRLEN of Linux

blueprint = Blueprint("content", __name__)


def content_record(content: Content) -> dict:
    """A content item as the user of the request sees it, with what the query includes."""
    bundle, owner = content.active, content.owner
    record = {
        **CONTENT,
        **content.settings,
        **built_record(content, bundle),
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
        "dashboard_url": f"{store.url}/connect/#/apps/{content.guid}",
        "app_role": content.role_of(g.user),
    }
    for name in request.args.get("include", "").split(","):
        if name == "owner":
            record["owner"] = {"guid": owner.guid, "username": owner.name} | UNNAMED
        elif name == "vanity_url" and content.vanity:
            record["vanity_url"] = content.url.replace(content.mount, content.vanity)
        elif name not in ("vanity_url", "tags", ""):  # tags are there when set, so never
            not_implemented(f"include={quoted(name)}")
    return record


def changes() -> tuple[dict[str, str | None], dict]:
    """The texts and the settings in the request's body; raises HTTPException."""
    sent = json_body(dict)
    body = fields_of(sent, **dict.fromkeys(TEXTS, str), **SETTINGS, **FIXED)
    # What is as it is may be said: all are empty, but for the owner.
    for name in FIXED:
        if body[name] not in (None, "", False, users.admin.guid):
            not_implemented(name)
    texts = {
        name: value
        for name, value in sent.items()
        if name in TEXTS and (value or (name, value) in EMPTY)
    }
    for name, value in texts.items():
        pattern, problem, meaning = TEXTS[name]
        if not re.fullmatch(pattern, value or "", re.ASCII | re.DOTALL):
            raise ConnectError(problem, f"{name} is not {meaning}.")
    return texts, {name: body[name] for name in sent if name in SETTINGS}


@blueprint.get("/v1/content")
def list_contents():
    seen = [content for content in store.all() if content.role_of(g.user) != "none"]
    records = [content_record(content) for content in seen]
    query = {key: request.args[key] for key in ("name", "owner_guid") if key in request.args}
    return [record for record in records if query.items() <= record.items()]


@blueprint.post("/v1/content")
def create_content():
    if g.user is not users.admin:
        abort(403, f"{g.user.name} is a viewer and may not publish. Use the API key of admin.")
    texts, settings = changes()
    content = store.create(texts.pop("name", None) or secrets.token_hex(8))
    content.update(texts, settings)
    return content_record(content)


@blueprint.get("/v1/content/<content>")
def get_content(content):
    return content_record(content)


@blueprint.get("/applications/<number>")
def get_content_by_number(number):
    """Not in the reference: the client asks it for the GUID of `--app-id 2`."""
    found = next((item for item in store.all() if item.number == number), None)
    if found is None:
        abort(404, f"There is no content with the id {quoted(number)}.")
    check_access(found)
    return content_record(found)


@blueprint.patch("/v1/content/<content>")
def update_content(content):
    texts, settings = changes()
    store.rename(content, texts.pop("name", None) or content.name)
    content.update(texts, content.settings | settings)
    return content_record(content)


@blueprint.delete("/v1/content/<content>")
def delete_content(content):
    store.delete(content)
    return "", 204


@blueprint.get("/v1/content/<content>/environment")
def list_variables(content):
    return sorted(content.variables)


@blueprint.put("/v1/content/<content>/environment")
@blueprint.patch("/v1/content/<content>/environment")
def set_variables(content):
    values: dict[str, str | None] = {}
    for item in json_body(list):
        variable = fields_of(item, name=str, value=str)
        name, value = variable["name"], variable["value"]
        if not name:
            raise ConnectError(Problem.EMPTY_VARIABLE_NAME, "A variable has no name.")
        if name in values:
            raise ConnectError(Problem.VARIABLE_TWICE, f"{quoted(name)} comes twice.")
        # No process can have them: rsconnect-python#229.
        if "=" in name or "\0" in f"{name}{value}":
            message = f"{quoted(name)} has '=' in its name, or NUL in its name or value."
            raise ConnectError(Problem.BAD_PARAMETER, message)
        if len(f"{name}={value}".encode()) >= MOST_VARIABLE:
            message = f"{quoted(name)} is over 128 KiB, more than a process takes."
            raise ConnectError(Problem.BAD_PARAMETER, message)
        values[name] = value
    if request.method == "PATCH":
        values = content.variables | values
    # null removes a variable.
    content.variables = {name: value for name, value in values.items() if value is not None}
    content.restart()
    return sorted(content.variables)
