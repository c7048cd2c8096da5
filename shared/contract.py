"""The greeting contract, computed from the canonical greetings.json."""

import json

from shared.catalogue import CANONICAL

GREETINGS = json.loads(CANONICAL.read_text(encoding="utf-8"))


def greeting(lang: str) -> dict[str, str | None]:
    """The item of a language: its text is None when the language is unknown."""
    return {"lang": lang, "text": GREETINGS.get(lang)}


def greetings() -> list[dict[str, str | None]]:
    """The list: one item for each known language, sorted by language."""
    return [greeting(lang) for lang in sorted(GREETINGS)]
