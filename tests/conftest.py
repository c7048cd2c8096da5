"""The fixtures: an example, the place that serves it, and a client of it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import httpx
import pytest

from shared.catalogue import EXAMPLES
from shared.places import PLACES, load

NAMED_SERVER = os.environ.get("CONNECT_SERVER")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--example",
        metavar="ID",
        help="only this example; several ids, or a tox environment's name that has "
        "them, are joined by dashes (default: all of the catalogue)",
    )
    parser.addoption(
        "--place",
        choices=sorted(PLACES),
        default="thread",
        help="where the examples are served (default: %(default)s)",
    )
    parser.addoption(
        "--pictures",
        metavar="DIR",
        type=lambda name: Path(name).resolve(),
        help="write the consoles' screenshots there",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "having(attribute): only for the examples whose catalogue entry has it",
    )
    config.addinivalue_line(
        "markers", "standin: about the local Connect; not for a server that is named"
    )
    wanted = config.getoption("example")
    parts = wanted.split("-") if wanted else [example.id for example in EXAMPLES]
    config.examples = [example for example in EXAMPLES if example.id in parts]
    if not config.examples:
        known = ", ".join(example.id for example in EXAMPLES)
        raise pytest.UsageError(f"--example {wanted} names none of: {known}")
    if config.getoption("place") == "connect":
        from shared.deployment import named_server

        try:
            named_server()
        except LookupError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_terminal_summary(terminalreporter) -> None:
    if NAMED_SERVER:
        terminalreporter.write_line(
            f"On {NAMED_SERVER}; left out is what is marked standin, about the local one."
        )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    config = metafunc.config
    if "example" in metafunc.fixturenames:
        metafunc.parametrize(
            "example", config.examples, ids=lambda example: example.id, scope="session"
        )
    if "mount" in metafunc.fixturenames:
        mounts = PLACES[config.getoption("place")].mounts
        metafunc.parametrize("mount", mounts, scope="session")


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Deselect a test of a trait for each example that does not have it."""

    def has_its_traits(item: pytest.Item) -> bool:
        return all(
            getattr(item.callspec.params["example"], marker.args[0])
            for marker in item.iter_markers("having")
        )

    def is_possible(item: pytest.Item) -> bool:
        return not (NAMED_SERVER and item.get_closest_marker("standin"))

    deselected = [i for i in items if not (has_its_traits(i) and is_possible(i))]
    items[:] = [item for item in items if item not in deselected]
    config.hook.pytest_deselected(items=deselected)


@pytest.fixture(scope="session", autouse=True)
def foreign_directory(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test may depend on the directory that it is started from."""
    os.chdir(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="session")
def app(example):
    """The example's WSGI app, imported for this test session alone."""
    return load(example.path)


@pytest.fixture(scope="session")
def place(pytestconfig):
    """What serves an example: a context manager of its URLs."""
    with PLACES[pytestconfig.getoption("place")].open() as serve:
        yield serve


@pytest.fixture(scope="session")
def index_url(place):
    """The index page of the server on which all examples are deployed."""
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(place(example))["content"] for example in EXAMPLES]
        yield str(httpx.URL(urls[0]).join("/"))


@pytest.fixture(scope="session")
def headers():
    """What every visitor sends: on a named server content is not public."""
    key = os.environ.get("CONNECT_API_KEY")
    return {"Authorization": f"Key {key}"} if NAMED_SERVER else {}


@pytest.fixture(scope="session")
def clients(example, place, headers):
    """An HTTP client for each mount at which the example is served."""

    def open_client(url: str) -> httpx.Client:
        options = {"base_url": url, "headers": headers, "trust_env": False}
        # Reading the certificates takes longer than the tests of an example.
        return httpx.Client(verify=url.startswith("https:"), timeout=30, **options)

    with contextlib.ExitStack() as stack:
        urls = stack.enter_context(place(example))
        yield {
            mount: stack.enter_context(open_client(url)) for mount, url in urls.items()
        }


@pytest.fixture(scope="session")
def client(clients, mount):
    """The client of one mount."""
    return clients[mount]
