"""Prints how many tests ran in each environment of this tox run."""

import json
import os
from collections import Counter
from pathlib import Path


def main() -> None:
    """Print a line for each environment whose tests this tox has started, and the sum."""
    total = Counter(passed=0, failed=0)
    print("Tests by environment:")
    for file in sorted(Path(os.environ["TOX_WORK_DIR"]).glob("*/tests.json")):
        run = json.loads(file.read_text(encoding="utf-8"))
        # Other files are from earlier runs.
        if run["tox"] == os.getppid():
            total.update(run["counts"])
            print(f"  {file.parent.name:26} {describe(run['counts'])}")
    print(describe(total))


def describe(counts: dict[str, int]) -> str:
    """Such as `12 passed, 1 skipped`."""
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items())


if __name__ == "__main__":
    main()
