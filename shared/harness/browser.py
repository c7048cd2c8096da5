"""A Chromium for the browser tests: the first on this machine that starts."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Error, Playwright, sync_playwright

# The first, of Debian, has no windows, and shows a page in half the time.
COMMANDS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHANNELS = ("chrome", "msedge")  # Playwright knows where each platform installs them
# The certificate of shared/harness/tls.py is for httpx to verify. One process for all pages shows
# a console again in a third of the time.
ARGUMENTS = ["--ignore-certificate-errors", "--renderer-process-limit=1"]


def launch(playwright: Playwright) -> Browser:
    """Start the first browser that starts; raises LookupError when none does."""
    candidates = [{"executable_path": path} for path in map(shutil.which, COMMANDS) if path]
    candidates += [{"channel": channel} for channel in CHANNELS]
    for candidate in [*candidates, {}]:  # the last is the one that Playwright has downloaded
        try:
            return playwright.chromium.launch(args=ARGUMENTS, **candidate)
        except Error:
            continue
    raise LookupError("No browser starts.")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Give a running Chromium; raises LookupError when none starts."""
    with sync_playwright() as playwright, launch(playwright) as browser:
        yield browser


if __name__ == "__main__":
    with open_browser() as browser:
        print(browser.version)
