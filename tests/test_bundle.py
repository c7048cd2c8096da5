"""What the rsconnect client makes of each example's directory."""

import json
import shutil

import pytest
from packaging.specifiers import SpecifierSet

from shared.bundle import write_manifest


@pytest.fixture
def manifest(example, tmp_path):
    """The manifest that the client writes for the directory as it is now."""
    directory = shutil.copytree(example.path, tmp_path / example.directory)
    return write_manifest(directory)


def test_committed_manifest_is_that_of_its_directory(example, manifest):
    """Connect publishes from git by the manifest alone."""
    committed = json.loads((example.path / "manifest.json").read_text(encoding="utf-8"))
    for machine_dependent in ("locale", "python"):
        manifest.pop(machine_dependent)
        committed.pop(machine_dependent)
    assert committed == manifest, "to write it anew: tox run -e manifests"


def test_client_tells_connect_which_pythons_will_do(manifest):
    """Else Connect takes the minor version of whoever deploys."""
    pythons = SpecifierSet(manifest["environment"]["python"]["requires"])
    assert "3.9" in pythons
    assert "3.14" in pythons
    assert "3.8" not in pythons
