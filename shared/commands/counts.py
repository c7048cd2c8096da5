"""Prints how many tests of this tox run passed, which failed, and what was not tested."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

WITHOUT_TESTS = {"lint", "counts"}
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
    text = "\n".join(summary(runs, [name for name in sys.argv[1:] if name not in WITHOUT_TESTS]))
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
    for name, run in runs.items():
        yield from (f"not tested in {name}: {reason}" for reason in run["skipped"])
    missing = [name for name in names if name not in runs]
    pythons = {name: re.sub(r"^py3(\d+)-.*", r"3.\1", name) for name in missing}
    unfound = [python for python in dict.fromkeys(pythons.values()) if not starts(python)]
    if unfound:
        yield f"not tested: Python {', '.join(unfound)} (not found)"
    if others := [name for name in missing if pythons[name] not in unfound]:
        yield f"not tested: {', '.join(others)} (no result)"


def starts(python: str) -> bool:
    """Whether a Python such as 3.14 starts; True for the name of an environment without one."""
    if not python.startswith("3."):
        return True
    try:
        # pyenv leaves a command for a Python that it does not run.
        subprocess.run([f"python{python}", "--version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


if __name__ == "__main__":
    main()
