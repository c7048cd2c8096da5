"""The operations below /__api__/ that publishers use, and 501 for all others."""

import json
import re
import secrets
from collections.abc import Callable
from typing import NoReturn

from flask import Blueprint, abort, g, request, send_file

from .contents import Contents
from .errors import ConnectError, Problem
from .jobs import LINES
from .records import (
    bundle_record,
    content_record,
    group_record,
    job_record,
    log_record,
    user_record,
    vanity_record,
)
from .users import Users

VERSION = "2025.12.0"  # the first with drafts and with metadata at an upload
WAIT_SECONDS = 30  # the longest wait for a task's next lines
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
SETTABLE = {"name", "title", "description", "access_type"}
ACCESS_TYPES = ["acl", "logged_in", "all"]
INCLUDES = {"owner", "tags", "vanity_url"}  # tags: there only when set, which they never are


def not_implemented(what: str) -> NoReturn:
    abort(501, f"Not implemented here: {what[:200]}.")


def json_body(kind: type) -> dict | list:
    """The request's JSON; raises ConnectError unless it is of the kind."""
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, kind):
        expected = "object" if kind is dict else "array"
        raise ConnectError(Problem.BAD_BODY, f"The body is not a JSON {expected}.")
    return body


def value_of(body: dict, key: str, kind: type, default: object = None) -> object:
    """A value of a JSON object, the default for null; raises ConnectError for another kind."""
    value = default if body.get(key) is None else body[key]
    if not isinstance(value, kind | None):
        expected = {str: "a text", bool: "true or false"}[kind]
        raise ConnectError(Problem.BAD_BODY, f"{key} is not {expected}.")
    return value


def number_of(argument: str, default: int, least: int, most: int = 10**9) -> int:
    """A number in the request's query; raises ConnectError."""
    try:
        number = int(request.args.get(argument, default))
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        told = f"{argument} is not a number from {least} to {most}."
        raise ConnectError(Problem.BAD_PARAMETER, told)
    return number


def page_of(items: list) -> list:
    """The page of a list that the request's query wants."""
    number, size = number_of("page_number", 1, 1), number_of("page_size", 20, 1, 500)
    return items[(number - 1) * size : number * size]


def page_record(items: dict, record: Callable) -> dict:
    """A page of the records of items, those whose name starts with the query's prefix, by name."""
    prefix = request.args.get("prefix", "")
    found = [item for name, item in sorted(items.items()) if name.startswith(prefix)]
    return {
        "results": [record(item) for item in page_of(found)],
        "current_page": number_of("page_number", 1, 1),
        "total": len(found),
    }


def content_changes() -> dict:
    """What the request's body sets of a content item; raises HTTPException."""
    body = json_body(dict)
    if unknown := {key for key in body.keys() - SETTABLE if body[key] is not None}:
        not_implemented(", ".join(sorted(unknown)))
    texts = {key: value_of(body, key, str) for key in body.keys() & SETTABLE}
    # An empty name leaves the choice to the server. Only a title can be taken away.
    changes = {key: text for key, text in texts.items() if text or key == "title"}
    if not re.fullmatch(r"[\w.-]{3,64}", changes.get("name", "its"), re.ASCII):
        told = "name is not 3 to 64 letters, digits, '.', '_' or '-'."
        raise ConnectError(Problem.BAD_NAME, told)
    if changes.get("access_type", "acl") not in ACCESS_TYPES:
        told = f"access_type is not {', '.join(ACCESS_TYPES)}."
        raise ConnectError(Problem.BAD_ACCESS_TYPE, told)
    return changes


def variables() -> dict[str, str | None]:
    """The environment variables in the request's body; raises ConnectError."""
    values = {}
    for item in json_body(list):
        if not isinstance(item, dict):
            raise ConnectError(Problem.BAD_BODY, "A variable is not a JSON object.")
        name = value_of(item, "name", str)
        if not name:
            raise ConnectError(Problem.EMPTY_VARIABLE_NAME, "A variable has no name.")
        values[name] = value_of(item, "value", str)
    return values


