"""Reads the commands of a README: what it shows is what the harness runs."""

import re
from pathlib import Path

from shared.catalogue import ROOT

README = ROOT / "README.md"


def commands(heading: str, readme: Path = README) -> list[str]:
    """The commands below a heading, such as "Deploy", up to the next one.

    They are the lines of `sh` blocks, and those of `console` blocks after `$ `. Raises KeyError
    when the README has no such heading.
    """
    parts = re.split(r"^##+ (.*)\n", readme.read_text(encoding="utf-8"), flags=re.MULTILINE)
    section = dict(zip(parts[1::2], parts[2::2]))[heading]
    blocks = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return lines or re.findall(r"^\$ (.*)", section, re.MULTILINE)
