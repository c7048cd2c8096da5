"""Reads the README's console blocks: what they show is what the harness runs."""

from __future__ import annotations

import re
from pathlib import Path

from shared.catalogue import ROOT

README = ROOT / "README.md"


def console_commands(heading: str, readme: Path = README) -> list[str]:
    """The commands below a heading, such as "Deploy", down to the next one of its level.

    Each is a line that starts with `$ ` in a `console` block, without the `$ `, joined with the
    next while it ends in a backslash. Raises LookupError when the README has no such heading.
    """
    commands: list[str] = []
    level, fence, found = 0, None, False
    for line in readme.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fence = line[3:].strip() if fence is None else None
        elif fence is None and (match := re.match(r"(#+) +(.*?) *$", line)):
            if match[2] == heading:
                level, found = len(match[1]), True
            elif len(match[1]) <= level:
                level = 0
        elif level and fence == "console":
            if commands and commands[-1].endswith("\\"):
                commands[-1] = f"{commands[-1][:-1].rstrip()} {line.strip()}"
            elif line.startswith("$ "):
                commands.append(line[2:].strip())
    if not found:
        raise LookupError(f"{readme.name} has no heading {heading!r}")
    return commands
