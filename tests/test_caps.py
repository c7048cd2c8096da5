"""Each cap in an example's requirements, until a release beyond it works.

Not in the default list: it asks the package index, and fails when that does not answer.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from shared.catalogue import ROOT

UNSATISFIABLE = "No solution found"
TESTS = ["tests/test_contract.py", "tests/test_app.py"]


def requirements(example):
    """The example's direct requirements."""
    text = (example.path / "requirements.txt").read_text(encoding="utf-8")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line]


def pytest_generate_tests(metafunc):
    """One test for each cap, named as the requirement is written."""
    caps = [
        pytest.param(
            example, requirement, cap, id=f"{example.id}-{requirement.name}{cap}"
        )
        for example in metafunc.config.examples
        for requirement in requirements(example)
        for cap in requirement.specifier
        if cap.operator in ("<", "<=")
    ]
    metafunc.parametrize("capped_example, requirement, cap", caps)


def run(*command, **environ):
    """Run a command in the repository; return its exit code and what it said."""
    result = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        check=False,
        # What a person may have set to work offline would let every cap pass.
        env={k: v for k, v in os.environ.items() if k != "UV_OFFLINE"} | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    return result.returncode, result.stdout.strip()


def uv(*arguments):
    return run(sys.executable, "-m", "uv", "--quiet", *arguments)


def newest_release(requirement, directory):
    """The newest release that the requirement admits, by the package index itself."""
    wanted = directory / "wanted.txt"
    wanted.write_text(str(requirement), encoding="utf-8")
    plain = ["--no-deps", "--no-header", "--no-annotate", "--refresh"]
    code, said = uv("pip", "compile", *plain, wanted)
    if code:
        pytest.fail(
            f"could not look for releases of {requirement.name}: {said}", pytrace=False
        )
    return Version(said.partition("==")[2])


def broken_beyond(example, requirement, directory):
    """What breaks when the requirement is this one, in an environment of its own.

    None when all that the matrix tests works.
    """
    lifted = directory / "requirements.txt"
    others = [r for r in requirements(example) if r.name != requirement.name]
    lifted.write_text("\n".join(map(str, [*others, requirement])), encoding="utf-8")
    tools = ROOT / "tests" / "requirements.txt"
    venv = directory / "venv"
    code, said = uv("venv", "--python", sys.executable, venv)
    if code:
        pytest.fail(f"could not make an environment: {said}", pytrace=False)
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    code, said = uv("pip", "install", "--python", python, "-r", lifted, "-r", tools)
    if code == 1 and UNSATISFIABLE in said:
        return f"it cannot be installed: {said}"
    if code:
        pytest.fail(f"could not install {requirement}: {said}", pytrace=False)
    tests = [python, "-m", "pytest", "--example", example.id, *TESTS]
    code, said = run(*tests, PYTHONWARNDEFAULTENCODING="1")
    if code not in (0, 1):
        pytest.fail(f"could not test {requirement}: {said}", pytrace=False)
    return said.rpartition("\n")[2] if code else None


def test_cap_has_not_outlived_its_reason(capped_example, requirement, cap, tmp_path):
    uncapped = Requirement(str(requirement))
    uncapped.specifier = SpecifierSet(
        ",".join(str(part) for part in requirement.specifier if part != cap)
    )
    newest = newest_release(uncapped, tmp_path)
    what = f"{capped_example.directory}: {requirement}"
    if newest in SpecifierSet(str(cap), prereleases=True):
        print(f"{what}: the cap stands, the newest release is {newest}")
        return
    # Not the newest itself, which the example's other packages may not go with.
    uncapped.specifier = SpecifierSet(f">={cap.version}")
    broken = broken_beyond(capped_example, uncapped, tmp_path)
    if not broken:
        pytest.fail(
            f"the cap on {requirement.name} has outlived its reason: "
            f"{capped_example.directory} works with {uncapped} (newest: {newest}), "
            "so raise it and run the matrix",
            pytrace=False,
        )
    print(f"{what}: the cap stands, {uncapped} breaks the example: {broken}")