def included() -> set[str]:
    """What the request's query includes in the records of content; raises ConnectError."""
    include = set(filter(None, request.args.get("include", "").split(",")))
    if not include <= INCLUDES:
        told = f"include takes only {', '.join(sorted(INCLUDES))} here."
        raise ConnectError(Problem.BAD_INCLUDE, told)
    return include


def create_api(contents: Contents, users: Users) -> Blueprint:
    """Return the blueprint of /__api__/."""
    api = Blueprint("api", __name__, url_prefix="/__api__")

    @api.before_request
    def check_key():
        if request.endpoint != "api.server_settings":
            g.user = users.authorized(request.headers)
            if g.user is None:
                raise ConnectError(Problem.SIGN_IN_FIRST, "This needs an API key.")

    @api.before_request
    def find_content():
        """Give views the content, the bundle and the job of their URL, if the user may have them."""
        found = request.view_args
        if "content" not in found:
            return
        content = found["content"] = contents.get(found["content"])
        if not content.may_be_seen_by(g.user):
            raise ConnectError(Problem.NO_VIEW, "You may not see this content.")
        for_viewers = request.endpoint in ("api.get_content", "api.get_vanity")
        if g.user is not content.owner and not for_viewers:
            abort(403, "You may not change this content.")
        if "bundle" in found:
            found["bundle"] = content.bundle(found["bundle"])
        if "job" in found:
            jobs = {job.key: job for job in list(content.jobs)}
            found["job"] = jobs.get(found["job"]) or abort(404, "There is no such job.")

    # What publishers ask of the server.

    @api.get("/server_settings")
    def server_settings():
        return {"version": VERSION, "license": {"allow-apis": True}}

    # Not in the reference. Posit Publisher compares with them what cannot be set here.
    @api.get("/server_settings/applications")
    @api.get("/server_settings/scheduler")
    @api.get("/server_settings/scheduler/<mode>")
    def more_settings(mode=None):
        return {}

    @api.get("/v1/server_settings/python")
    def python_settings():
        # The reference lacks the last one, which the client's preflight.py reads.
        local = {"cluster_name": "Local", "image_name": "Local", "publishable": True}
        versions = contents.environments.pythons()
        installations = [{"version": version, **local} for version in versions]
        return {"installations": installations, "api_enabled": True}

    @api.get("/v1/server_settings/r")
    @api.get("/v1/server_settings/quarto")
    def other_settings():
        return {"installations": []}

    @api.get("/v1/server_settings/nodejs")
    def nodejs_settings():
        abort(404, f"Connect {VERSION} runs no Node.js.")

    # Users and groups.

    @api.get("/v1/user")
    def current_user():
        return user_record(g.user)

    @api.get("/v1/users")
    def list_users():
        return page_record(users.by_name, user_record)

    @api.get("/v1/users/<guid>")
    def get_user(guid):
        by_guid = {user.guid: user for user in users.by_name.values()}
        return user_record(by_guid.get(guid) or abort(404, "There is no user with this GUID."))

    @api.get("/v1/groups")
    def list_groups():
        return page_record(users.groups, lambda group: group_record(group, users))

    # Content.

    @api.get("/v1/content")
    def list_contents():
        include = included()
        seen = [item for item in list(contents.items.values()) if item.may_be_seen_by(g.user)]
        records = [content_record(item, g.user, include) for item in seen]
        wanted = {key: request.args[key] for key in ("name", "owner_guid") if key in request.args}
        return [record for record in records if wanted.items() <= record.items()]

    @api.post("/v1/content")
    def create_content():
        if g.user is not users.admin:
            abort(403, "A viewer may not publish.")
        changes = content_changes()
        content = contents.create(changes.pop("name", secrets.token_hex(8)))
        vars(content).update(changes)
        return content_record(content, g.user)

    @api.get("/v1/content/<content>")
    def get_content(content):
        return content_record(content, g.user, included())

    @api.patch("/v1/content/<content>")
    def update_content(content):
        changes = content_changes()
        contents.rename(content, changes.pop("name", content.name))
        vars(content).update(changes)
        return content_record(content, g.user)

    @api.delete("/v1/content/<content>")
    def delete_content(content):
        contents.delete(content)
        return "", 204

    @api.get("/v1/content/<content>/environment")
    def list_variables(content):
        return sorted(content.variables)

    @api.put("/v1/content/<content>/environment")
    @api.patch("/v1/content/<content>/environment")
    def set_variables(content):
        kept = content.variables if request.method == "PATCH" else {}
        values = kept | variables()
        # None removes a variable.
        content.variables = {name: value for name, value in values.items() if value is not None}
        return sorted(content.variables)

    # Vanity paths.

    @api.get("/v1/vanities")
    def list_vanities():
        if g.user is not users.admin:
            abort(403, "This is for administrators.")
        return [vanity_record(item) for item in list(contents.items.values()) if item.vanity]

    @api.get("/v1/content/<content>/vanity")
    def get_vanity(content):
        if not content.vanity:
            abort(404, "This content has no vanity path.")
        return vanity_record(content)

    @api.put("/v1/content/<content>/vanity")
    def set_vanity(content):
        body = json_body(dict)
        path = "/" + value_of(body, "path", str, "").strip("/")
        contents.set_vanity(content, path, value_of(body, "force", bool, False))
        return vanity_record(content)

    @api.delete("/v1/content/<content>/vanity")
    def delete_vanity(content):
        content.vanity = None
        return "", 204

    # Bundles.

    @api.get("/v1/content/<content>/bundles")
    def list_bundles(content):
        newest_first = list(content.bundles.values())[::-1]
        return [bundle_record(content, bundle) for bundle in page_of(newest_first)]

    @api.post("/v1/content/<content>/bundles")
    def upload(content):
        archive = request.files.get("archive", request.stream)
        metadata = request.form.get("metadata", {}, type=json.loads)
        return bundle_record(content, contents.upload(content, archive, metadata))

    @api.get("/v1/content/<content>/bundles/<bundle>")
    def get_bundle(content, bundle):
        return bundle_record(content, bundle)

    @api.delete("/v1/content/<content>/bundles/<bundle>")
    def delete_bundle(content, bundle):
        contents.delete_bundle(content, bundle)
        return "", 204

    @api.get("/v1/content/<content>/bundles/<bundle>/download")
    def download(content, bundle):
        return send_file(bundle.archive, mimetype="application/gzip")

    @api.post("/v1/content/<content>/build")
    def build(content):
        body = json_body(dict)
        wanted = value_of(body, "bundle_id", str)
        bundle = content.bundle(wanted) if wanted else content.newest
        if bundle is None:
            raise ConnectError(Problem.NO_BUNDLE, "Nothing has been uploaded yet.")
        task = contents.deploy(content, bundle, value_of(body, "activate", bool, True))
        return {"task_id": task.key}

    @api.post("/v1/content/<content>/deploy")
    def deploy(content):
        return build(content), 202

    @api.get("/v1/tasks/<id>")
    def get_task(id):
        if id not in contents.tasks:
            raise ConnectError(Problem.NO_TASK, "There is no task with this id.")
        first, seconds = number_of("first", 0, 0), number_of("wait", 0, 0)
        return contents.tasks[id].report(first, min(seconds, WAIT_SECONDS))

    # Jobs, which are builds and processes.

    @api.get("/v1/content/<content>/jobs")
    def list_jobs(content):
        return [job_record(content, job) for job in content.jobs[::-1]]

    @api.get("/v1/content/<content>/jobs/<job>")
    def get_job(content, job):
        return job_record(content, job)

    @api.get("/v1/content/<content>/jobs/<job>/log")
    def get_log(content, job):
        return log_record(job, number_of("maxLogLines", LINES, 1))

    @api.route("/", defaults={"path": ""}, methods=METHODS)
    @api.route("/<path:path>", methods=METHODS)
    def others(path):
        not_implemented(f"{request.method} {request.path}")

    return api
