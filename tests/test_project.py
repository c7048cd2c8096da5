"""What no example shows by itself: that the project's parts agree."""

import hashlib
import json
import re
import shutil
import subprocess
import sys

import yaml
from packaging.requirements import Requirement

from shared.catalogue import CANONICAL, EXAMPLES, ROOT

TEXT = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
WORKFLOW = yaml.safe_load(TEXT)


def test_catalogue_is_the_example_directories():
    on_disk = {path.name for path in ROOT.glob("*-example")}
    named = {example.directory for example in EXAMPLES}
    assert named == on_disk, f"shared/catalogue.py and the directories differ: {named ^ on_disk}"


def test_greetings_are_the_canonical_file(example):
    copy = example.path / "greetings.json"
    repair = f"cp shared/greetings.json {example.directory}/greetings.json"
    assert copy.read_bytes() == CANONICAL.read_bytes(), f"to repair it: {repair}"


def test_manifest_has_the_checksums_of_its_files(example):
    manifest = json.loads((example.path / "manifest.json").read_text(encoding="utf-8"))
    stale = [
        name
        for name, file in manifest["files"].items()
        if hashlib.md5((example.path / name).read_bytes()).hexdigest() != file["checksum"]
    ]
    assert not stale, "to write the manifest again: tox run -e manifests"


