"""The last line of a tox run tells how many tests passed, and what was not tested."""

import json
import os

import pytest

from shared.commands.counts import default_environments, expand, last_line, main, trouble_of


@pytest.mark.parametrize(
    ("runs", "line"),
    [
        ({"spec": {"passed": 1200}, "py310-a": {"passed": 1}}, "1201 passed, 0 failed"),
        ({"spec": {"failed": 2, "error": 1}, "py310-a": {}}, "0 passed, 2 failed, 1 error"),
        ({"spec": {"passed": 1}}, "1 passed, 0 failed; not tested: py310-a (no result)"),
        ({}, "0 passed, 0 failed; not tested: spec, py310-a (no result)"),
    ],
)
def test_last_line_tells_sums_and_what_gave_no_result(runs, line):
    assert last_line(runs, ["spec", "py310-a"], lambda command: "") == line


def test_python_that_does_not_run_is_told_once_and_why():
    names = ["spec", "py310-a", "py310-b", "py314-a", "py314-b", "py315-a", "py313-a"]
    trouble = {"python3.10": "", "python3.13": "does not start"}
    line = last_line({"spec": {"passed": 1}}, names, lambda name: trouble.get(name, "not found"))
    untested = (
        "Python 3.14, 3.15 (not found); Python 3.13 (does not start); py310-a, py310-b (no result)"
    )
    assert line == f"1 passed, 0 failed; not tested: {untested}"


def test_command_that_does_not_start_is_told_from_one_that_is_not_there(tmp_path, monkeypatch):
    """As a shim of pyenv for a Python that is not chosen."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, code in {"python3.98": 127, "python3.99": 0}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {code}\n", encoding="ascii")
        (tmp_path / name).chmod(0o700)
    told = [trouble_of(f"python3.{minor}") for minor in (97, 98, 99)]
    assert told == ["not found", "does not start", ""]


def test_names_with_alternatives_are_expanded():
    names = ["py310-a", "py310-b-x", "py311-a", "py311-b-x"]
    assert expand("py3{10, 11}-{a,b-x}") == names


def test_default_environments_are_those_with_tests():
    names = default_environments()
    assert {"deploy", "project", "py310-restx", "py310-restx-lowest"} <= set(names)
    assert not {"lint", "counts", ""} & set(names)


def test_only_what_this_run_has_counted_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TOX_WORK_DIR", str(tmp_path))
    for name, tox in [("project", os.getppid()), ("spec", "an earlier run")]:
        (tmp_path / name).mkdir()
        text = json.dumps({"tox": tox, "counts": {"passed": 3}})
        (tmp_path / name / "tests.json").write_text(text, encoding="utf-8")
    main()
    first, *_, last = capsys.readouterr().out.splitlines()[1:]
    assert first.split() == ["project", "3", "passed"]
    assert last.startswith("3 passed, 0 failed; not tested: ")
    assert " spec," in last and " project," not in last
