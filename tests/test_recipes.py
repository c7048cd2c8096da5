"""What the recipes of the pages show is what a copy of an example answers."""

import re
import shutil
from pathlib import Path

import httpx
import pytest

from shared.catalogue import EXAMPLES
from shared.harness.readme import README
from shared.harness.recipes import RecipeError, apply, edit, read, recipes_for
from shared.harness.thread import CannotImport, load, serving

RECIPES = [recipe for example in EXAMPLES for recipe in recipes_for(example).values()]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The recipes of one example, or of all those that need more packages.

    pandas takes a second to import and longer to install, so the environments of the examples,
    of which there are many, are without it; `recipes` has it.
    """
    if "recipe" in metafunc.fixturenames:
        tested = metafunc.config.option.example
        if tested:
            chosen = [r for r in RECIPES if r.example.id == tested and not r.needs]
        else:
            chosen = [r for r in RECIPES if r.needs]
        ids = [f"{r.example.id}-{r.title.replace(' ', '-').lower()}" for r in chosen]
        metafunc.parametrize("recipe", chosen, ids=ids)


def test_recipe_answers_as_its_page_shows(recipe, tmp_path, monkeypatch):
    copy = shutil.copytree(recipe.example.path, tmp_path / "copy")
    for name, value in apply([recipe], copy).items():
        own = str(tmp_path / Path(value).name) if value.startswith("/") else value
        monkeypatch.setenv(name, own)
    with serving(load(copy)) as port:
        recipe.check(f"http://127.0.0.1:{port}", copy)


def test_each_command_of_a_recipe_is_compared(example, tmp_path):
    url = f"http://127.0.0.1:5000{example.list_url}"
    block = f"Shows:\n\n```console\n$ curl {url}\n...\n$ curl {url}\nNothing\n```\n"
    recipe = read(example, example.readme, "Title", block, [])
    with serving(load(example.path)) as port, pytest.raises(RecipeError, match="not .*Nothing"):
        recipe.check(f"http://127.0.0.1:{port}", tmp_path)


@pytest.mark.having("recipes")
def test_variable_that_is_missing_or_empty_is_named(example, tmp_path, monkeypatch):
    recipes = [recipe for recipe in recipes_for(example).values() if recipe.variables]
    assert len(recipes) == 4
    for number, recipe in enumerate(recipes):
        copy = shutil.copytree(example.path, tmp_path / str(number))
        (name,) = apply([recipe], copy)
        monkeypatch.delenv(name, raising=False)
        with pytest.raises(CannotImport, match=f"{name} is not set. Run export {name}="):
            load(copy)
        monkeypatch.setenv(name, "")
        with pytest.raises(CannotImport, match=f"{name} is not set."):
            load(copy)


def test_recipe_looks_in_the_file_as_on_the_page():
    text = "import json\n\nfirst = 1\nfrom a import b\n\n\ndef f():\n    g(1)\n    h(2)\n"
    code = "import json\nfrom c import (\n    d,\n)\n\nlast = 1\n"
    added = text.replace("import b\n", "import b\nfrom c import (\n    d,\n)\n") + "\n\nlast = 1\n"
    assert edit(text, "at the end of", "app.py", code) == added
    lines = edit(text, "in place of", "(1)", "    g(1)\n    g(2)\n")
    assert lines == text.replace("    g(1)\n", "    g(1)\n    g(2)\n")
    assert edit(text, "in place of", "(1)", "(3)\n") == text.replace("(1)", "(3)")
    with pytest.raises(RecipeError, match="does not have 'import' once"):
        edit(text, "before", "import", "")


def test_readme_of_the_example_is_short_and_complete(example):
    text = example.readme.read_text(encoding="utf-8")
    assert len(text.split()) <= 900
    headings = re.findall(r"^## (.*)", text, re.MULTILINE)
    assert headings == ["Run", "Call", "Deploy", "Make it yours", "Limits"]


def test_urls_that_the_pages_name_answer(example):
    """Also those that the READMEs tell to open after a deployment."""
    call, _, deploy = example.readme.read_text(encoding="utf-8").partition("\n## Deploy\n")
    [told] = re.findall("^The client prints .*", deploy, re.MULTILINE)
    paths = re.findall(r"`([\w./]+)`", told)
    paths += re.findall("<http://127.0.0.1:5000/(.*)>", call)
    names = f"`([^`]+)` (?:at its end )?for (?:{example.name}|{example.id})"
    paths += re.findall(names, README.read_text(encoding="utf-8"))
    with serving(load(example.path)) as port:
        for path in paths:
            response = httpx.get(
                f"http://127.0.0.1:{port}/{path}", follow_redirects=False, timeout=60
            )
            assert response.status_code == 200, f"/{path} of {example.directory}: {response}"
