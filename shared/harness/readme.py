"""Reads the README's console blocks: what they show is what the harness runs."""

import re
from pathlib import Path

from shared.catalogue import ROOT

README = ROOT / "README.md"


def console_commands(heading: str, readme: Path = README) -> list[str]:
    """The lines that start with `$ ` in the section with a heading, such as "Deploy".

    Raises LookupError when the README has no such heading.
    """
    sections = re.split(r"^## (.*)\n", readme.read_text(encoding="utf-8"), flags=re.MULTILINE)
    section = dict(zip(sections[1::2], sections[2::2]))[heading]
    return re.findall(r"^\$ (.*)", section, re.MULTILINE)
