"""Prints how many tests of this tox run passed, which failed, and what was not tested."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

WITHOUT_TESTS = ("lint", "counts")
NAMED = 20  # failed tests of one environment


def main() -> None:
    """Print the summary of the environments that tox has run, and keep it for `.ci/run`.

    The arguments are the names of the environments that tox runs by default.
    """
    directory = Path(os.environ["TOX_WORK_DIR"])
    runs = {}
    for file in sorted(directory.glob("*/tests.json")):
        run = json.loads(file.read_text(encoding="utf-8"))
        # Other files are from earlier runs.
        if run["tox"] == os.getppid():
            runs[file.parent.name] = run
    text = "\n".join(summary(runs, sys.argv[1:]))
    print(text)
    (directory / "summary.txt").write_text(f"{text}\n", encoding="utf-8")


def summary(runs: dict[str, dict], names: list[str]) -> Iterator[str]:
    """Yield the lines of the summary.

    runs: by the environment, what tests/conftest.py has written. names: of all environments.
    """
    passed = sum(run["passed"] for run in runs.values())
    yield f"{passed} passed, {sum(len(run['failed']) for run in runs.values())} failed"
    for name, run in runs.items():
        yield from (f"FAILED {name}: {test}" for test in run["failed"][:NAMED])
        if more := run["failed"][NAMED:]:
            yield f"FAILED {name}: {len(more)} more"
        yield from (f"not tested in {name}: {reason}" for reason in run["skipped"])
    missing = [name for name in names if name not in runs and name not in WITHOUT_TESTS]
    pythons = sorted({f"3.{name[3:5]}" for name in missing if name.startswith("py3")})
    if unfound := [python for python in pythons if not starts(f"python{python}")]:
        yield f"not tested: Python {', '.join(unfound)} (not found)"
    if others := [name for name in missing if f"3.{name[3:5]}" not in unfound]:
        yield f"not tested: {', '.join(others)} (no result)"


def starts(python: str) -> bool:
    """Whether a Python starts; pyenv leaves commands for those that it does not run."""
    if path := shutil.which(python):
        return subprocess.run([path, "--version"], capture_output=True).returncode == 0
    return False


if __name__ == "__main__":
    main()
