"""Users and their API keys."""

import json
import secrets
import uuid
from dataclasses import dataclass, field

from werkzeug.exceptions import Unauthorized


@dataclass(frozen=True)
class User:
    """A user, and the groups that content is told."""

    name: str
    groups: tuple[str, ...] = ()
    guid: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def credentials(self) -> str:
        """The value of RStudio-Connect-Credentials: JSON in UTF-8, as Connect sends it."""
        credentials = {"user": self.name, "groups": self.groups}
        # A header's text stands for bytes in Latin-1.
        return json.dumps(credentials, ensure_ascii=False).encode().decode("latin-1")


class Users:
    """The users of one server, by name and by key."""

    def __init__(self) -> None:
        self.by_name: dict[str, User] = {}
        self.by_key: dict[str, User] = {}

    def add(self, user: User, key: str | None = None) -> str:
        """Give a user a key, a random one by default, and return it."""
        key = key or secrets.token_urlsafe(24)
        self.by_key[key] = self.by_name.setdefault(user.name, user)
        return key

    def authorized(self, header: str) -> User | None:
        """Return the user of a header such as `Key abc`, None for another kind of header.

        Raises Unauthorized when the key belongs to no user.
        """
        scheme, _, key = header.partition(" ")
        if scheme.lower() != "key":
            return None
        if key.strip() not in self.by_key:
            raise Unauthorized("The API key is not valid.")
        return self.by_key[key.strip()]
