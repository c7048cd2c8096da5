"""What no example shows by itself: that the project's parts agree."""

import filecmp
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from packaging.requirements import Requirement

from shared.catalogue import CANONICAL, EXAMPLES, ROOT
from shared.commands.counts import default_environments, expand
from shared.harness.recipes import recipes_for


def test_catalogue_is_the_example_directories():
    on_disk = {path.name for path in ROOT.glob("*-example")}
    named = {example.directory for example in EXAMPLES}
    assert named == on_disk, f"shared/catalogue.py and the directories differ: {named ^ on_disk}"


def test_greetings_are_the_canonical_file(example):
    copy = example.path / "greetings.json"
    repair = f"cp shared/greetings.json {example.directory}/greetings.json"
    assert copy.exists() and filecmp.cmp(CANONICAL, copy, shallow=False), (
        f"{example.directory}/greetings.json differs; to repair it: {repair}"
    )


def test_manifest_has_the_checksums_of_its_files(example):
    path = example.path / "manifest.json"
    assert path.exists(), f"{example.directory} has no manifest.json; run tox run -e manifests"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    stale = [
        name
        for name, file in manifest["files"].items()
        if hashlib.md5((example.path / name).read_bytes()).hexdigest() != file["checksum"]
    ]
    assert not stale, (
        f"{example.directory}/manifest.json is older than {', '.join(stale)}; "
        "to write it again: tox run -e manifests"
    )


def requirement_lines(example):
    """Each line of the example's requirements.txt: the requirement, and why."""
    text = (example.path / "requirements.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        requirement, _, reason = line.partition("#")
        yield Requirement(requirement.strip()), reason.strip()


def test_requirements_are_bounded_and_say_why(example):
    for requirement, reason in requirement_lines(example):
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators == {">=", "<"}, f"{requirement} wants a lower and an upper bound"
        assert reason, f"{requirement} does not say why it is capped"


# Each with what shows it: a version that an example's requirements must keep out.
BROKEN = [
    ("restx", "Flask", "3.2.0"),  # pallets/flask#5815
    ("restx", "Werkzeug", "3.2.0"),  # pallets/werkzeug#3105
    ("api", "Flask", "3.2.0"),  # has no __version__, which Flask-API imports
    ("api", "Flask-API", "4.0"),  # app.py restores names that it may not need
    ("api", "Werkzeug", "3.1.6"),  # test_malformed_host_is_refused
    ("flasgger", "flasgger", "0.9.8"),  # templates/ replaces a template of 0.9.7.1
]


@pytest.mark.parametrize(("id", "name", "version"), BROKEN)
def test_requirements_keep_out_what_breaks_the_example(id, name, version):
    [example] = (example for example in EXAMPLES if example.id == id)
    [requirement] = (r for r, _ in requirement_lines(example) if r.name == name)
    assert version not in requirement.specifier, f"{requirement} lets {version} in"


def test_project_and_content_are_named_like_the_directory(example):
    text = (example.path / "pyproject.toml").read_text(encoding="utf-8")
    for key in ("name", "title"):
        line = f'{key} = "{example.directory}"'
        assert line in text.splitlines(), f"{example.directory}/pyproject.toml lacks: {line}"


def test_environment_of_the_recipes_has_what_they_need():
    text = (ROOT / "tests" / "recipes-requirements.txt").read_text(encoding="utf-8")
    listed = {line.partition("#")[0].strip() for line in text.splitlines()} - {""}
    needed = {need for e in EXAMPLES for recipe in recipes_for(e).values() for need in recipe.needs}
    assert needed == listed, "RECIPES.md and tests/recipes-requirements.txt differ"


def test_tox_has_an_environment_for_the_example(example, tox):
    requirements = f"-r {example.directory}/requirements.txt"
    line = f"{example.id}: {requirements}"
    assert line in tox["testenv"]["deps"].splitlines(), f"tox.ini, [testenv] deps lacks: {line}"
    lines = tox["examples"]["requirements"].splitlines()
    assert requirements in lines, f"tox.ini, [examples] lacks: {requirements}"
    ids = {f"py31{minor}-{example.id}" for minor in range(6)} | {f"py310-{example.id}-lowest"}
    missing = ids - set(default_environments())
    assert not missing, f"tox.ini, env_list lacks {', '.join(sorted(missing))}"
    for label in tox["tox"]["labels"].strip().splitlines():
        assert re.search(rf"\b{example.id}\b", label), (
            f"tox.ini, labels lacks {example.id}: {label}"
        )


@pytest.mark.parametrize("name", ["fuzz", "recipes", "bench", "audit"])
def test_environment_takes_all_examples(name, tox):
    (section,) = (title for title in tox if name in expand(title.partition(":")[2]))
    settings = "".join(tox[section].values())
    wanted = "{[examples]requirements}"
    assert wanted in settings, f"tox.ini, [testenv:{name}] lacks: {wanted}"
    assert "-example" not in settings, f"tox.ini, [testenv:{name}] names an example"


# Tests with what chooses among them, and which of them runs choose.
MARKED = """
import pytest

def test_any(): ...
@pytest.mark.local
def test_local(): ...
@pytest.mark.deep
def test_deep(): ...
def test_each(example): ...
@pytest.mark.having("spec_url")
def test_spec(example): ...
@pytest.mark.of("restx", "api")
def test_two(example): ...
def test_at(mount): ...
@pytest.mark.one_mount
def test_once(mount): ...
"""
RUNS = [
    (
        ("connect", ""),
        "any local each[restx] each[api] each[flasgger] each[credentials] spec[restx] "
        "spec[flasgger] two[restx] two[api] at[content] once[content]",
    ),
    (
        ("py310-restx", "", "--place", "deployed"),
        "any local each[restx] spec[restx] two[restx] at[content] at[vanity] once[content]",
    ),
    (
        ("console", "http://127.0.0.1:9", "--place", "tls", "--example", "flasgger", "--deep"),
        "any deep each[flasgger] spec[flasgger] at[content] at[vanity] once[content] once[vanity]",
    ),
]


@pytest.mark.parametrize(("run", "tests"), RUNS, ids=[run[0] for run, _ in RUNS])
def test_run_has_the_tests_of_its_examples_mounts_and_server(tmp_path, run, tests):
    environment, server, *options = run
    file = tmp_path / "test_marked.py"
    file.write_text(MARKED, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "--collect-only", "-c", "tox.ini"]
    # Without the directory where it would count its tests.
    env = {key: value for key, value in os.environ.items() if key != "TOX_ENV_DIR"}
    env |= {"TOX_ENV_NAME": environment, "CONNECT_SERVER": server, "PYTEST_ADDOPTS": ""}
    command += ["-p", "tests.conftest", *options, file]
    told = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, encoding="utf-8")
    collected = re.findall(r"::test_(\S+)", told.stdout)
    assert collected, told.stdout + told.stderr
    other = sorted(set(collected) ^ set(tests.split()))
    assert not other, f"{environment} has, or lacks: {', '.join(other)}"


