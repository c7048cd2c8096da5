"""What the rsconnect client makes of each example's directory."""

import json
import shutil

import pytest
from packaging.specifiers import SpecifierSet

from shared.bundle import write_manifest


@pytest.fixture(scope="session")
def manifest(example, tmp_path_factory):
    """The manifest that the client writes for the directory as it is now."""
    directory = tmp_path_factory.mktemp("manifest") / example.directory
    return write_manifest(shutil.copytree(example.path, directory))


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
