"""Content items and their environment variables."""

import re
import secrets
from collections.abc import Collection

from flask import Blueprint, abort, g, request

from ..contents import Content
from ..current import contents, users
from ..errors import ConnectError, Problem, quoted
from ..jobs import timestamp
from ..users import User
from .access import check_access, open_to
from .bundles import built_record
from .reading import json_body, not_implemented, value_of
from .users import UNNAMED

ACCESS_TYPES = ["acl", "logged_in", "all"]
INCLUDES = {"owner", "tags", "vanity_url"}  # tags: there only when set, which they never are
TEXTS = {"name", "title", "description", "access_type"}
# Kept and given back, without an effect here: for numbers, the bounds that Connect's error codes
# name, else those of the type. null is the server's default.
INT32, INT64, SECONDS, BYTES = 2**31 - 1, 2**63 - 1, 2_592_000, 9_007_198_180_999_168
NUMBERS: dict[str, tuple[type, int, int, Problem]] = {
    "connection_timeout": (int, 0, SECONDS, Problem.BAD_TIMEOUT),
    "read_timeout": (int, 0, SECONDS, Problem.BAD_TIMEOUT),
    "init_timeout": (int, 0, SECONDS, Problem.BAD_TIMEOUT),
    "idle_timeout": (int, 0, SECONDS, Problem.BAD_TIMEOUT),
    "min_processes": (int, 0, INT32, Problem.BAD_MIN_PROCESSES),
    "max_processes": (int, 0, INT32, Problem.BAD_MAX_PROCESSES),
    "max_conns_per_process": (int, 1, INT32, Problem.BAD_MAX_CONNECTIONS),
    "load_factor": (float, 0, 1, Problem.BAD_LOAD_FACTOR),
    "memory_request": (int, 0, BYTES, Problem.BAD_MEMORY_REQUEST),
    "memory_limit": (int, 0, BYTES, Problem.BAD_MEMORY_LIMIT),
    "cpu_request": (float, 0, INT64, Problem.BAD_CPU_REQUEST),
    "cpu_limit": (float, 0, INT64, Problem.BAD_CPU_LIMIT),
    "amd_gpu_limit": (int, 0, INT64, Problem.BAD_AMD_GPU_LIMIT),
    "nvidia_gpu_limit": (int, 0, INT64, Problem.BAD_NVIDIA_GPU_LIMIT),
}
PAIRS = {
    ("min_processes", "max_processes"): Problem.MIN_OVER_MAX_PROCESSES,
    ("memory_request", "memory_limit"): Problem.MEMORY_REQUEST_OVER_LIMIT,
    ("cpu_request", "cpu_limit"): Problem.CPU_REQUEST_OVER_LIMIT,
}
OTHERS: dict[str, type] = {
    "default_r_environment_management": bool,
    "default_py_environment_management": bool,
    "metrics_collection_enabled": bool,
    "notify_on_share": bool,
    "otel_enabled": bool,
    "default_image_name": str,
}
# What nobody can set here, and is null.
UNSET = """
    service_account_name image_name default_environment_guid environment_guid r_version
    r_environment_management quarto_version node_version run_as public_content_status
"""
CONTENT = dict.fromkeys([*NUMBERS, *OTHERS, *UNSET.split()]) | {
    "locked": False,
    "locked_message": "",
    "content_category": "",
    "parameterized": False,
    "run_as_current_user": False,
    "otel_enabled": False,
}
# Why a server refuses what it is not made for; other unset ones are not implemented.
REFUSED = {
    "run_as_current_user": (Problem.RUN_AS_VISITOR, "An API does not run as its visitor."),
    "service_account_name": (Problem.NO_SERVICE_ACCOUNTS, "This server has no service accounts."),
}
MOST_VARIABLE = 128 * 1024  # bytes of `NAME=value` with its end, MAX_ARG_STRLEN of Linux

blueprint = Blueprint("content", __name__)