def requirement_lines(example):
    """Each line of the example's requirements.txt: the requirement, and why."""
    text = (example.path / "requirements.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        requirement, _, reason = line.partition("#")
        yield Requirement(requirement.strip()), reason.strip()


def test_requirements_are_bounded_and_say_why(example):
    for requirement, reason in requirement_lines(example):
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators == {">=", "<"}, f"{requirement} needs a lower and an upper bound"
        assert reason, f"{requirement} does not say why it is capped"


# Each with what shows it: a version that an example's requirements must keep out.
BROKEN = [
    ("flask-restx-example", "Flask", "3.2.0"),  # pallets/flask#5815
    ("flask-restx-example", "Werkzeug", "3.2.0"),  # pallets/werkzeug#3105
    ("flask-api-example", "Flask", "3.2.0"),  # has no __version__, which Flask-API imports
    ("flask-api-example", "Flask-API", "4.0"),  # app.py restores names that it may not need
    ("flask-api-example", "Werkzeug", "3.1.6"),  # test_malformed_host_is_refused
    ("flask-flasgger-example", "flasgger", "0.9.8"),  # templates/ replaces a template of 0.9.7.1
]


def test_requirements_keep_out_what_breaks_the_example():
    for directory, name, version in BROKEN:
        [example] = (example for example in EXAMPLES if example.directory == directory)
        [requirement] = (r for r, _ in requirement_lines(example) if r.name == name)
        assert version not in requirement.specifier, f"{directory}: {requirement}"


def test_example_is_tested_on_each_python(example, tox):
    names = {f"py31{minor}-{example.id}" for minor in range(6)} | {f"py310-{example.id}-lowest"}
    missing = names - set(tox["tox"]["env_list"])
    assert not missing, f"tox.ini, env_list lacks {missing}"
    requirements = f"-r {example.directory}/requirements.txt"
    for name in (*names, "recipes", "fuzz", "bench"):
        assert requirements in tox["env"][name]["deps"], f"tox.ini, {name} lacks {requirements}"
    assert requirements in tox["env"]["audit"]["commands"][0]
    for label, environments in tox["tox"]["labels"].items():
        assert any(example.id in name.split("-") for name in environments), f"tox.ini, {label}"
    windows = re.search(r"run -e (\S+,fuzz)\n", TEXT)
    assert example.id in windows[1].split(","), f"test.yml does not test {example.id} on Windows"


def test_each_test_file_is_in_an_environment(tox):
    commands = " ".join(line for env in tox["env"].values() for line in env["commands"])
    named = set(re.findall(r"tests/[\w/.]+", commands))
    for path in (ROOT / "tests").rglob("test_*.py"):
        file = path.relative_to(ROOT)
        assert {file.as_posix(), file.parent.as_posix()} & named, f"tox.ini does not run {file}"


# For maintainers; `connect` is the two others.
ON_DEMAND = {"manifests", "pictures", "bench", "connect"}


def test_environment_runs_by_default_or_weekly_or_is_on_demand(tox):
    weekly = re.findall(r"- run -(?:e|m) (\S+)", TEXT)
    run = {name for word in weekly for name in tox["tox"]["labels"].get(word, [word])}
    left = set(tox["env"]) - set(tox["tox"]["env_list"]) - run - ON_DEMAND
    assert not left, f"neither tox.ini, env_list, nor test.yml runs {left}"


def test_server_of_a_publisher_reaches_no_environment(tox):
    """CONNECT_SERVER is exported by people who publish to their own server."""
    passed_on = {name for settings in tox["env"].values() for name in settings["pass_env"]}
    assert not {"CONNECT_SERVER", "CONNECT_API_KEY", "CONNECT_*", "*"} & passed_on


def test_warnings_are_errors(pytestconfig):
    assert pytestconfig.getini("filterwarnings")[0] == "error"


def test_older_python_is_told_in_one_line():
    code = "import sys; sys.version_info = (3, 9, 18); import shared.commands.serve"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    assert re.fullmatch(r"This needs Python 3\.10 or later, and \S+ is Python 3\.9\.\n", run.stderr)


# Stands for a Python: it tells its prefix, and makes an environment whose tox tells its settings.
STUB = """#!/bin/sh
case "$1" in
-c) cd "${0%/*}"; pwd ;;
-m) mkdir -p .venv/bin .tox; cp "$0" .venv/bin/pip; cp "$0" .venv/bin/tox ;;
run-parallel)
    echo "$TOX_SKIP_MISSING_INTERPRETERS $TOX_SKIP_ENV"; echo summary >.tox/summary.txt; exit 1 ;;
esac
"""


def test_ci_needs_the_declared_pythons_and_prints_the_summary_last(tmp_path):
    (tmp_path / ".ci").mkdir()
    script = shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    for name in ("bash", "sh", "dirname", "mkdir", "cp", "rm", "cat"):
        (tmp_path / name).symlink_to(shutil.which(name))
    for name in ("python3", *(f"python3.{minor}" for minor in (10, 11, 12, 13, 15))):
        (tmp_path / name).write_text(STUB, encoding="utf-8")
        (tmp_path / name).chmod(0o700)
    options = {"env": {"PATH": str(tmp_path)}, "capture_output": True, "encoding": "utf-8"}
    run = subprocess.run(["bash", script], **options)
    assert (run.stdout, run.returncode) == ("false ^$|py314-.*\nsummary\n", 1), run.stderr
    (tmp_path / "python3.12").unlink()
    run = subprocess.run(["bash", script], **options)
    assert run.stdout == "" and run.returncode


def test_workflow_runs_all_tests_with_the_newest_python_and_with_the_oldest(tox):
    newest, oldest = WORKFLOW["jobs"]["readme"]["strategy"]["matrix"]["include"]
    minors = sorted({name[3:5] for name in tox["tox"]["env_list"] if name.startswith("py3")})
    pythons = [f"3.{minor}" for minor in minors]
    assert newest["pythons"].split() == pythons, "the workflow has other Pythons than tox.ini"
    assert oldest["pythons"] == pythons[0] and newest["skip"] == "^$"
    missing = WORKFLOW["env"]["TOX_SKIP_MISSING_INTERPRETERS"]
    assert missing == "false", "the workflow would pass without a Python that it does not find"


def test_conditions_of_the_workflow_name_its_events():
    """Otherwise a weekly job would never run."""
    conditions = re.findall(r"event_name == '(\w+)'", TEXT)
    # YAML 1.1 reads `on` as True.
    assert set(conditions) == {"schedule", "workflow_dispatch"} <= set(WORKFLOW[True])


def test_workflow_names_the_server_of_a_real_connect(tox):
    variables = "TEST_CONNECT_SERVER=$CONNECT_SERVER TEST_CONNECT_API_KEY=$CONNECT_API_KEY"
    [environments] = re.findall(rf"{re.escape(variables)}\s+pipx .+ -e (\S+)", TEXT)
    named = {name for name, env in tox["env"].items() if "TEST_CONNECT_SERVER" in env["pass_env"]}
    assert set(environments.split(",")) == named
