"""A Chromium for the browser tests: the first on this machine that starts."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from playwright.sync_api import Browser, Error, sync_playwright

# The first, of Debian, has no windows, and shows a page in half the time.
COMMANDS = ("chromium-headless-shell", "chromium", "chromium-browser")
CHANNELS = ("chrome", "msedge")  # Playwright knows where each platform installs them
# The certificate of shared/harness/tls.py is for httpx to verify. One process for all pages shows
# a console again in a third of the time.
ARGUMENTS = ["--ignore-certificate-errors", "--renderer-process-limit=1"]


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Give the first browser that starts; raises LookupError when none does."""
    candidates = [{"executable_path": path} for path in map(shutil.which, COMMANDS) if path]
    candidates += [{"channel": channel} for channel in CHANNELS]
    candidates += [{}]  # the one that Playwright has downloaded
    with sync_playwright() as playwright:
        for candidate in candidates:
            with suppress(Error):
                browser = playwright.chromium.launch(args=ARGUMENTS, **candidate)
                break
        else:
            raise LookupError("No browser starts.")
        yield browser
        browser.close()


if __name__ == "__main__":
    with open_browser() as browser:
        print(browser.version)
