"""The recipes of the pages: what to change in a copy of an example, and what it then answers."""

import ast
import doctest
import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from shared.catalogue import EXAMPLES, ROOT, Example
from shared.harness.curl import curl

SHARED = ROOT / "RECIPES.md"
CHAPTERS = ("Call", "Make it yours")  # of an example's README; all of RECIPES.md
SECTION = re.compile(r"^(#{2,3}) (.+)\n", re.MULTILINE)
BLOCK = re.compile(r"^([^\n]*)\n+```(python|console|csv)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMES = re.compile(
    r"In (?!place of)(all but )?(.+?)(?:, (?=at the end of|before|in place of|as )|:$)"
)
PLACE = re.compile(r"(?i:(at the end of|before|in place of|as)) `(.+)`:$")
AFTER = re.compile(r"^After \[(.+?)\]\(", re.MULTILINE)
NEEDS = re.compile(r"[Ii]t needs `(.+?)`")
VARIABLE = re.compile(r"-E (\w+)=([\w/.-]*\w)")
GREETINGS = re.compile(r"http://127\.0\.0\.1:5000/greetings/([^\s'\"?/]*)")
# What a page shows of an answer may leave out parts with `...`.
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class RecipeError(Exception):
    """What is wrong with a recipe."""


@dataclass(frozen=True)
class Recipe:
    """A section of a page with code for a copy of an example, or with `curl` commands, or both."""

    example: Example
    page: Path
    title: str
    needs: list[str]  # requirements
    variables: dict[str, str]  # of the environment
    after: list["Recipe"]  # those that it builds on
    edits: list[tuple[str, str, str]] = field(default_factory=list)  # how, where, code
    requests: list[tuple[str, str]] = field(default_factory=list)  # command, answer

    def chain(self) -> dict[str, "Recipe"]:
        """Return, by title, the recipes that it builds on, each once, and then itself."""
        earlier = {title: step for recipe in self.after for title, step in recipe.chain().items()}
        return {**earlier, self.title: self}

    def check(self, url: str, copy: Path) -> None:
        """Run the commands with the copy at `url`; raises RecipeError at the first other answer."""
        for command, answer in self.requests:
            own = GREETINGS.sub(self._own_url, command) if self.page == SHARED else command
            answered = curl(own.replace("http://127.0.0.1:5000", url), copy)
            if not agree(answer, answered):
                raise RecipeError(f"{self.title}: {own}\nanswers {answered!r}\nnot     {answer!r}")

    def _own_url(self, shown: re.Match[str]) -> str:
        """Turn the URL of the list or of an item, as RECIPES.md shows it, into the example's."""
        path = self.example.item_url.format(lang=shown[1]) if shown[1] else self.example.list_url
        return f"http://127.0.0.1:5000{path}"


def apply(recipes: Iterable[Recipe], copy: Path) -> dict[str, str]:
    """Make the edits of recipes, and of those that they build on, in a copy of an example.

    Returns the variables that they want. Raises RecipeError when app.py lacks a place.
    """
    variables: dict[str, str] = {}
    for step in {title: r for recipe in recipes for title, r in recipe.chain().items()}.values():
        variables |= step.variables
        for how, where, code in step.edits:
            if how == "as":
                (copy / where).write_text(code, encoding="utf-8")
                continue
            text = (copy / "app.py").read_text(encoding="utf-8")
            (copy / "app.py").write_text(edit(text, how, where, code), encoding="utf-8")
    return variables