def test_each_test_file_is_in_an_environment(tox):
    settings = " ".join(value for section in tox.values() for value in section.values())
    named = set(re.findall(r"tests/[\w/.]+", settings))
    for path in (ROOT / "tests").rglob("test_*.py"):
        file = path.relative_to(ROOT)
        assert {file.as_posix(), file.parent.as_posix()} & named, f"tox.ini does not run {file}"


def test_environments_beside_the_matrix_run_on_the_python_of_tox_and_on_the_oldest(tox):
    """tox skips an environment whose Python is missing, and ends with congratulations."""
    for name in tox.sections():
        assert "base_python" not in tox[name] or name == "testenv:.tox", name
    names = set(default_environments())
    others = {name for name in names if not name.startswith("py3")}
    oldest = {re.sub(f"^py310-|-{EXAMPLES[0].id}$", "", name) for name in names - others}
    assert others - oldest == {"connect-lowest"}
    missing = others - {name for title in tox for name in expand(title.partition(":")[2])}
    assert not missing, f"tox.ini has no section for {missing}"


# The first three groups for maintainers and the weekly run; tox itself starts the last.
ON_DEMAND = {"manifests", "pictures", "bench"} | {"reference", "audit"} | {".tox"}


def test_environment_runs_by_default_unless_it_is_on_demand(tox):
    """Without it, tox ends with congratulations, too."""
    env_list = {name for line in tox["tox"]["env_list"].splitlines() for name in expand(line)}
    names = {name for title in tox for name in expand(title.partition("testenv:")[2])} - {""}
    left = {name for name in names - ON_DEMAND - env_list if not name.startswith("next")}
    assert not left, f"tox.ini, env_list lacks {', '.join(sorted(left))}"


