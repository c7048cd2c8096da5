"""Users and groups."""

from flask import Blueprint, abort, g

from ..current import users
from ..jobs import timestamp
from ..users import Group, User
from .reading import page_record

UNNAMED = {"first_name": "", "last_name": ""}

blueprint = Blueprint("users", __name__)


def user_record(user: User) -> dict:
    created = timestamp(user.created)
    return UNNAMED | {
        "guid": user.guid,
        "username": user.name,
        "user_role": user.role,
        "email": "",
        "created_time": created,
        "updated_time": created,
        "active_time": None,
        "confirmed": True,
        "locked": False,
    }


def group_record(group: Group) -> dict:
    return {
        "guid": group.guid,
        "name": group.name,
        "owner_guid": None,
        "gid": None,
        "member_count": sum(group in user.groups for user in users.by_name.values()),
    }


@blueprint.get("/v1/user")
def current_user():
    return user_record(g.user)


@blueprint.get("/v1/users")
def list_users():
    return page_record(users.by_name, user_record)


@blueprint.get("/v1/users/<guid>")
def get_user(guid):
    by_guid = {user.guid: user for user in users.by_name.values()}
    return user_record(by_guid.get(guid) or abort(404, "There is no user with this GUID."))


@blueprint.get("/v1/groups")
def list_groups():
    return page_record(users.groups, group_record)
