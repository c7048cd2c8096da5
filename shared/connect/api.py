"""The endpoints below /__api__/ that the client asks for, and 501 for all others."""

from __future__ import annotations

import re

from flask import Blueprint, g, jsonify, request
from werkzeug.exceptions import HTTPException

from .bundles import BundleError
from .contents import Content, Contents, NotDeployed
from .users import InvalidKey, Users

VERSION = "2025.12.0"  # drafts since 2025.06, metadata with an upload since 2025.12
WAIT_SECONDS = 30  # at most, for one answer about a task
VANITY = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
RESERVED = ("/__api__", "/content", "/connect", "/sign-in", "/sign-out")


class Refused(Exception):
    """A request that is answered with an error: its status, and what is wrong."""

    def __init__(self, status: int, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code or status  # invented, but for 30


def record(content: Content, url: str) -> dict:
    """A content item as v1/content gives it: what `ContentItemV1` in the client's models.py reads."""
    bundle = content.active
    latest = bundle or next(iter(content.bundles.values()), None)
    return {
        "guid": content.guid,
        "id": content.guid,
        "name": content.name,
        "title": content.title,
        "description": content.description,
        "access_type": "all",
        "app_mode": "python-api" if latest else "unknown",
        "bundle_id": str(bundle.id) if bundle else None,
        "py_version": bundle.environment.version if bundle else None,
        "created_time": content.created,
        "last_deployed_time": content.deployed,
        "content_url": f"{url}{content.mount}/",
        "dashboard_url": f"{url}/connect/apps/{content.guid}",
        "app_role": "owner",
    }


def create_api(contents: Contents, users: Users) -> Blueprint:
    """The blueprint of /__api__/."""
    api = Blueprint("api", __name__, url_prefix="/__api__")

    def content_or_404(guid: str) -> Content:
        content = contents.items.get(guid)
        if content is None:
            raise Refused(404, "There is no content with this GUID.")
        return content

    def json_object() -> dict:
        body = request.get_json(force=True)
        if not isinstance(body, dict):
            raise Refused(400, "The request's body is not a JSON object.")
        return body

    @api.before_request
    def need_key():
        if request.endpoint == "api.server_settings":
            return
        try:
            g.user = users.by_key(request.environ)
        except InvalidKey:
            raise Refused(401, "The API key is not valid.", 30) from None
        if g.user is None:
            raise Refused(401, "This needs an API key.", 30)

    @api.get("/server_settings")
    def server_settings():
        return {"version": VERSION}

    @api.get("/v1/user")
    def user():
        return {"username": g.user.name, "user_role": "administrator"}

    @api.get("/v1/content")
    def list_contents():
        name = request.args.get("name")
        found = [c for c in contents.items.values() if name is None or c.name == name]
        return jsonify([record(content, contents.url) for content in found])

    @api.post("/v1/content")
    def create_content():
        name = json_object().get("name")
        if not isinstance(name, str) or not re.fullmatch(
            r"[\w.-]{3,64}", name, re.ASCII
        ):
            raise Refused(400, "A name has 3 to 64 letters, digits, '.', '_' or '-'.")
        content = contents.create(name)
        if content is None:
            raise Refused(409, f"The name {name} is in use.")
        return record(content, contents.url)

    @api.get("/v1/content/<guid>")
    def get_content(guid):
        return record(content_or_404(guid), contents.url)

    @api.patch("/v1/content/<guid>")
    def update_content(guid):
        content, body = content_or_404(guid), json_object()
        if body.pop("access_type", "all") != "all":
            raise Refused(501, "Only content that is public is implemented here.")
        if unknown := set(body) - {"title", "description"}:
            raise Refused(
                501, f"Not implemented here: setting {', '.join(sorted(unknown))}."
            )
        content.title = body.get("title", content.title)
        content.description = body.get("description", content.description)
        return record(content, contents.url)

    @api.delete("/v1/content/<guid>")
    def delete_content(guid):
        content = content_or_404(guid)
        contents.delete(content)
        users.remove_key(content.key)
        return "", 204

    @api.patch("/v1/content/<guid>/environment")
    def set_environment(guid):
        content, variables = content_or_404(guid), request.get_json(force=True)
        try:
            changes = {str(item["name"]): item["value"] for item in variables}
        except (TypeError, KeyError):
            raise Refused(400, 'The body is not a list of {"name", "value"}.') from None
        if any(
            "=" in name or "\0" in f"{name}{value}" for name, value in changes.items()
        ):
            raise Refused(400, "A name or a value cannot be set.")
        merged = {**content.environment, **changes}
        content.environment = {
            name: str(v) for name, v in merged.items() if v is not None
        }
        contents.restart(content)
        return jsonify(sorted(content.environment))

    @api.route("/v1/content/<guid>/vanity", methods=["GET", "PUT", "DELETE"])
    def vanity(guid):
        content = content_or_404(guid)
        if request.method == "PUT":
            content.vanity = checked_vanity(content, str(json_object().get("path")))
        elif content.vanity is None:
            raise Refused(404, "The content has no vanity path.")
        if request.method == "DELETE":
            content.vanity = None
            return "", 204
        return {"content_guid": guid, "path": content.vanity + "/"}

    def checked_vanity(content: Content, path: str) -> str:
        path = path.rstrip("/")
        if not VANITY.fullmatch(path) or path.startswith(RESERVED):
            raise Refused(400, f"{path or '/'} cannot be a vanity path.")
        taken = {c.vanity for c in contents.items.values() if c is not content} - {None}
        for other in taken:
            shorter, longer = sorted((f"{path}/", f"{other}/"), key=len)
            if longer.startswith(shorter):
                raise Refused(409, f"{path} is in the way of {other}.")
        return path

    @api.post("/v1/content/<guid>/bundles")
    def upload(guid):
        content = content_or_404(guid)
        multipart = request.mimetype == "multipart/form-data"
        archive = request.files["archive"].stream if multipart else request.stream
        bundle = contents.upload(content, archive)
        return {"id": str(bundle.id), "content_guid": guid}

    @api.post("/v1/content/<guid>/deploy")
    def deploy(guid):
        content, body = content_or_404(guid), json_object()
        bundle_id = str(body.get("bundle_id") or "")
        bundle = content.bundle(int(bundle_id) if bundle_id.isdecimal() else None)
        task = contents.deploy(
            content, bundle, activate=body.get("activate", True) is not False
        )
        return {"task_id": task.id}

    @api.get("/v1/tasks/<id>")
    def get_task(id):
        if id not in contents.tasks:
            raise Refused(404, "There is no task with this id.")
        wait = max(0, min(request.args.get("wait", 0, float), WAIT_SECONDS))
        return contents.tasks[id].report(
            max(0, request.args.get("first", 0, int)), wait
        )

    @api.route(
        "/", defaults={"path": ""}, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]
    )
    @api.route("/<path:path>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    def not_implemented(path):
        raise Refused(501, f"{request.method} {request.path} is not implemented here.")

    @api.errorhandler(Refused)
    def refused(error):
        return {"code": error.code, "error": str(error)}, error.status

    @api.errorhandler(BundleError)
    def bad_bundle(error):
        return {"code": 400, "error": str(error)}, 400

    @api.errorhandler(NotDeployed)
    def not_deployed(error):
        return {"code": 404, "error": str(error)}, 404

    @api.errorhandler(HTTPException)
    def http_error(error):
        return {"code": error.code, "error": error.description}, error.code

    return api
