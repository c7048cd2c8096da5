"""The fixtures: an example, the place where it is served, and a client of it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from shared.catalogue import EXAMPLES, ROOT
from shared.harness import NAMED_SERVER
from shared.harness.loopback import CONTEXT, bypass_proxies

# Where examples are served: `tls` is `deployed` behind a proxy with TLS, `processes` is `deployed`
# with three processes of each app.
PLACES = ("thread", "deployed", "tls", "processes")

# What a shell exports for its terminal, and tox passes on, changes no test.
for name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TERM"):
    os.environ.pop(name, None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--place", choices=PLACES, default="thread", help="where examples are served")
    parser.addoption("--deep", action="store_true", help="the weekly run: more of everything")


def pytest_configure(config: pytest.Config) -> None:
    if "TOX_ENV_NAME" not in os.environ:
        raise pytest.UsageError("Run the tests with tox, such as `tox run -e restx`.")
    if NAMED_SERVER and not os.environ.get("TEST_CONNECT_API_KEY"):
        raise pytest.UsageError(f"Set TEST_CONNECT_API_KEY, too, to a key of {NAMED_SERVER}.")
    # `py310-restx` tests restx, `connect` tests all.
    factors = os.environ["TOX_ENV_NAME"].split("-")
    named = (example.id for example in EXAMPLES if example.id in factors)
    config.option.example = next(named, None)
    bypass_proxies()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    option = metafunc.config.option
    if "example" in metafunc.fixturenames:
        examples = [e for e in EXAMPLES if option.example in (None, e.id)]
        ids = [example.id for example in examples]
        metafunc.parametrize("example", examples, ids=ids, scope="session")
    if "mount" in metafunc.fixturenames:
        mounts = ["content"] if option.place == "thread" else ["content", "vanity"]
        if metafunc.definition.get_closest_marker("one_mount") and not option.deep:
            mounts = mounts[:1]
        metafunc.parametrize("mount", mounts, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of what an example does not have, or what a run leaves."""

    def applies(item: pytest.Item) -> bool:
        if item.get_closest_marker("deep") and not config.option.deep:
            return False
        if marker := item.get_closest_marker("of"):
            return item.callspec.params["example"].id in marker.args
        return all(
            getattr(item.callspec.params["example"], marker.args[0])
            for marker in item.iter_markers("having")
        )

    deselected = [item for item in items if not applies(item)]
    items[:] = [item for item in items if item not in deselected]
    config.hook.pytest_deselected(items=deselected)


def pytest_terminal_summary(terminalreporter, exitstatus: int) -> None:
    if NAMED_SERVER:
        terminalreporter.write_line(f"On {NAMED_SERVER}.")
    # For `python -m shared.commands.counts`, at the end of the tox run with this process.
    reports = terminalreporter.stats
    failed = [report.nodeid for kind in ("failed", "error") for report in reports.get(kind, ())]
    skipped = {
        report.longrepr[2].removeprefix("Skipped: ") for report in reports.get("skipped", ())
    }
    if exitstatus and not failed:
        failed = ["the tests ended early; its output tells why"]
    run = {"tox": os.getppid(), "passed": len(reports.get("passed", ())), "failed": failed}
    text = json.dumps(run | {"skipped": sorted(skipped)})
    Path(os.environ["TOX_ENV_DIR"], "tests.json").write_text(text, encoding="utf-8")


@pytest.fixture(scope="session", autouse=True)
def foreign_directory(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test depends on the directory that it is started from."""
    os.chdir(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="session")
def deep(pytestconfig):
    """Whether this is the deep run."""
    return pytestconfig.option.deep


@pytest.fixture(scope="session")
def tox():
    """The settings of each environment as tox reads them."""
    keys = ["env_list", "labels", "commands", "deps", "pass_env"]
    command = [sys.executable, "-m", "tox", "config", "--format", "json", "--core", "-e", "ALL"]
    return json.loads(subprocess.check_output([*command, "-k", *keys], cwd=ROOT))


@pytest.fixture(scope="session")
def app(example):
    """The example's WSGI app, imported for this session."""
    from shared.harness.thread import CannotImport, load

    try:
        return load(example.path)
    except CannotImport as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture
def copy(example, tmp_path):
    """A copy of the example's directory, as its readers make one."""
    return shutil.copytree(example.path, tmp_path / example.directory)


@pytest.fixture(scope="session")
def server(pytestconfig):
    """The server to which examples are deployed: the named one, or a local Connect."""
    from shared.harness.servers import server_at

    with server_at(pytestconfig.option.place) as server:
        yield server


@pytest.fixture(scope="session")
def api(server):
    """An HTTP client of the server's API, with the key."""
    url = f"{server.url}/__api__/v1/"
    with httpx.Client(base_url=url, headers=server.headers, timeout=60, verify=CONTEXT) as api:
        yield api


@pytest.fixture(scope="session")
def place(request, example, pytestconfig):
    """The base URL of the example at each mount, by the mount's name."""
    if pytestconfig.option.place == "thread":
        from shared.harness.thread import MOUNTS, mounted, serving

        with serving(mounted(request.getfixturevalue("app"))) as port:
            yield {name: f"http://127.0.0.1:{port}{mount}" for name, mount in MOUNTS.items()}
    else:
        from shared.harness.client import ClientError

        try:
            yield request.getfixturevalue("server").deploy(example)
        except ClientError as error:
            message = f"{example.directory} cannot be deployed: {error}\n{error.output}"
            pytest.exit(message, returncode=1)


@pytest.fixture(scope="session")
def base(place, mount):
    """The URL of the example at one mount, for paths that httpx would clean up."""
    return place[mount]


@pytest.fixture(scope="session")
def client(request, base, pytestconfig):
    """An HTTP client of the example at one mount; deployed content answers its owner only."""
    headers, trust = {}, CONTEXT
    if pytestconfig.option.place != "thread":
        server = request.getfixturevalue("server")
        headers, trust = server.headers, server.trust
    with httpx.Client(base_url=base, headers=headers, timeout=30, verify=trust) as client:
        yield client


@pytest.fixture(scope="session")
def context(server):
    """What the pages of one Chromium share: a cache, and the headers that they send."""
    from playwright.sync_api import expect

    from shared.harness.browser import open_browser

    expect.set_options(timeout=30_000)  # for a busy machine
    headers = server.headers
    with open_browser() as browser, browser.new_context(extra_http_headers=headers) as context:
        yield context


@pytest.fixture
def page(context):
    """A new page, without cookies."""
    context.clear_cookies()
    with context.new_page() as page:
        yield page
