"""What the rsconnect client makes of each example's directory."""

import json
import os
import shutil

import pytest
from packaging.specifiers import SpecifierSet

from shared.catalogue import EXAMPLES
from shared.harness.bundle import running, write_manifest
from shared.harness.client import private_client
from shared.harness.readme import console_commands
from shared.harness.recipes import recipes_of

REPAIR = "to write it again, tox run -e manifests"


@pytest.fixture(scope="session")
def manifest(example):
    """The manifest that the client writes for the directory as it is now."""
    with private_client() as client:
        return write_manifest(client, client.root / example.directory)


def test_committed_manifest_is_that_of_its_directory(example, manifest):
    """Connect publishes from git by the manifest alone."""
    committed = json.loads((example.path / "manifest.json").read_text(encoding="utf-8"))
    listed, there = set(committed.pop("files")), set(manifest["files"])
    assert listed == there, f"manifest.json lists {listed}; the client bundles {there}: {REPAIR}"
    for key in sorted(committed.keys() - {"locale", "python"}):  # these are the machine's
        assert committed[key] == manifest[key], f"{key} of manifest.json is stale: {REPAIR}"
    assert manifest["python"]["package_manager"]["package_file"] == "requirements.txt"


def test_client_tells_connect_which_pythons_will_do(manifest):
    """Without a constraint, Connect takes the minor version of the person who deploys."""
    pythons = SpecifierSet(manifest["environment"]["python"]["requires"])
    assert list(pythons.filter(["3.9", "3.10", "3.15"])) == ["3.10", "3.15"]


def test_readme_of_an_example_runs_it_and_calls_it(tmp_path):
    """Of the first example; test_readme.py checks that the others have the same commands."""
    example = EXAMPLES[0]
    copy = shutil.copytree(example.path, tmp_path / example.directory)
    *commands, serve = console_commands("Run", example.readme)
    script = " && ".join([*commands, f"exec {serve}"])
    port = {"FLASK_RUN_PORT": "0"}  # the usual one may be in use
    with running(["sh", "-c", script], cwd=copy, env={**os.environ, **port}) as url:
        recipes_of(example.readme)[0].check(url)
