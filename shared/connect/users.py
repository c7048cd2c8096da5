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

KEY = re.compile(r"\s*key\s+(\S*)", re.IGNORECASE)


def new_guid() -> str:
    return str(uuid.uuid4())


def new_key() -> str:
    return secrets.token_hex(16)  # 32 characters, as Posit Publisher wants them


@dataclass(frozen=True)
class Group:
    """A group of users."""

    name: str
    guid: str = field(default_factory=new_guid)


@dataclass(frozen=True)
class User:
    """A user, with the groups that content gets to know."""

    name: str
    groups: tuple[Group, ...]
    role: str
    key: str
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
    """The users of one server: `admin`, who publishes, and viewers."""

    def __init__(self, names: Iterable[tuple[str, Iterable[str]]], admin_key: str | None) -> None:
        """names: each with the names of groups; `admin` may be among them."""
        self.groups: dict[str, Group] = {}
        self.by_name: dict[str, User] = {}
        self.by_key: dict[str, User] = {}
        for name, groups in {"admin": (), **dict(names)}.items():
            joined = tuple(self.groups.setdefault(group, Group(group)) for group in groups)
            role, key = ("administrator", admin_key) if name == "admin" else ("viewer", None)
            user = User(name, joined, role, key or new_key())
            self.by_name[name] = self.by_key[user.key] = user
        self.admin = self.by_name["admin"]

    def authorized(self, headers: Headers) -> User | None:
        """Return the user whose key a request has, None without a key; raises Unauthorized."""
        # A client sends the first when an app or a proxy needs the second: Connect's user guide.
        for name in ("X-RSC-Authorization", "Authorization"):
            if found := KEY.match(headers.get(name, "")):
                if found[1] not in self.by_key:
                    raise Unauthorized("The API key is not valid.")
                return self.by_key[found[1]]
        return None
