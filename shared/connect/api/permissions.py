"""Permissions: which users and groups may see a content or change it, besides its owner."""

import itertools

from flask import Blueprint

from ..current import users
from ..errors import ConnectError, Problem
from ..store import Content, Permission
from ..users import User
from .reading import fields_of, json_body

numbers = map(str, itertools.count(1))

blueprint = Blueprint("permissions", __name__)


def permission_record(content: Content, permission: Permission) -> dict:
    principal = permission.principal
    return {
        "id": permission.id,
        "content_guid": content.guid,
        "principal_guid": principal.guid,
        "principal_type": "user" if isinstance(principal, User) else "group",
        "role": permission.role,
    }


def permission_in_body(content: Content) -> Permission:
    """The permission in the request's body, with the id of an earlier one; raises ConnectError."""
    fields = dict.fromkeys(["principal_guid", "principal_type", "role"], str)
    body = fields_of(json_body(dict), **fields, send_email=bool)
    role, kind = body["role"], body["principal_type"]
    if role not in ("viewer", "owner"):
        raise ConnectError(Problem.BAD_ROLE, "role is not viewer or owner.")
    if kind not in ("user", "group"):
        raise ConnectError(Problem.BAD_PRINCIPAL_TYPE, "principal_type is not user or group.")
    named = users.by_name if kind == "user" else users.groups
    found = next((each for each in named.values() if each.guid == body["principal_guid"]), None)
    if found is None:
        problem = Problem.BAD_USER if kind == "user" else Problem.BAD_GROUP
        raise ConnectError(problem, f"There is no {kind} with this principal_guid.")
    if found is content.owner:
        message = f"{content.owner.name} owns this content, and needs no permission."
        raise ConnectError(Problem.BAD_COLLABORATOR, message)
    same = (each.id for each in content.permissions.values() if each.principal is found)
    return Permission(next(same, None) or next(numbers), found, role)


@blueprint.get("/v1/content/<content>/permissions")
def list_permissions(content):
    return [permission_record(content, each) for each in list(content.permissions.values())]


# Connect updates the permission of a user or group that has one already.
@blueprint.post("/v1/content/<content>/permissions")
def add_permission(content):
    with content.lock:
        permission = permission_in_body(content)
        content.permissions[permission.id] = permission
    return permission_record(content, permission)


@blueprint.get("/v1/content/<content>/permissions/<permission>")
def get_permission(content, permission):
    return permission_record(content, permission)


@blueprint.put("/v1/content/<content>/permissions/<permission>")
def change_permission(content, permission):
    if permission_in_body(content).id != permission.id:
        raise ConnectError(Problem.BAD_PARAMETER, "This permission is of another user or group.")
    return add_permission(content)


@blueprint.delete("/v1/content/<content>/permissions/<permission>")
def delete_permission(content, permission):
    content.permissions.pop(permission.id, None)
    return "", 204
