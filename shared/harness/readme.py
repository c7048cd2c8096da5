"""Reads the commands of a README: what it shows is what the harness runs."""

import re
from pathlib import Path

from shared.catalogue import ROOT

README = ROOT / "README.md"
DEPLOYING = ROOT / "DEPLOYING.md"


def commands(heading: str, readme: Path = README) -> list[str]:
    """The commands below a heading, such as "Deploy", up to the next one.

    They are the lines of `sh` blocks, and those of `console` blocks after `$ `; a line that ends
    in a backslash or `&&` is joined with the next. Raises KeyError when there is no such heading.
    """
    parts = re.split(r"^##+ (.*)\n", readme.read_text(encoding="utf-8"), flags=re.MULTILINE)
    section = dict(zip(parts[1::2], parts[2::2]))[heading]
    blocks = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in joined(block).splitlines()]
    return lines or re.findall(r"^\$ (.*)", section, re.MULTILINE)


def joined(text: str) -> str:
    """Return a text with each command in one line."""
    return re.sub(r" \\\n *|(?<= &&)\n *", " ", text)


def filled(text: str, names: dict[str, str]) -> str:
    """Return a text of a page with other words in the place of its names, such as GUID."""
    return re.sub("|".join(map(re.escape, names)), lambda match: names[match[0]], text)
