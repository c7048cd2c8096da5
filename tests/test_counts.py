"""The summary of a tox run: what passed, what failed, and what was not tested."""

import json
import os
import subprocess
import sys

from shared.catalogue import ROOT
from shared.commands.counts import main

TESTS = """
import pytest

@pytest.fixture
def broken(): raise OSError

def test_passes(): ...
def test_fails(): assert False
def test_error(broken): ...
def test_skipped(): pytest.skip("Python 3.8 is not installed")
"""


def test_summary_names_what_failed_and_what_was_not_tested(tmp_path, monkeypatch, capsys):
    for name in ("restx", "many", "spec"):
        (tmp_path / name).mkdir()
    file = tmp_path / "test_some.py"
    file.write_text(TESTS, encoding="utf-8")
    variables = {"TOX_ENV_NAME": "restx", "TOX_ENV_DIR": str(tmp_path / "restx")}
    variables["PYTEST_ADDOPTS"] = f"-p tests.conftest --rootdir={tmp_path}"
    command = [sys.executable, "-m", "pytest", file]
    subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True)
    many = {"passed": 9, "failed": [f"test_{number}" for number in range(22)], "skipped": []}
    for name, tox in {"many": os.getpid(), "spec": "of an earlier run"}.items():
        text = json.dumps(many | {"tox": tox})
        (tmp_path / name / "tests.json").write_text(text, encoding="utf-8")
    # As a shim of pyenv for a Python that is not chosen.
    for python, code in {"python3.98": 127, "python3.99": 0}.items():
        (tmp_path / python).write_text(f"#!/bin/sh\nexit {code}\n", encoding="ascii")
        (tmp_path / python).chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TOX_WORK_DIR", str(tmp_path))
    monkeypatch.setattr(os, "getppid", os.getpid)
    names = "many restx spec py397-api py398-api py398-restx py399-api lint counts"
    monkeypatch.setattr(sys, "argv", ["counts", *names.split()])
    main()
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "summary.txt").read_text(encoding="utf-8")
    assert printed.splitlines() == [
        "10 passed, 24 failed",
        *(f"FAILED many: test_{number}" for number in range(20)),
        "FAILED many: 2 more",
        "FAILED restx: test_some.py::test_fails",
        "FAILED restx: test_some.py::test_error",
        "not tested in restx: Python 3.8 is not installed",
        "not tested: Python 3.97, 3.98 (not found)",
        "not tested: spec, py399-api (no result)",
    ]
