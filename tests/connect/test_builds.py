"""A build ends with its content and with its server, whatever it does, and leaves nothing behind."""

import socket
import threading
from tempfile import TemporaryDirectory

import pytest

from shared.connect.running import environments
from shared.connect.server import LocalConnect
from tests.connect.support import (
    deploy_bundle,
    key_client,
    make_bundle,
    package,
    start_deployment,
)


@pytest.fixture
def index(monkeypatch):
    """A package index that takes uv's request and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as index:
        index.settimeout(60)
        monkeypatch.setenv("UV_NO_INDEX", "0")
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{index.getsockname()[1]}/")
        yield index


@pytest.fixture
def building(index, tmp_path):
    """A server of its own, a content whose build waits for the index, and the connection."""
    with (
        LocalConnect(environments=tmp_path / "environments") as server,
        key_client(server, "admin", "/__api__/v1/") as api,
    ):
        content = api.post("content", json={"name": "content"}).json()
        bundle = make_bundle({"requirements.txt": "package-0q"})
        _, task = start_deployment(api, content, bundle)
        connection, _ = index.accept()
        with connection:
            connection.settimeout(60)
            assert connection.recv(4) == b"GET "
            yield server, api, content, task, connection


def end_of(connection):
    """Read until uv has ended, which closes the connection."""
    while connection.recv(2**16):
        pass
    return True


def unfinished(tmp_path):
    return [path.name for path in (tmp_path / "environments").iterdir() if path.name != "lock"]


def test_deletion_of_content_ends_its_build(building, tmp_path):
    server, api, record, task, connection = building
    (content,) = server.store.all()
    (job,) = content.jobs
    assert unfinished(tmp_path)
    api.delete(f"content/{record['guid']}")
    assert end_of(connection)
    job.report(10**6, 60)  # returns when the build has ended
    assert job.ended and "It has been deleted" in job.entries[-1].text
    assert not content.directory.exists() and not unfinished(tmp_path)
    assert api.get(f"tasks/{task}").status_code == 404


def test_end_of_the_server_ends_a_build(building, tmp_path, monkeypatch):
    """It waits until the build has removed its files, which takes a while."""
    server, _, _, _, connection = building
    remove = TemporaryDirectory.cleanup

    def remove_late(directory):
        threading.Event().wait(0.3)
        remove(directory)

    monkeypatch.setattr(TemporaryDirectory, "cleanup", remove_late)
    server.close()
    assert not unfinished(tmp_path)
    assert end_of(connection)


PRINTING = {
    "one line without an end": "while True: print('x' * 10_000, end='')",
    "lines without an end": "while True: print('x' * 10_000)",
    "uv's words": "print('Because ' * 60_000); raise SystemExit('not built')",
    "many lines": "print('error: Because a, we can conclude that b.\\n' * 60_000); raise SystemExit(1)",
}


@pytest.mark.parametrize("source", PRINTING.values(), ids=PRINTING)
def test_build_that_prints_ends_with_a_short_reason(api, content, monkeypatch, source):
    """uv keeps all of it, so its memory is limited; others are answered meanwhile."""
    monkeypatch.setattr(environments, "MAX_MEMORY", 400 * 1024**2)
    files = {"requirements.txt": "./package", **package("package/", source)}
    _, task = deploy_bundle(api, content, make_bundle(files))
    assert task["code"] == 1 and len(task["error"]) < 1200
