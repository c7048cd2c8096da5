"""Each bundle runs in an environment of its own requirements, shared by equal ones."""

import contextlib
import io
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.connect.bundles import unpack
from shared.connect.running.environments import REFERS_TO_FILES, BuildError, Environments
from shared.connect.running.processes import Processes
from tests.connect.support import deploy_bundle, make_bundle

pytestmark = pytest.mark.local


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Builds the environment of a bundle's files, as a server that has just started."""
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(Processes()) as processes:

        def build(name, requires=None, **files):
            directory = tmp_path / name
            environment = {"python": {"requires": requires}} if requires else {}
            bundle = make_bundle(files, environment=environment)
            manifest = unpack(io.BytesIO(bundle), directory)
            lines = []
            environments = Environments(Path("environments"), processes)
            return environments.build(manifest, directory, lines.append), lines

        yield build


def packages(environment):
    code = "from importlib.metadata import distributions as d; print(*(i.name for i in d()))"
    command = [environment.python, "-c", code]
    return sorted(subprocess.check_output(command, encoding="utf-8").split())


def test_equal_requirements_share_an_environment(build):
    """Also between two servers that build it at the same time."""
    with ThreadPoolExecutor() as pool:
        both = pool.map(lambda name: build(name, **{"requirements.txt": "iniconfig"}), "ab")
    (first, _), (second, _) = both
    third, lines = build("c", **{"requirements.txt": "iniconfig"})
    assert first == second == third
    assert "Using environment" in lines[0]
    assert packages(first) == ["iniconfig"]


def test_requirements_that_refer_to_files_depend_on_them(build):
    files = {"requirements.txt": "-r more.txt"}
    first, _ = build("a", **files, **{"more.txt": "iniconfig"})
    second, _ = build("b", **files, **{"more.txt": "six", "unrelated.txt": ""})
    assert (packages(first), packages(second)) == (["iniconfig"], ["six"])


REQUIREMENTS = {
    "flask>=3": False,
    "flask>=3  # see https://example.com/a": False,
    "# ./not/used\nflask": False,
    "flask==3.0 \\\n    --hash=sha256:abc": False,
    "-r more.txt": True,
    "  --requirement=more.txt": True,
    "-e .": True,
    "flask\n./package  # ours": True,
    "package-1.0-py3-none-any.whl": True,
    "package @ git+https://example.com/a#egg=package": True,
}


@pytest.mark.parametrize(("text", "refers"), REQUIREMENTS.items(), ids=repr)
def test_only_paths_urls_and_options_refer_to_files(text, refers):
    assert bool(REFERS_TO_FILES.search(text)) is refers


def test_constraint_is_part_of_what_environments_share(build):
    first, _ = build("a", requires=">=3.10")
    second, _ = build("b", requires=">=3.9")
    assert first.python != second.python


def test_programs_of_an_environment_run(build):
    """Apps find them in PATH."""
    environment, _ = build("a", **{"requirements.txt": "waitress"})
    told = subprocess.check_output([environment.python.with_name("waitress-serve"), "--help"])
    assert b"Usage" in told


def test_environment_that_has_lost_its_python_is_built_again(build):
    first, _ = build("a")
    first.python.unlink()
    first.python.symlink_to("/nowhere/python")
    second, _ = build("b")
    assert packages(second) == []
    shutil.rmtree(second.python.parents[1])
    assert packages(build("c")[0]) == []


FAILURES = {
    "no-such-package-0q": "no-such-package-0q was not found in the package registry",
    "iniconfig==99": "there is no version of iniconfig==99",
    "six<1\nsix>1": "you require six<1 and six>1",
    "./gone": "Distribution not found at: file:///[^ ]*/gone",
}


@pytest.mark.parametrize(("requirements", "reason"), FAILURES.items(), ids=repr)
def test_requirement_that_cannot_be_installed_is_reported_without_progress(
    build, requirements, reason
):
    with pytest.raises(BuildError, match=f"^{reason}$"):
        build("a", **{"requirements.txt": requirements})


def test_build_of_a_package_leaves_no_temporary_files(build, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    setup = "from setuptools import setup\nsetup(name='package-0q', py_modules=[])\n"
    environment, _ = build("a", **{"requirements.txt": "./package", "package/setup.py": setup})
    assert packages(environment) == ["package-0q"]
    assert list((tmp_path / "temporary").iterdir()) == []


def test_no_python_is_downloaded(build, tmp_path, monkeypatch):
    monkeypatch.delenv("UV_PYTHON_DOWNLOADS", raising=False)
    told = "#!/bin/sh\necho error: downloads: $UV_PYTHON_DOWNLOADS\nexit 1\n"
    (tmp_path / "uv").write_text(told, encoding="utf-8")
    (tmp_path / "uv").chmod(0o700)
    monkeypatch.setattr("shared.connect.running.environments.UV", str(tmp_path / "uv"))
    with pytest.raises(BuildError, match="^downloads: never$"):
        build("a")


def test_constraint_that_no_python_meets_is_reported(publisher, owner, content):
    requires = {"python": {"requires": ">=3.99"}}
    _, task = deploy_bundle(publisher, content, make_bundle(environment=requires))
    assert task["code"] == 1
    assert "No interpreter found for Python >=3.99" in task["error"]
    assert owner.get(content["content_url"]).status_code == 404


def test_python_meets_the_constraint(server, publisher, content):
    own = "{}.{}".format(*sys.version_info)
    versions = server.contents.environments.pythons()
    assert len(set(versions)) == len(versions)
    found = {version.rpartition(".")[0] for version in versions}
    wanted = max(found - {own}, key=lambda v: int(v.partition(".")[2]), default=own)
    requires = {"python": {"requires": f"=={wanted}.*"}}
    _, task = deploy_bundle(publisher, content, make_bundle(environment=requires))
    assert task["code"] == 0, task["output"]
    record = publisher.get(f"content/{content['guid']}").json()
    assert record["py_version"].startswith(f"{wanted}.")
