"""Users, their groups and their API keys."""

import json
import re
import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from werkzeug.datastructures import Headers
from werkzeug.exceptions import Unauthorized

from .jobs import now

# Also as one of several values, which a server joins with commas.
KEY = re.compile(r"(?:^|,)\s*key\s+([^\s,]*)", re.IGNORECASE)
# A client sends the second when an app or a proxy needs the first; see Connect's user guide.
KEY_HEADERS = ("X-RSC-Authorization", "Authorization")


def new_guid() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Group:
    """A group of users."""

    name: str
    guid: str = field(default_factory=new_guid)


@dataclass(frozen=True)
class User:
    """A user, and the groups that content is told."""

    name: str
    groups: tuple[Group, ...] = ()
    role: str = "viewer"
    guid: str = field(default_factory=new_guid)
    created: datetime = field(default_factory=now)

    def credentials(self, guids: bool) -> str:
        """The value of RStudio-Connect-Credentials: JSON in UTF-8, as Connect sends it.

        guids: tell GUIDs in place of names, Connect's `Authorization.ContentCredentialsUseGUID`.
        """
        known = "guid" if guids else "name"
        groups = [getattr(group, known) for group in self.groups]
        credentials = {"user": getattr(self, known), "groups": groups}
        # A header's text stands for bytes in Latin-1.
        return json.dumps(credentials, ensure_ascii=False).encode().decode("latin-1")


class Users:
    """The users of one server, by name, GUID and key, and its groups by name."""

    def __init__(self) -> None:
        self.by_name: dict[str, User] = {}
        self.by_guid: dict[str, User] = {}
        self.by_key: dict[str, User] = {}
        self.groups: dict[str, Group] = {}

    def create(self, name: str, groups: Iterable[str] = (), role: str = "viewer") -> User:
        """Add a user in groups of these names."""
        joined = tuple(self.groups.setdefault(group, Group(group)) for group in groups)
        user = User(name, joined, role)
        self.by_name[name] = self.by_guid[user.guid] = user
        return user

    def add_key(self, user: User, key: str | None = None) -> str:
        """Give a user one more key, a random one by default, and return it."""
        key = key or secrets.token_hex(16)  # 32 characters, as Posit Publisher wants them
        self.by_key[key] = user
        return key

    def authorized(self, headers: Headers) -> User | None:
        """Return the user whose key a request has, None without one.

        Raises Unauthorized when the key belongs to no user.
        """
        found = next(
            filter(None, (KEY.search(headers.get(name, "")) for name in KEY_HEADERS)), None
        )
        if found and found[1] not in self.by_key:
            raise Unauthorized("The API key is not valid.")
        return self.by_key[found[1]] if found else None