def edit(text: str, how: str, where: str, code: str) -> str:
    """Return the text of app.py with code added; raises RecipeError without the place for it."""
    if how in ("at the end of", "before"):
        text, code = with_imports(text, code)
    if where == "app.py":
        return f"{text}\n\n{code}"
    if text.count(where) != 1:
        raise RecipeError(f"app.py does not have {where!r} once.")
    start = text.index(where)
    end = start + len(where)
    if how == "before":
        return f"{text[:start]}{code}\n{text[start:]}"
    if how == "in place of" and code.count("\n") > 1:
        first, last = text.rindex("\n", 0, start), text.index("\n", end)
        return f"{text[: first + 1]}{code}{text[last + 1 :]}"
    if how == "in place of":
        return f"{text[:start]}{code.strip()}{text[end:]}"
    # A block ends where the next line that is not indented starts.
    after = re.compile(r"^\S", re.MULTILINE).search(text, end)
    end = after.start() if after else len(text)
    return f"{text[:end].rstrip()}\n\n{code}\n\n{text[end:]}"


def with_imports(text: str, code: str) -> tuple[str, str]:
    """Return the text of app.py with the imports that code starts with, and the rest of the code.

    They go below the last import of app.py, as RECIPES.md asks of its readers. Code that is
    indented, such as a method, stays whole.
    """
    if not code.startswith(("import ", "from ")):
        return text, code
    imports = (ast.Import, ast.ImportFrom)
    lines = code.splitlines(keepends=True)
    added, end = [], 0
    for node in itertools.takewhile(lambda node: isinstance(node, imports), ast.parse(code).body):
        statement, end = "".join(lines[node.lineno - 1 : node.end_lineno]), node.end_lineno
        added += [statement] if statement not in text else []
    *_, above = (node for node in ast.parse(text).body if isinstance(node, imports))
    kept = text.splitlines(keepends=True)
    kept[above.end_lineno : above.end_lineno] = added
    return "".join(kept), "".join(lines[end:]).lstrip("\n")


def agree(shown: str, answered: str) -> bool:
    """Whether an answer is what a page shows: equal JSON, or the text but for parts like `...`."""
    try:
        return json.loads(shown) == json.loads(answered)
    except ValueError:
        return doctest.OutputChecker().check_output(shown, f"{answered.strip()}\n", FLAGS)


def recipes_for(example: Example) -> dict[str, Recipe]:
    """Return the recipes for an example by title: those of its README, then those of RECIPES.md.

    Raises RecipeError when a block of code does not say where it goes.
    """
    sections: dict[str, tuple[Path, str]] = {}
    for page in [example.readme, SHARED] if example.recipes else [example.readme]:
        chapter = ""
        parts = SECTION.split(page.read_text(encoding="utf-8"))
        for level, title, text in zip(parts[1::3], parts[2::3], parts[3::3]):
            chapter = title if level == "##" else chapter
            if page == SHARED or chapter in CHAPTERS:
                sections[title] = page, text

    def recipe(title: str) -> Recipe:
        page, text = sections[title]
        after = [recipe(name) for name in AFTER.findall(text) if name in sections]
        return read(example, page, title, text, after)

    found = {title: recipe(title) for title in sections}
    return {title: recipe for title, recipe in found.items() if recipe.requests or recipe.edits}


def read(example: Example, page: Path, title: str, text: str, after: list[Recipe]) -> Recipe:
    """Return what a section of a page has for an example; raises RecipeError.

    after: the recipes that it builds on.
    """
    variables = dict(VARIABLE.findall(text))
    recipe = Recipe(example, page, title, NEEDS.findall(text), variables, after)
    for before, language, code in BLOCK.findall(text):
        if match := NAMES.match(before):
            names = re.split(r", | and ", match[2])
            if unknown := set(names) - {e.name for e in EXAMPLES}:
                raise RecipeError(f"{page.name}, {title}: no example is named {unknown}")
            if (example.name in names) == bool(match[1]):
                continue
        if language == "console":
            shown = re.findall(r"^\$ (curl .*)\n((?:(?!\$ ).*\n)*)", code, re.MULTILINE)
            recipe.requests.extend(shown)
        elif place := PLACE.search(before):
            recipe.edits.append((place[1].lower(), place[2], code))
        else:
            missing = "say where this goes, such as 'At the end of `app.py`:'"
            raise RecipeError(f"{page.name}, {title}: {missing}, in front of {code[:40]!r}")
    return recipe
