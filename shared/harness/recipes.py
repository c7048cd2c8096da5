"""The recipes of a README: what to change in a copy of an example, and what it then answers."""

import doctest
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

SECTION = re.compile(r"^(#{2,3}) (.+)\n", re.MULTILINE)
BLOCK = re.compile(r"^([^\n]*)\n+```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHAPTERS = ("Call", "Make it yours")
PLACE = re.compile(r"(At the end of|Before|In place of) `(.+)`:$")
# What the README shows of an answer may leave out parts with `...`.
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class RecipeError(Exception):
    """What is wrong with a recipe; the first line names it."""


@dataclass(frozen=True)
class Recipe:
    """A section of a README with code for app.py, or with `curl` commands, or both."""

    readme: Path
    title: str
    edits: list[tuple[str, str, str]] = field(default_factory=list)  # how, where, code
    requests: list[tuple[str, str]] = field(default_factory=list)  # command, answer

    def apply(self, app: Path) -> None:
        """Make the edits to an app.py; raises RecipeError when it lacks the place of one."""
        text = app.read_text(encoding="utf-8")
        for how, where, code in self.edits:
            if where == "app.py":
                text += f"\n\n{code}"
                continue
            if text.count(where) != 1:
                raise RecipeError(f"{self.title}: app.py does not have {where!r} once.")
            start = text.index(where)
            if how == "At the end of":
                # A block ends where the next line that is not indented starts.
                end = re.compile(r"^\S", re.MULTILINE).search(text, start + len(where)).start()
                body = text[:end].rstrip()
                text = f"{body}\n\n{code}\n\n{text[end:]}"
            else:
                rest = text[start + len(where) :] if how == "In place of" else text[start:]
                text = f"{text[:start]}{code}\n{rest}"
        app.write_text(text, encoding="utf-8")

    def check(self, url: str) -> None:
        """Run the commands with the app at `url`; raises RecipeError at the first other answer."""
        for command, answer in self.requests:
            words = shlex.split(command.replace("http://127.0.0.1:5000", url))
            try:
                run = subprocess.run([*words, "-sS"], capture_output=True, encoding="utf-8")
            except FileNotFoundError:
                raise RecipeError("curl is missing: install it, such as with apt-get.") from None
            told = run.stdout + run.stderr
            if not doctest.OutputChecker().check_output(answer, f"{told.strip()}\n", FLAGS):
                raise RecipeError(f"{self.title}: {command}\nanswers {told!r}\nnot     {answer!r}")


def recipes_of(readme: Path) -> list[Recipe]:
    """Return the parts of "Call" and "Make it yours" that have code for app.py or show `curl`.

    Raises RecipeError when a block of code does not say where it goes.
    """
    found, chapter = [], ""
    parts = SECTION.split(readme.read_text(encoding="utf-8"))
    for level, title, text in zip(parts[1::3], parts[2::3], parts[3::3]):
        chapter = title if level == "##" else chapter
        if chapter not in CHAPTERS:
            continue
        recipe = Recipe(readme, title)
        for before, language, code in BLOCK.findall(text):
            if language == "python":
                place = PLACE.search(before)
                if not place:
                    raise RecipeError(f"{readme}, {title}: say where this goes: {code[:40]!r}")
                recipe.edits.append((*place.groups(), code))
            else:
                shown = re.findall(r"^\$ (curl .*)\n((?:(?!\$ ).*\n)*)", code, re.MULTILINE)
                recipe.requests.extend(shown)
        if recipe.requests or recipe.edits:
            found.append(recipe)
    return found
