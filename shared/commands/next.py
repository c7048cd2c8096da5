"""Tests each example with the packages of this environment, and says which will break."""

import os
import re
import subprocess
import sys
from importlib.metadata import version

from shared.catalogue import EXAMPLES, Example

PACKAGES = ("Flask", "Werkzeug", "Flask-RESTX", "Flask-API", "flasgger")
# A failure in pytest's summary, or the reason why it stopped.
FAILURE = re.compile(r"^(?:(?:FAILED|ERROR) \S+::|!+ \S*Exit: )(.+?)(?: !+)?$", re.MULTILINE)


def main() -> None:
    """Run the tests that the arguments name; the last line tells which examples break, and how."""
    print("With", ", ".join(f"{name} {version(name)}" for name in PACKAGES), flush=True)
    failures = [(example.id, first_failure(example)) for example in EXAMPLES]
    broken = [f"{name} ({failure})" for name, failure in failures if failure]
    print("Will break:", ", ".join(broken) or "none")
    sys.exit(bool(broken))


def first_failure(example: Example) -> str | None:
    """Run an example's tests, print what pytest prints, and return the first failure, if any."""
    # The first is enough; what is only deprecated does not break.
    options = ["--maxfail=1", "--tb=short", "-W", "default"]
    command = [sys.executable, "-m", "pytest", *options, "--example", example.id, *sys.argv[1:]]
    # On CI, pytest does not cut the lines of its summary.
    environment = {**os.environ, "CI": "true"}
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, encoding="utf-8")
    print(run.stdout, flush=True)
    if run.returncode == 0:
        return None
    failure = FAILURE.search(run.stdout)
    return failure[1] if failure else f"pytest ended with code {run.returncode}"


if __name__ == "__main__":
    main()
