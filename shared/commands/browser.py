"""Installs a browser for the console tests, unless one starts already."""

import os
import shutil
import subprocess
import sys

STEPS = [
    ["apt-get", "update", "-q"],
    ["apt-get", "install", "-qy", "libatomic1"],  # for Playwright's driver
    [sys.executable, "-m", "playwright", "install", "chromium"],
    ["apt-get", "install", "-qy", "chromium-headless-shell"],
    ["apt-get", "install", "-qy", "chromium"],
]


# In another process, as Playwright's driver may fail to start.
START = [sys.executable, "-m", "shared.harness.browser"]


def succeeds(command: list[str]) -> bool:
    """Run a command; return whether it succeeds."""
    variables = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, env=variables, capture_output=True).returncode == 0


def main() -> None:
    """Install until a browser starts; exits with one line when none does."""
    if succeeds(START):
        return
    packages = shutil.which("apt-get") and os.geteuid() == 0
    for command in STEPS:
        if command[0] == "apt-get" and not packages:
            continue
        print("No browser starts for the console tests yet. Running:", *command, flush=True)
        if succeeds(command) and succeeds(START):
            return
    sys.exit(
        "No browser starts for the console tests: run "
        "`sudo apt-get install -y libatomic1 chromium` on Debian, or "
        "`.tox/console/bin/python -m playwright install --with-deps chromium`."
    )


if __name__ == "__main__":
    main()
