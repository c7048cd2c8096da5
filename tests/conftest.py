"""The fixtures: an example, where it is served, and a client of it."""

import configparser
import contextlib
import json
import os
from pathlib import Path

import httpx
import pytest

from shared.catalogue import EXAMPLES, ROOT
from shared.harness.loopback import bypass_proxies
from shared.harness.places import NAMED_SERVER, load, served_in_thread

# The mounts of the example in each place; `tls` is `connect` behind a proxy with TLS.
PLACES = {
    "thread": ["content"],
    "bundle": ["root"],
    "connect": ["content", "vanity"],
    "tls": ["content", "vanity"],
}
# For the counts of the weekly run, which are named where they are used.
DEEP = bool(os.environ.get("DEEP"))


def pytest_addoption(parser: pytest.Parser) -> None:
    ids = [example.id for example in EXAMPLES]
    parser.addoption("--example", choices=ids, help="only this example (default: all)")
    parser.addoption("--place", choices=PLACES, default="thread", help="where examples are served")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "having(attribute): for examples whose entry has it")
    config.addinivalue_line("markers", "one_mount: at all mounts in the deep run only")
    config.addinivalue_line("markers", "local: about the local Connect, not for a named server")
    if not (config.option.example or os.environ.get("TOX_ENV_NAME")):
        raise pytest.UsageError("Run the tests with tox, such as `tox run -e restx`.")
    bypass_proxies()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    option = metafunc.config.option
    if "example" in metafunc.fixturenames:
        examples = [e for e in EXAMPLES if option.example in (None, e.id)]
        ids = [example.id for example in examples]
        metafunc.parametrize("example", examples, ids=ids, scope="session")
    if "mount" in metafunc.fixturenames:
        mounts = PLACES[option.place]
        if metafunc.definition.get_closest_marker("one_mount") and not DEEP:
            mounts = mounts[:1]
        metafunc.parametrize("mount", mounts, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of what an example does not have, or a named server is not."""

    def applies(item: pytest.Item) -> bool:
        if NAMED_SERVER and item.get_closest_marker("local"):
            return False
        return all(
            getattr(item.callspec.params["example"], marker.args[0])
            for marker in item.iter_markers("having")
        )

    deselected = [item for item in items if not applies(item)]
    items[:] = [item for item in items if item not in deselected]
    config.hook.pytest_deselected(items=deselected)


def pytest_terminal_summary(terminalreporter) -> None:
    if NAMED_SERVER:
        terminalreporter.write_line(f"On {NAMED_SERVER}, without the tests of the local Connect.")
    # For `python -m shared.commands.counts`, at the end of the tox run with this process.
    if directory := os.environ.get("TOX_ENV_DIR"):
        outcomes = ("passed", "failed", "error", "skipped")
        counts = {name: len(terminalreporter.stats.get(name, ())) for name in outcomes}
        counts = {name: count for name, count in counts.items() if count}
        text = json.dumps({"tox": os.getppid(), "counts": counts})
        Path(directory, "tests.json").write_text(text, encoding="utf-8")


@pytest.fixture(scope="session", autouse=True)
def foreign_directory(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test depends on the directory that it is started from."""
    os.chdir(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="session")
def tox():
    """The settings of tox.ini."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "tox.ini", encoding="utf-8")
    return parser


@pytest.fixture(scope="session")
def app(example):
    """The example's WSGI app, imported for this session."""
    return load(example.path)


@pytest.fixture(scope="session")
def thread(example):
    """The URLs of the example in this process, by mount."""
    with served_in_thread(example) as urls:
        yield urls


@pytest.fixture(scope="session")
def bundle(example):
    """The URLs of the example, served from the bundle that the client ships."""
    from shared.harness.bundle import served_from_bundle

    with served_from_bundle(example) as urls:
        yield urls


@pytest.fixture(scope="session")
def deploy(pytestconfig):
    """Deploys an example to the named server or a local Connect, and returns its URLs."""
    from shared.harness.deployment import deployments, server

    try:
        tls = pytestconfig.option.place == "tls"
        with server(tls) as (url, key), deployments(url, key) as deploy:
            yield deploy
    except LookupError as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture(scope="session")
def connect(example, deploy):
    """The URLs of the deployed example."""
    return deploy(example)


@pytest.fixture(scope="session")
def urls(request, example, pytestconfig):
    """The base URL of the example at each mount of the place."""
    place = pytestconfig.option.place
    return request.getfixturevalue("connect" if place == "tls" else place)


@pytest.fixture(scope="session")
def headers():
    """What every visitor sends: on a named server content is not public."""
    return {"Authorization": f"Key {os.environ['CONNECT_API_KEY']}"} if NAMED_SERVER else {}


@pytest.fixture(scope="session")
def clients(urls, headers):
    """An HTTP client for each mount of the example."""
    with contextlib.ExitStack() as stack:
        # Reading the certificates takes longer than the tests of an example.
        options = {"headers": headers, "timeout": 30}
        yield {
            mount: stack.enter_context(
                httpx.Client(base_url=url, verify=bool(NAMED_SERVER), **options)
            )
            for mount, url in urls.items()
        }


@pytest.fixture(scope="session")
def client(clients, mount):
    """The client of one mount."""
    return clients[mount]


@pytest.fixture(scope="session")
def base(client):
    """The URL of the mount, without a slash at its end; httpx drops slashes that it joins."""
    return str(client.base_url).rstrip("/")


@pytest.fixture(scope="session")
def context(headers):
    """What the pages of one Chromium share: a cache, and the headers that they send."""
    from shared.harness.browser import open_browser

    options = {"extra_http_headers": headers, "ignore_https_errors": True}
    with open_browser() as browser, browser.new_context(**options) as context:
        yield context


@pytest.fixture
def page(context):
    """A new page, without cookies."""
    context.clear_cookies()
    with context.new_page() as page:
        yield page
