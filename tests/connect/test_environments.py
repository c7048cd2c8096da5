"""Each bundle runs in an environment of its own requirements, shared by equal ones."""

import contextlib
import io
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.connect.bundles import unpack
from shared.connect.environments import Environments
from shared.connect.processes import Processes
from tests.connect.support import deploy, make_bundle

pytestmark = pytest.mark.local


@pytest.fixture
def build(tmp_path):
    """Builds the environment of a bundle's files, as a server that has just started."""
    with contextlib.closing(Processes()) as processes:

        def build(name, **files):
            directory = tmp_path / name
            manifest = unpack(io.BytesIO(make_bundle(files)), directory)
            lines = []
            environments = Environments(tmp_path / "environments", processes)
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
    assert packages(first) == ["iniconfig", "waitress"]


def test_requirements_that_refer_to_files_depend_on_them(build):
    files = {"requirements.txt": "-r more.txt"}
    first, _ = build("a", **files, **{"more.txt": "iniconfig"})
    second, _ = build("b", **files, **{"more.txt": "six", "unrelated.txt": ""})
    assert (packages(first), packages(second)) == (["iniconfig", "waitress"], ["six", "waitress"])


def test_environment_that_has_lost_its_python_is_built_again(build):
    first, _ = build("a")
    first.python.unlink()
    first.python.symlink_to("/nowhere/python")
    second, _ = build("b")
    assert packages(second) == ["waitress"]
    shutil.rmtree(second.python.parents[1])
    assert packages(build("c")[0]) == ["waitress"]


def test_constraint_that_no_python_meets_is_reported(publisher, visitor, content):
    requires = {"python": {"requires": ">=3.99"}}
    _, task = deploy(publisher, content, make_bundle(environment=requires))
    assert task["code"] == 1
    assert "No interpreter found for Python >=3.99" in task["error"]
    assert visitor.get(content["content_url"]).status_code == 404


def test_python_meets_the_constraint(server, publisher, content):
    own = "{}.{}".format(*sys.version_info)
    found = {version.rpartition(".")[0] for version in server.contents.environments.pythons()}
    wanted = max(found - {own}, key=lambda v: int(v.partition(".")[2]), default=own)
    requires = {"python": {"requires": f"=={wanted}.*"}}
    _, task = deploy(publisher, content, make_bundle(environment=requires))
    assert task["code"] == 0, task["output"]
    record = publisher.get(f"content/{content['guid']}").json()
    assert record["py_version"].startswith(f"{wanted}.")
