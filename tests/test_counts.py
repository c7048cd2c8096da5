"""The summary of a tox run: what passed, what failed, and what was not tested."""

import json
import os
import sys

from shared.commands.counts import main


def test_summary_names_what_failed_and_what_was_not_tested(tmp_path, monkeypatch, capsys):
    def write(name, passed, failed=(), skipped=(), tox=None):
        (tmp_path / name).mkdir()
        run = {"tox": tox or os.getppid(), "passed": passed, "failed": failed, "skipped": skipped}
        (tmp_path / name / "tests.json").write_text(json.dumps(run), encoding="utf-8")

    write("connect", 5, skipped=["Python 3.8 is not installed"])
    write("many", 1, failed=[f"test_{number}" for number in range(22)])
    write("restx", 7, failed=["tests/test_app.py::test_list[restx]"])
    write("spec", 9, tox="an earlier run")
    # As a shim of pyenv for a Python that is not chosen.
    for python, code in {"python3.98": 127, "python3.99": 0}.items():
        (tmp_path / python).write_text(f"#!/bin/sh\nexit {code}\n", encoding="ascii")
        (tmp_path / python).chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TOX_WORK_DIR", str(tmp_path))
    names = "connect many restx spec py397-api py398-api py398-restx py399-api lint counts"
    monkeypatch.setattr(sys, "argv", ["counts", *names.split()])
    main()
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "summary.txt").read_text(encoding="utf-8")
    first, *lines = printed.splitlines()
    assert first == "13 passed, 23 failed"
    assert lines[:20] == [f"FAILED many: test_{number}" for number in range(20)]
    assert lines[20:] == [
        "FAILED many: 2 more",
        "FAILED restx: tests/test_app.py::test_list[restx]",
        "not tested in connect: Python 3.8 is not installed",
        "not tested: Python 3.97, 3.98 (not found)",
        "not tested: spec, py399-api (no result)",
    ]
