"""What the README of each example shows is what a copy of it answers."""

import re
import shutil

import pytest
from werkzeug.test import Client

from shared import contract
from shared.catalogue import EXAMPLES
from shared.harness.readme import README
from shared.harness.recipes import recipes_of
from shared.harness.thread import load, serving

RECIPES = [(example, recipe) for example in EXAMPLES for recipe in recipes_of(example.readme)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each recipe of the example that `--example` names, or of all."""
    if "recipe" in metafunc.fixturenames:
        wanted = metafunc.config.option.example
        chosen = [(e, recipe) for e, recipe in RECIPES if wanted in (None, e.id)]
        ids = [f"{e.id}-{recipe.title.replace(' ', '-').lower()}" for e, recipe in chosen]
        metafunc.parametrize("made_from, recipe", chosen, ids=ids)


def test_recipe_answers_as_the_readme_shows(made_from, recipe, tmp_path):
    copy = shutil.copytree(made_from.path, tmp_path / "copy")
    recipe.apply(copy / "app.py")
    with serving(load(copy)) as port:
        recipe.check(f"http://127.0.0.1:{port}")


def test_processes_share_the_database_of_the_readme(example, copy, tmp_path, monkeypatch):
    monkeypatch.setenv("GREETINGS_DB", str(tmp_path / "greetings.sqlite"))
    (database,) = recipes_of(README)
    posts = [recipe for recipe in recipes_of(example.readme) if "POST" in recipe.title]
    for recipe in (*posts, database):
        recipe.apply(copy / "app.py")
    write = re.search(r"A POST runs `(.+)`", README.read_text(encoding="utf-8"))[1]
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


def test_readme_of_the_example_is_short_and_complete(example):
    text = example.readme.read_text(encoding="utf-8")
    assert len(text.split()) <= 450
    headings = re.findall(r"^## (.*)", text, re.MULTILINE)
    assert headings == ["Run", "Call", "Deploy", "Make it yours", "Limits"]
