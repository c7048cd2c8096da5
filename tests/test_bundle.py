"""What the rsconnect client makes of each example's directory."""

import json
import os
import shutil

import httpx
import pytest
from packaging.specifiers import SpecifierSet

from shared import contract
from shared.bundle import running, write_manifest
from shared.catalogue import EXAMPLES
from shared.client import private_client
from shared.readme import console_commands


@pytest.fixture(scope="session")
def manifest(example):
    """The manifest that the client writes for the directory as it is now."""
    with private_client() as client:
        return write_manifest(client, client.root / example.directory)


def test_committed_manifest_is_that_of_its_directory(example, manifest):
    """Connect publishes from git by the manifest alone."""
    committed = json.loads((example.path / "manifest.json").read_text(encoding="utf-8"))
    machine_dependent = {"locale": None, "python": None}
    assert committed | machine_dependent == manifest | machine_dependent, (
        "to write it anew: tox run -e manifests"
    )


def test_client_tells_connect_which_pythons_will_do(manifest):
    """Else Connect takes the minor version of whoever deploys."""
    pythons = SpecifierSet(manifest["environment"]["python"]["requires"])
    assert "3.9" in pythons
    assert "3.14" in pythons
    assert "3.8" not in pythons


@pytest.mark.skipif(os.name == "nt", reason="the README's commands are a shell's")
def test_readme_runs_one_by_itself(tmp_path):
    for example in EXAMPLES:
        shutil.copytree(example.path, tmp_path / example.directory)
    *commands, serve = console_commands("Run one by itself")
    [directory] = (c.split()[1] for c in commands if c.startswith("cd "))
    [example] = (e for e in EXAMPLES if e.directory == directory)
    script = " && ".join([*commands, f"exec {serve}"])
    port = {"FLASK_RUN_PORT": "0"}  # in place of the usual one, which may be in use
    command = ["sh", "-c", script]
    with running(command, cwd=tmp_path, env={**os.environ, **port}) as url:
        response = httpx.get(url + example.list_url, trust_env=False)
    assert response.json() == contract.greetings()