def content_record(content: Content, user: User, include: Collection[str] = ()) -> dict:
    """A content item as the user sees it; include: `owner` or `vanity_url`, or both."""
    bundle, owner = content.active, content.owner
    settings = {key: value for key, value in content.settings.items() if value is not None}
    record = (
        CONTENT
        | settings
        | {
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
    )
    if "owner" in include:
        record["owner"] = {"guid": owner.guid, "username": owner.name} | UNNAMED
    if "vanity_url" in include and content.vanity:
        record["vanity_url"] = content.url.replace(content.mount, content.vanity)
    return record


def included() -> set[str]:
    """What the request's query includes in the records of content; raises ConnectError."""
    include = set(filter(None, request.args.get("include", "").split(",")))
    if not include <= INCLUDES:
        message = f"include takes only {', '.join(sorted(INCLUDES))} here."
        raise ConnectError(Problem.BAD_INCLUDE, message)
    return include


def changes(kept: dict) -> tuple[dict[str, str | None], dict]:
    """The texts and the settings that the request's body sets of a content item.

    kept: the settings until now. Raises HTTPException.
    """
    body = json_body(dict)
    # What is as it is, such as null or the owner, changes nothing.
    asis = CONTENT | {"owner_guid": users.admin.guid}
    for key in sorted(body.keys() - TEXTS - NUMBERS.keys() - OTHERS.keys()):
        if body[key] not in (None, "", asis.get(key)):
            if key in REFUSED:
                raise ConnectError(*REFUSED[key])
            not_implemented(quoted(key))
    return texts_of(body), settings_of(body, kept)


def texts_of(body: dict) -> dict[str, str | None]:
    """The name, the title and the like in a body; raises ConnectError."""
    texts = {key: value_of(body, key, str) for key in body.keys() & TEXTS}
    # An empty name leaves the choice to the server. Only a title can be taken away.
    changes = {key: text for key, text in texts.items() if text or key == "title"}
    if texts.get("description") == "":
        changes["description"] = ""
    if not re.fullmatch(r"[\w.-]{3,64}", changes.get("name") or "its", re.ASCII):
        message = "name is not 3 to 64 letters, digits, '.', '_' or '-'."
        raise ConnectError(Problem.BAD_NAME, message)
    if changes.get("access_type", "acl") not in ACCESS_TYPES:
        message = f"access_type is not {', '.join(ACCESS_TYPES)}."
        raise ConnectError(Problem.BAD_ACCESS_TYPE, message)
    if not 3 <= len(changes.get("title") or "its") <= 1024:
        raise ConnectError(Problem.BAD_TITLE, "title is not 3 to 1024 characters.")
    if len(changes.get("description") or "") > 4096:
        raise ConnectError(Problem.BAD_DESCRIPTION, "description is over 4096 characters.")
    return changes


def settings_of(body: dict, kept: dict) -> dict:
    """The settings until now with those in a body; raises ConnectError."""
    settings = kept | {key: value_of(body, key, OTHERS[key]) for key in body.keys() & OTHERS.keys()}
    image = settings.get("default_image_name")
    if image is not None and not re.fullmatch(r"\S+", image):
        raise ConnectError(
            Problem.BAD_IMAGE_NAME, "default_image_name is empty or has white space."
        )
    for key in sorted(body.keys() & NUMBERS.keys()):
        kind, least, most, problem = NUMBERS[key]
        settings[key] = number = value_of(body, key, kind)
        if number is not None and not least <= number <= most:
            raise ConnectError(problem, f"{key} is not a number from {least} to {most}.")
    if settings.get("max_processes") == 0:
        raise ConnectError(Problem.NO_PROCESSES, "max_processes is 0.")
    for (low, high), problem in PAIRS.items():
        # A limit of 0 is none.
        if settings.get(high) and (settings.get(low) or 0) > settings[high]:
            raise ConnectError(problem, f"{low} is over {high}, which is {settings[high]}.")
    return settings


def variables() -> dict[str, str | None]:
    """The environment variables in the request's body; raises ConnectError."""
    values: dict[str, str | None] = {}
    for item in json_body(list):
        if not isinstance(item, dict):
            raise ConnectError(Problem.BAD_BODY, "A variable is not a JSON object.")
        name, value = value_of(item, "name", str), value_of(item, "value", str)
        if not name:
            raise ConnectError(Problem.EMPTY_VARIABLE_NAME, "A variable has no name.")
        if name in values:
            raise ConnectError(Problem.VARIABLE_TWICE, f"{quoted(name)} comes twice.")
        # No process can have them: rsconnect-python#229.
        if "=" in name or "\0" in name:
            message = f"The name of a variable has '=' or NUL: {quoted(name)}."
            raise ConnectError(Problem.BAD_PARAMETER, message)
        if "\0" in (value or ""):
            raise ConnectError(Problem.BAD_PARAMETER, f"The value of {quoted(name)} has NUL.")
        if len(f"{name}={value}".encode()) >= MOST_VARIABLE:
            message = f"{quoted(name)} is over 128 KiB, more than a process takes."
            raise ConnectError(Problem.BAD_PARAMETER, message)
        values[name] = value
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
        admin = users.admin.name
        abort(403, f"{g.user.name} is a viewer and may not publish. Use the API key of {admin}.")
    texts, settings = changes({})
    content = contents.create(texts.pop("name", None) or secrets.token_hex(8))
    content.update(texts, settings)
    return content_record(content, g.user)


@blueprint.get("/v1/content/<content>")
@open_to("viewers")
def get_content(content):
    return content_record(content, g.user, included())


@blueprint.get("/applications/<number>")
@open_to("viewers")
def get_content_by_number(number):
    """Not in the reference: the client asks it for the GUID of `--app-id 2`."""
    found = next((item for item in contents.all() if item.number == number), None)
    if found is None:
        abort(404, f"There is no content with the id {quoted(number)}.")
    check_access(found)
    return content_record(found, g.user)


@blueprint.patch("/v1/content/<content>")
def update_content(content):
    texts, settings = changes(content.settings)
    contents.rename(content, texts.pop("name", None) or content.name)
    content.update(texts, settings)
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