def test_older_python_is_told_in_one_line():
    code = "import sys; sys.version_info = (3, 9, 18); import shared.commands.serve"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    assert re.fullmatch(r"This needs Python 3\.10 or later, and \S+ is Python 3\.9\.\n", run.stderr)


# Stands for a Python: it tells its prefix, and makes an environment whose tox tells its settings.
STUB = """#!/bin/sh
case "$1" in
-c) echo "{prefix}" ;;
-m) mkdir -p .venv/bin; cp "$0" .venv/bin/pip; cp "$0" .venv/bin/tox ;;
run-parallel) echo "{name} $TOX_SKIP_MISSING_INTERPRETERS $TOX_SKIP_ENV" ;;
esac
"""


@pytest.mark.skipif(sys.platform == "win32", reason="CI runs it on Linux")
@pytest.mark.parametrize(
    ("minors", "told"),
    [
        ((10, 11, 12, 13), "3.13 false ^$|py314-.*|py315-.*\n"),
        ((10, 11, 12, 13, 15), "3.15 false ^$|py314-.*\n"),
        ((10, 11, 13, 15), ""),
    ],
    ids=str,
)
def test_ci_runs_with_the_newest_python_and_wants_the_declared_ones(tmp_path, minors, told):
    (tmp_path / ".ci").mkdir()
    run = shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    for name in ("bash", "sh", "dirname", "mkdir", "cp"):
        (tmp_path / name).symlink_to(shutil.which(name))
    for minor in minors:
        prefix = tmp_path / f"3.{minor}"
        (prefix / "bin").mkdir(parents=True)
        for program in (tmp_path / f"python3.{minor}", prefix / "bin" / "python3"):
            stub = STUB.replace("{name}", prefix.name).replace("{prefix}", str(prefix))
            program.write_text(stub, encoding="utf-8")
            program.chmod(0o700)
    command = [tmp_path / "bash", run]
    ended = subprocess.run(
        command, env={"PATH": str(tmp_path)}, capture_output=True, encoding="utf-8"
    )
    assert (ended.stdout, ended.returncode == 0) == (told, bool(told)), ended.stderr


@pytest.fixture(scope="module")
def jobs():
    """The jobs of the workflow."""
    workflow = ROOT / ".github" / "workflows" / "test.yml"
    return yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]


def test_workflow_skips_no_python(jobs, tox):
    linux, _ = jobs["readme"]["strategy"]["matrix"]["include"]
    minors = re.search(r"^py3\{([\d,]+)\}", tox["tox"]["env_list"], re.MULTILINE)[1]
    pythons = [f"3.{minor}" for minor in minors.split(",")]
    assert linux["pythons"].split() == pythons, "the workflow has other Pythons than tox.ini"
    assert linux["skip"] == "^$"
    missing = jobs["readme"]["env"]["TOX_SKIP_MISSING_INTERPRETERS"]
    assert missing == "false", "the workflow would pass without a Python that it does not find"


def test_workflow_tests_the_examples_on_windows(jobs):
    *_, names = jobs["windows"]["steps"][-1]["run"].split()
    wanted = {example.id for example in EXAMPLES} | {
        "fuzz"
    }  # project is about files and shell scripts
    assert set(names.split(",")) == wanted, "test.yml, windows, has other environments"


def test_workflow_tests_on_a_real_connect_what_can_run_there(jobs, tox):
    (command,) = (
        step["with"]["command"]
        for step in jobs["connect"]["steps"]
        if "command" in step.get("with", ())
    )
    passed = [title for title in tox if "CONNECT_SERVER" in passed_on(tox, title)]
    names = {expand(title.partition("testenv:")[2])[0] for title in passed} - {""}
    assert set(command.split()[-1].split(",")) == names, "test.yml, connect, has other environments"


def passed_on(tox, title):
    """The variables that an environment gets."""
    names = tox[title].get("pass_env", "")
    return names.replace("{[deployed]pass_env}", tox["deployed"]["pass_env"])


@pytest.mark.parametrize("name", ["audit", "reference"])
def test_workflow_runs_what_is_for_the_weekly_run(jobs, name):
    steps = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    assert any(step.endswith(f"tox run -e {name}") for step in steps), f"test.yml lacks {name}"
