"""Installs a browser for the console tests, unless one starts already."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

APT_GET = ["apt-get", "install", "-qy"]


def starts() -> bool:
    """Whether a browser starts; in another process, as Playwright's driver may fail to."""
    command = [sys.executable, "-m", "shared.harness.browser"]
    # Playwright leaves the files of a browser that does not start.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        environment = {**os.environ, "TMPDIR": temporary}
        run = subprocess.run(command, env=environment, capture_output=True, check=False)
    return run.returncode == 0


def steps() -> Iterator[list[str]]:
    """Yield the commands that may help, in turn."""
    packages = shutil.which("apt-get") and os.geteuid() == 0
    if packages:
        yield ["apt-get", "update", "-q"]
        yield [*APT_GET, "libatomic1"]  # for Playwright's driver
    yield [sys.executable, "-m", "playwright", "install", "chromium"]
    if packages:
        yield [*APT_GET, "chromium-headless-shell"]
        yield [*APT_GET, "chromium"]


def main() -> None:
    """Install until a browser starts; exits with one line when none does."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    remaining = steps()
    while not starts():
        command = next(remaining, None)
        if command is None:
            sys.exit(
                "No browser starts for the console tests: run "
                "`sudo apt-get install -y libatomic1 chromium` on Debian, or "
                "`.tox/console/bin/python -m playwright install --with-deps chromium`."
            )
        print("No browser starts for the console tests yet. Running:", *command, flush=True)
        subprocess.run(command, env=environment, capture_output=True, check=False)


if __name__ == "__main__":
    main()
