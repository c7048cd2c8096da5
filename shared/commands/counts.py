"""Prints how many tests ran in each environment of this tox run, and what was not tested."""

import configparser
import functools
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from shared.catalogue import ROOT

WITHOUT_TESTS = {"lint", "counts"}


def main() -> None:
    """Print a line for each environment whose tests this tox has started, and the sum."""
    runs = {}
    for file in sorted(Path(os.environ["TOX_WORK_DIR"]).glob("*/tests.json")):
        run = json.loads(file.read_text(encoding="utf-8"))
        # Other files are from earlier runs.
        if run["tox"] == os.getppid():
            runs[file.parent.name] = run["counts"]
    print("Tests by environment:")
    for name, counts in runs.items():
        print(f"  {name:26} {describe(counts)}")
    print(last_line(runs, default_environments(), trouble_of))


def default_environments() -> list[str]:
    """The names of the environments with tests that tox runs when none is named."""
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    names = [name for line in tox["tox"]["env_list"].splitlines() for name in expand(line)]
    return [name for name in names if name and name not in WITHOUT_TESTS]


def expand(text: str) -> list[str]:
    """The texts that `{a,b}` in a text stands for, each with one of the alternatives."""
    head, brace, rest = text.partition("{")
    if not brace:
        return [text]
    alternatives, _, tail = rest.partition("}")
    return [head + name.strip() + end for name in alternatives.split(",") for end in expand(tail)]


def last_line(
    runs: dict[str, dict[str, int]], names: list[str], trouble: Callable[[str], str]
) -> str:
    """The sum of the runs' counts, and which of the environments have none, and why.

    trouble: tells why a Python does not run, like `trouble_of`.
    """
    total = Counter(passed=0, failed=0)
    for counts in runs.values():
        total.update(counts)
    untested: dict[str, list[str]] = {}  # by the reason
    for name in names:
        python = re.match(r"py3(\d+)-", name)
        if name in runs:
            continue
        why = trouble(f"python3.{python[1]}") if python else ""
        untested.setdefault(why or "no result", []).append(f"3.{python[1]}" if why else name)
    reasons = [
        f"{'' if why == 'no result' else 'Python '}{', '.join(dict.fromkeys(what))} ({why})"
        for why, what in sorted(untested.items(), key=lambda item: item[0] == "no result")
    ]
    return "; ".join([describe(total), *([f"not tested: {'; '.join(reasons)}"] if reasons else [])])


@functools.cache
def trouble_of(command: str) -> str:
    """Return why a Python does not run: `not found`, `does not start`, or nothing."""
    if not shutil.which(command):
        return "not found"
    # pyenv leaves a command for a Python that it does not run.
    run = subprocess.run([command, "--version"], capture_output=True, check=False)
    return "does not start" if run.returncode else ""


def describe(counts: dict[str, int]) -> str:
    """Such as `12 passed, 1 skipped`."""
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items())


if __name__ == "__main__":
    main()
