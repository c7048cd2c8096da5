"""A Chromium for the browser tests: one on the machine, or one that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from playwright.sync_api import Browser, Error, Playwright, sync_playwright

# Debian's packages; the first is Chromium without windows, and shows a page in half
# the time.
PACKAGES = ("chromium-headless-shell", "chromium")
COMMANDS = (*PACKAGES, "chromium-browser", "google-chrome", "google-chrome-stable")
# Looked for by Playwright where each platform's installer puts them.
CHANNELS = ("chrome", "msedge")


class NoBrowser(Exception):
    """No Chromium starts on this machine, and none could be installed."""


def is_root() -> bool:
    """Whether this process may install the distribution's packages."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def run(*command: str) -> bool:
    """Name and run a command that installs; return whether it succeeded."""
    print("No browser yet; this can take minutes:", *command, file=sys.stderr)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # What they say when they fail would bury the one line of NoBrowser.
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    return done.returncode == 0


def on_the_path() -> Iterator[dict[str, str]]:
    """Keyword arguments of `BrowserType.launch` for each browser on the PATH."""
    for path in filter(None, map(shutil.which, COMMANDS)):
        yield {"executable_path": path}


def ways() -> Iterator[dict[str, str]]:
    """Keyword arguments of `BrowserType.launch`, best first; the last ones install."""
    yield from on_the_path()
    yield from ({"channel": channel} for channel in CHANNELS)
    yield {}  # the one that Playwright has installed
    if run(sys.executable, "-m", "playwright", "install", "chromium"):
        yield {}
    if is_root() and shutil.which("apt-get"):
        run("apt-get", "update", "-q")
        for package in PACKAGES:
            if run("apt-get", "install", "-qy", package):
                yield from on_the_path()


def launch(playwright: Playwright) -> Browser:
    """Start the first browser that starts, without a window.

    Raises NoBrowser, whose message says in one line what to install.
    """
    broken = []
    # One process for all pages shows a console that it has seen in a third of the time.
    options = {"args": ["--renderer-process-limit=1"]}
    # As root, Chromium starts only without its sandbox.
    options["chromium_sandbox"] = not is_root()
    for way in ways():
        try:
            return playwright.chromium.launch(**options, **way)
        except Error:
            broken += way.values() if "executable_path" in way else []
    tried = f" ({', '.join(broken)} did not start)" if broken else ""
    raise NoBrowser(
        f"No browser for the console tests{tried}: install Chromium or Google Chrome, "
        "or run `python -m playwright install --with-deps chromium`."
    )


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A running Chromium, which stops with the context. Raises NoBrowser."""
    with sync_playwright() as playwright, launch(playwright) as browser:
        yield browser


@pytest.fixture(scope="session")
def browser(pytestconfig):
    """One browser for the whole session."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with ExitStack() as stack:
        with capture.global_and_fixture_disabled():  # for the installation's progress
            try:
                browser = stack.enter_context(open_browser())
            except NoBrowser as error:
                pytest.exit(str(error), returncode=1)
        yield browser


@pytest.fixture(scope="session")
def context(browser, headers):
    """What the session's pages share: a cache, and the headers that they send."""
    with browser.new_context(extra_http_headers=headers) as context:
        yield context


@pytest.fixture
def page(context):
    """A new page, and no cookies."""
    context.clear_cookies()
    with context.new_page() as page:
        yield page
