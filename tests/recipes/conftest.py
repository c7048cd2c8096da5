"""What all tests of recipes share: copies of an example that have some of them."""

import shutil
from pathlib import Path

import pytest
from werkzeug.test import Client

from shared.harness.recipes import apply, recipes_for
from shared.harness.thread import load


@pytest.fixture(scope="module")
def cook(example, tmp_path_factory):
    """A function that applies recipes to a new copy, adds code to it, and returns a client.

    The client's `copy` is the directory. A path in a variable leads beside it.
    """

    def cook(*titles, code="", **variables):
        copy = shutil.copytree(example.path, tmp_path_factory.mktemp("cook") / "copy")
        recipes = recipes_for(example)
        variables = apply([recipes[title] for title in titles], copy) | variables
        for name, value in variables.items():
            patch.setenv(name, str(copy.parent / Path(value).name) if "/" in value else value)
        with (copy / "app.py").open("a", encoding="utf-8") as file:
            file.write(code)
        client = Client(load(copy))
        client.copy = copy
        return client

    with pytest.MonkeyPatch.context() as patch:
        yield cook


def pytest_itemcollected(item):
    """These tests are for the examples that RECIPES.md is for."""
    if "example" in item.fixturenames:
        item.add_marker(pytest.mark.having("recipes"))
