"""Who a request comes from: an API key's user, or the one that a browser signed in as."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie


class InvalidKey(Exception):
    """The request has a key, and it is nobody's."""


@dataclass(frozen=True)
class User:
    """A user, and the names of the groups that content is told."""

    name: str
    groups: tuple[str, ...] = ()

    @property
    def credentials(self) -> bytes:
        """The value of RStudio-Connect-Credentials, UTF-8 as Connect sends it."""
        credentials = {"user": self.name, "groups": self.groups}
        return json.dumps(credentials, ensure_ascii=False).encode()


class Users:
    """API keys and browser sessions; `cookie` is the name of the session's cookie."""

    def __init__(self, cookie: str) -> None:
        self.cookie = cookie
        self.people: dict[str, User] = {}
        self._by_key: dict[str, User] = {}
        self._by_session: dict[str, User] = {}

    def add(self, user: User, key: str | None = None) -> str:
        """Give `user` a key, a random one unless given, and return it."""
        key = key or secrets.token_urlsafe(24)
        self._by_key[key] = self.people.setdefault(user.name, user)
        return key

    def remove_key(self, key: str) -> None:
        self._by_key.pop(key, None)

    def by_key(self, environ: dict) -> User | None:
        """The user of the request's API key, None without one; raises InvalidKey."""
        scheme, _, key = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "key":
            return None
        try:
            return self._by_key[key.strip()]
        except KeyError:
            raise InvalidKey from None

    def by_session(self, environ: dict) -> User | None:
        """The user that the browser has signed in as."""
        try:
            cookies = SimpleCookie(environ.get("HTTP_COOKIE", ""))
        except CookieError:
            return None
        return (
            self._by_session.get(cookies[self.cookie].value)
            if self.cookie in cookies
            else None
        )

    def sign_in(self, user: User) -> str:
        """The cookie value of a new session."""
        session = secrets.token_urlsafe(24)
        self._by_session[session] = user
        return session

    def sign_out(self, environ: dict) -> None:
        user = self.by_session(environ)
        self._by_session = {
            key: by for key, by in self._by_session.items() if by != user
        }
