"""A Chromium for the browser tests: the first on this machine that starts."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Error, Playwright, sync_playwright

# The first, of Debian, has no windows, and shows a page in half the time.
COMMANDS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHANNELS = ("chrome", "msedge")  # Playwright knows where each platform installs them
# One process for all pages shows a console again in a third of the time.
ARGUMENTS = ["--renderer-process-limit=1"]


def candidates() -> Iterator[dict[str, str]]:
    """Yield arguments of Playwright's `launch`, best first."""
    for path in filter(None, map(shutil.which, COMMANDS)):
        yield {"executable_path": path}
    yield from ({"channel": channel} for channel in CHANNELS)
    yield {}  # the one that Playwright has downloaded


def launch(playwright: Playwright, arguments: list[str]) -> Browser:
    """Start the first browser that starts; raises LookupError when none does."""
    for candidate in candidates():
        try:
            return playwright.chromium.launch(args=arguments, **candidate)
        except Error:
            continue
    raise LookupError("No browser starts.")


@contextmanager
def open_browser(fingerprint: str | None = None) -> Iterator[Browser]:
    """Give a running Chromium; raises LookupError when none starts.

    fingerprint: of a certificate that it trusts, as `TlsProxy` has it.
    """
    trusted = [f"--ignore-certificate-errors-spki-list={fingerprint}"] if fingerprint else []
    with sync_playwright() as playwright, launch(playwright, ARGUMENTS + trusted) as browser:
        yield browser


if __name__ == "__main__":
    with open_browser() as browser:
        print(browser.version)
