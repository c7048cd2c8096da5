"""The greeting contract, computed from the canonical greetings.json."""

import json

from shared.catalogue import CANONICAL

GREETINGS = json.loads(CANONICAL.read_text(encoding="utf-8"))
MEDIA_TYPE = "application/json"
ALLOWED_METHODS = {"GET", "HEAD", "OPTIONS"}
WRONG_METHODS = ("POST", "PUT", "PATCH", "DELETE")

# How a URL may spell a language that is known, and what the API then reads.
KNOWN = {lang: lang for lang in GREETINGS} | {"%65%6E": "en", "e%6e": "en"}
# The same for languages that are not: each is echoed, with no text.
UNKNOWN = {
    "xx": "xx",
    "EN": "EN",
    "en-US": "en-US",
    "null": "null",
    "日本語": "日本語",
    "%E6%97%A5%E6%9C%AC": "日本",
    "caf%C3%A9": "café",
    "100%25": "100%",
    "a%20b+c": "a b+c",
    "%3Cb%3E%22": '<b>"',
}


def greeting(lang: str) -> dict[str, str | None]:
    """The item of a language: its text is None when the language is unknown."""
    return {"lang": lang, "text": GREETINGS.get(lang)}


def greetings() -> list[dict[str, str | None]]:
    """The list: one item for each known language, sorted by language."""
    return [greeting(lang) for lang in sorted(GREETINGS)]


def parse(body: bytes) -> object:
    """The value of a JSON body in UTF-8.

    Raises ValueError when it is not JSON, not UTF-8, or has a duplicate key, which json.loads
    accepts.
    """

    def without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
        value = dict(pairs)
        if len(value) != len(pairs):
            raise ValueError(f"duplicate key in {pairs}")
        return value

    return json.loads(body.decode("utf-8"), object_pairs_hook=without_duplicates)
