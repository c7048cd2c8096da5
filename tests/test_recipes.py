"""What the README of each example shows is what a copy of it answers."""

import re
import shutil

import pytest

from shared.catalogue import EXAMPLES
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


def test_readme_of_the_example_is_short_and_complete(example):
    text = example.readme.read_text(encoding="utf-8")
    assert len(text.split()) <= 450
    headings = re.findall(r"^## (.*)", text, re.MULTILINE)
    assert headings == ["Run", "Call", "Deploy", "Make it yours", "Limits"]
