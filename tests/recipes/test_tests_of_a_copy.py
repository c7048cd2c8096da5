"""The tests that a recipe adds to a copy: they pass, and fail when the copy breaks."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from shared.harness.readme import commands
from shared.harness.recipes import SHARED

TITLE = "Test your copy"


def run_tests(copy):
    (command,) = commands(TITLE, SHARED)
    command = command.replace(".venv/bin/python", shlex.quote(sys.executable))
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    command = shlex.split(command)
    return subprocess.run(command, cwd=copy, env=env, capture_output=True, encoding="utf-8")


def test_tests_of_a_copy_pass_with_other_data_and_names_and_leave_nothing_to_upload(cook):
    copy = cook(TITLE, "Search, and answer in pages").copy
    more = {f"lang-{number}": "Hi" for number in range(150)}
    text = json.dumps({"de-CH": "Grüezi", "en": "Hi", "100%": "", "ä b?": 1.5, **more})
    (copy / "greetings.json").write_text(text, encoding="utf-8")
    with (copy / "app.py").open("a", encoding="utf-8") as file:
        file.write("\n\nservice = app\ndel app\n")
    (copy / "app.py").rename(copy / "server.py")
    test = (copy / "test_app.py").read_text(encoding="utf-8")
    test = test.replace("from app import app, db", "from server import service as app, db")
    (copy / "test_app.py").write_text(test, encoding="utf-8")
    before = {path for path in copy.rglob("*") if path.parent.name != "__pycache__"}
    run = run_tests(copy)
    assert run.returncode == 0 and "2 passed" in run.stdout, run.stdout
    assert before == {path for path in copy.rglob("*") if path.parent.name != "__pycache__"}


@pytest.mark.of("restx")
def test_tests_of_a_copy_fail_when_it_breaks(cook):
    copy = cook(TITLE).copy
    app = (copy / "app.py").read_text(encoding="utf-8")
    for old, new in [("json.load(file)", "{'b': 'B', 'a': 'A'}"), ("sorted(", "list(")]:
        app = app.replace(old, new)
    app = app.replace("db.get(lang)", "'Hello'")
    (copy / "app.py").write_text(app, encoding="utf-8")
    run = run_tests(copy)
    assert run.returncode == 1 and "2 failed" in run.stdout, run.stdout
