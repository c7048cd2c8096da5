"""The endpoints below /__api__/ that the rsconnect client uses, and 501 for all others."""

import json
import re

from flask import Blueprint, abort, g, request, send_file

from .contents import Bundle, Content, Contents
from .jobs import timestamp
from .users import Users

VERSION = "2025.12.0"  # the first with drafts and with metadata at an upload
WAIT_SECONDS = 30  # the longest wait for a task's next lines
NAME = re.compile(r"[\w.-]{3,64}", re.ASCII)
VANITY = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
RESERVED = {"__api__", "content", "connect", "sign-in", "sign-out"}  # first segments
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def content_record(content: Content) -> dict:
    """A content item with the keys of `ContentItemV1` in the client's models.py."""
    bundle = content.active
    return {
        "guid": content.guid,
        "id": content.number,
        "name": content.name,
        "title": content.title,
        "description": content.description,
        "access_type": content.access_type,
        "owner_guid": content.owner.guid,
        "app_mode": "python-api" if content.bundles else "unknown",
        "bundle_id": bundle and bundle.id,
        "py_version": bundle and bundle.environment.version,
        "created_time": timestamp(content.created),
        "last_deployed_time": timestamp(content.deployed),
        "content_url": content.url,
        "dashboard_url": content.dashboard,
        "app_role": "owner",
    }


def bundle_record(content: Content, bundle: Bundle) -> dict:
    return {
        "id": bundle.id,
        "content_guid": content.guid,
        "created_time": timestamp(bundle.created),
        "active": bundle is content.active,
    }


def json_body(kind: type) -> dict | list:
    """The request's JSON body; aborts unless it is of the `kind`, and can be stored."""
    try:
        body = json.loads(request.get_data())
        json.dumps(body, ensure_ascii=False).encode()  # a lone surrogate cannot
    except (ValueError, RecursionError) as error:
        abort(400, f"The body is not JSON: {error}")
    if not isinstance(body, kind):
        abort(400, f"The body is not a JSON {'object' if kind is dict else 'array'}.")
    return body


def text_of(body: dict, key: str) -> str:
    """A text of a JSON object, empty without one; aborts when it is something else."""
    value = body.get(key) or ""
    if not isinstance(value, str) or len(value) > 1000:
        abort(400, f"{key} is not a text of at most 1,000 characters.")
    return value


def content_body(*keys: str) -> dict:
    """The body of a request that makes or changes a content item; it may have these keys."""
    body = json_body(dict)
    if body.get("access_type", "acl") not in ("acl", "logged_in", "all"):
        abort(400, "access_type is none of acl, logged_in and all.")
    if unknown := sorted(body.keys() - set(keys)):
        abort(501, f"Not implemented here: {', '.join(unknown)[:200]}.")
    return {key: text_of(body, key) for key in body}


