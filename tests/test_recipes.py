"""What the README of each example shows is what a copy of it answers."""

import re
import shutil
import sqlite3
from contextlib import closing

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
    (recipe,) = recipes_of(README)
    recipe.apply(copy / "app.py")
    # Two imports, as two processes have them.
    first, second = (Client(load(copy)) for _ in range(2))
    assert first.get(example.list_url).json == contract.greetings()
    with closing(sqlite3.connect(tmp_path / "greetings.sqlite")) as connection, connection:
        connection.execute("INSERT INTO greetings VALUES ('et', 'Tere')")
    for client in (first, second):
        item = client.get(example.item_url.format(lang="et")).json
        assert item == {"lang": "et", "text": "Tere"}
        assert item in client.get(example.list_url).json


def test_readme_of_the_example_is_short_and_complete(example):
    text = example.readme.read_text(encoding="utf-8")
    assert len(text.split()) <= 450
    headings = re.findall(r"^## (.*)", text, re.MULTILINE)
    assert headings == ["Run", "Call", "Deploy", "Make it yours", "Limits"]
