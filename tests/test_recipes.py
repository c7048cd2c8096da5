"""What the recipes of the pages show is what a copy of an example answers."""

import re
import shutil
from pathlib import Path

import pytest
from werkzeug.test import Client

from shared import contract
from shared.catalogue import EXAMPLES
from shared.harness.recipes import SHARED, edit, recipes_for
from shared.harness.thread import load, serving

RECIPES = [recipe for example in EXAMPLES for recipe in recipes_for(example)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each recipe of the example that `--example` names, or of all."""
    if "recipe" in metafunc.fixturenames:
        wanted = metafunc.config.option.example
        chosen = [recipe for recipe in RECIPES if wanted in (None, recipe.example.id)]
        ids = [f"{r.example.id}-{r.title.replace(' ', '-').lower()}" for r in chosen]
        metafunc.parametrize("recipe", chosen, ids=ids)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes a copy of an example with recipes; returns its directory and its app."""

    def made(*recipes):
        copy = shutil.copytree(recipes[0].example.path, tmp_path / "copy")
        for recipe in recipes:
            recipe.apply(copy)
            for name, value in recipe.variables.items():
                own = str(tmp_path / Path(value).name) if value.startswith("/") else value
                monkeypatch.setenv(name, own)
        return copy, load(copy)

    return made


def test_recipe_answers_as_its_page_shows(recipe, made):
    copy, app = made(recipe)
    with serving(app) as port:
        recipe.check(f"http://127.0.0.1:{port}", copy)


def test_processes_share_the_database(example, copy, tmp_path, monkeypatch):
    monkeypatch.setenv("GREETINGS_DB", str(tmp_path / "greetings.sqlite"))
    recipes = {recipe.title: recipe for recipe in recipes_for(example)}
    posts = [recipe for title, recipe in recipes.items() if "POST" in title]
    for recipe in (*posts, recipes["Keep the data in a database"]):
        recipe.apply(copy)
    write = re.search(r"A POST runs `(.+)`", SHARED.read_text(encoding="utf-8"))[1]
    app = (copy / "app.py").read_text(encoding="utf-8").replace("db[lang] = text", write)
    if not posts:
        app += f"\n\n@app.post('{example.list_url}')\ndef add():\n    lang, text = 'et', 'Tere'\n"
        app += f"    {write}\n    return '', 201\n"
    (copy / "app.py").write_text(app, encoding="utf-8")
    # Two imports, as two processes have them.
    first, second = (Client(load(copy)) for _ in range(2))
    assert first.get(example.list_url).json == contract.greetings()
    added = {"lang": "et", "text": "Tere"}
    assert first.post(example.list_url, json=added).status_code == 201
    for client in (first, second):
        assert client.get(example.item_url.format(lang="et")).json == added
        assert added in client.get(example.list_url).json


def test_recipe_that_does_not_fit_says_where():
    with pytest.raises(ValueError, match="does not have 'db' once"):
        edit("db = db", "before", "db", "")


def test_readme_of_the_example_is_short_and_complete(example):
    text = example.readme.read_text(encoding="utf-8")
    assert len(text.split()) <= 900
    headings = re.findall(r"^## (.*)", text, re.MULTILINE)
    assert headings == ["Run", "Call", "Deploy", "Make it yours", "Limits"]