def create_api(contents: Contents, users: Users) -> Blueprint:
    """Return the blueprint of /__api__/."""
    api = Blueprint("api", __name__, url_prefix="/__api__")

    @api.before_request
    def check_key():
        if request.endpoint != "api.server_settings":
            g.user = users.authorized(request.headers)
            if g.user is None:
                abort(401, "This needs an API key.")

    @api.get("/server_settings")
    def server_settings():
        return {"version": VERSION}

    @api.get("/v1/server_settings/python")
    def python_settings():
        versions = contents.environments.pythons()
        installations = [{"version": version, "publishable": True} for version in versions]
        return {"installations": installations, "api_enabled": True}

    @api.get("/v1/user")
    def user():
        return {"guid": g.user.guid, "username": g.user.name, "user_role": g.user.role}

    @api.get("/v1/content")
    def list_contents():
        records = map(content_record, list(contents.items.values()))
        wanted = {key: request.args[key] for key in ("name", "owner_guid") if key in request.args}
        return [record for record in records if wanted.items() <= record.items()]

    @api.post("/v1/content")
    def create_content():
        body = content_body("name", "title", "description", "access_type")
        if not NAME.fullmatch(body.get("name", "")):
            abort(400, "A name has 3 to 64 letters, digits, '.', '_' or '-'.")
        content = contents.create(body.pop("name"), g.user)
        vars(content).update(body)
        return content_record(content)

    @api.get("/v1/content/<guid>")
    def get_content(guid):
        return content_record(contents.get(guid))

    @api.patch("/v1/content/<guid>")
    def update_content(guid):
        content = contents.get(guid)
        vars(content).update(content_body("title", "description", "access_type"))
        return content_record(content)

    @api.delete("/v1/content/<guid>")
    def delete_content(guid):
        contents.delete(contents.get(guid))
        return "", 204

    @api.get("/v1/content/<guid>/environment")
    def list_variables(guid):
        return sorted(contents.get(guid).variables)

    @api.patch("/v1/content/<guid>/environment")
    def set_variables(guid):
        content, changes = contents.get(guid), {}
        for item in json_body(list):
            name, value = (item.get("name"), item.get("value")) if type(item) is dict else ("", 0)
            # None removes a variable.
            texts = isinstance(name, str) and isinstance(value, str | None)
            if not (texts and name and "=" not in name and "\0" not in f"{name}{value}"):
                abort(400, f"The variable {str(name)[:50]!r} cannot be set.")
            changes[name] = value
        merged = {**content.variables, **changes}
        content.variables = {name: value for name, value in merged.items() if value is not None}
        return sorted(content.variables)

    @api.put("/v1/content/<guid>/vanity")
    def set_vanity(guid):
        content, path = contents.get(guid), text_of(json_body(dict), "path").rstrip("/")
        if not VANITY.fullmatch(path) or path.split("/")[1] in RESERVED:
            abort(400, f"{path[:50] or '/'} cannot be a vanity path.")
        for other in list(contents.items.values()):
            if other is not content and other.vanity:
                shorter, longer = sorted((f"{path}/", f"{other.vanity}/"), key=len)
                if longer.startswith(shorter):
                    abort(409, f"{path} conflicts with {other.vanity}.")
        content.vanity = path
        return {"content_guid": guid, "path": f"{path}/"}

    @api.get("/v1/content/<guid>/bundles")
    def list_bundles(guid):
        content = contents.get(guid)
        return [bundle_record(content, bundle) for bundle in list(content.bundles.values())]

    @api.post("/v1/content/<guid>/bundles")
    def upload(guid):
        content, archive = contents.get(guid), request.stream
        if request.mimetype == "multipart/form-data":
            archive = request.files["archive"].stream
        return bundle_record(content, contents.upload(content, archive))

    @api.get("/v1/content/<guid>/bundles/<id>/download")
    def download(guid, id):
        bundle = contents.get(guid).bundle(id)
        return send_file(bundle.directory / "bundle.tar.gz", mimetype="application/gzip")

    @api.post("/v1/content/<guid>/build")
    @api.post("/v1/content/<guid>/deploy")
    def deploy(guid):
        content, body = contents.get(guid), json_body(dict)
        bundle_id, activate = body.get("bundle_id"), body.get("activate", True)
        if not (bundle_id is None or isinstance(bundle_id, str) and bundle_id.isdecimal()):
            abort(400, "bundle_id is not a bundle's id.")
        if not isinstance(activate, bool):
            abort(400, "activate is neither true nor false.")
        return {"task_id": contents.deploy(content, content.bundle(bundle_id), activate).id}

    @api.get("/v1/tasks/<id>")
    def get_task(id):
        if id not in contents.tasks:
            abort(404, "There is no task with this id.")
        first = max(0, request.args.get("first", 0, int))
        seconds = max(0, min(request.args.get("wait", 0, int), WAIT_SECONDS))
        return contents.tasks[id].report(first, seconds)

    @api.route("/", defaults={"path": ""}, methods=METHODS)
    @api.route("/<path:path>", methods=METHODS)
    def not_implemented(path):
        abort(501, f"Not implemented here: {request.method} {request.path[:200]}.")

    return api
