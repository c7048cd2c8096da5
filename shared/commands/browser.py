"""Installs a browser for the console tests, unless one starts already."""

import os
import shutil
import subprocess
import sys
import tempfile

STEPS = [
    ["apt-get", "update", "-q"],
    ["apt-get", "install", "-qy", "libatomic1"],  # for Playwright's driver
    [sys.executable, "-m", "playwright", "install", "chromium"],
    ["apt-get", "install", "-qy", "chromium-headless-shell"],
    ["apt-get", "install", "-qy", "chromium"],
]


def succeeds(command: list[str], **variables: str) -> bool:
    """Run a command with more variables; return whether it succeeds."""
    return not subprocess.run(command, env=os.environ | variables, capture_output=True).returncode


def starts() -> bool:
    """Whether a browser starts; in another process, as Playwright's driver may fail to."""
    # Playwright leaves the files of a browser that does not start.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        return succeeds([sys.executable, "-m", "shared.harness.browser"], TMPDIR=temporary)


def main() -> None:
    """Install until a browser starts; exits with one line when none does."""
    if starts():
        return
    packages = shutil.which("apt-get") and os.geteuid() == 0
    for command in STEPS:
        if command[0] == "apt-get" and not packages:
            continue
        print("No browser starts for the console tests yet. Running:", *command, flush=True)
        if succeeds(command, DEBIAN_FRONTEND="noninteractive") and starts():
            return
    sys.exit(
        "No browser starts for the console tests: run "
        "`sudo apt-get install -y libatomic1 chromium` on Debian, or "
        "`.tox/console/bin/python -m playwright install --with-deps chromium`."
    )


if __name__ == "__main__":
    main()
