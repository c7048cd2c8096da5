"""The server listens on this machine only, and leaves nothing when it stops."""

import os
import threading
from contextlib import ExitStack, closing
from http.client import HTTPConnection

import psutil
import pytest

from shared.connect.server import LOCK, CannotStart, LocalConnect, lock, remove_dead
from tests.connect.support import ask_echo, deploy_bundle, key_client, make_bundle


def test_only_loopback_is_served(server, owner, echo):
    """Another site's name for this machine would let its page read everything (DNS rebinding)."""
    port = server.port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "localhost"):
        assert owner.get("/", headers={"Host": host}).status_code == 200
    for host in (f"evil.example:{port}", "127.0.0.1.evil.example", "[::1", "é", ""):
        for path in ("/", "/__api__/server_settings", f"/content/{echo['guid']}/"):
            assert owner.get(path, headers={"Host": host.encode()}).status_code == 400
    processes = [psutil.Process(), psutil.Process(ask_echo(owner, echo)["pid"])]
    sockets = [s for process in processes for s in process.net_connections("tcp")]
    listening = {s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


ADDRESSES = ["connect.example.com", "ftp://host", "http://[", "https://a/rsc", "https://a@host"]


def test_server_that_cannot_start_says_why_in_one_line(server, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/proc")
    no_key = "^Cannot start with this API key: .* CONNECT_API_KEY"
    no_address = r"^Cannot start with --address .*connect\.example\.com\.$"
    for options, cause in (
        ({"port": server.port}, "in use.*Choose another --port"),
        ({"port": 99999}, "0-65535.*Choose another --port"),
        ({}, "/proc.* another TMPDIR"),
        *(({"address": address}, no_address) for address in ADDRESSES),
        *(({"api_key": key}, no_key) for key in ("a b", "a\nb", "schlüssel")),
    ):
        with pytest.raises(CannotStart, match=cause):
            LocalConnect(**options)


def test_start_removes_what_killed_servers_left(monkeypatch, tmp_path):
    """No other, nor what is another user's, or not a server's."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name, file in (("connect-killed", LOCK), ("connect-alive", LOCK), ("connect-else", "lock")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
    with lock(tmp_path / "connect-alive"):
        with monkeypatch.context() as patch:
            patch.setattr(os, "getuid", lambda: -1)
            remove_dead()
        assert (tmp_path / "connect-killed").exists()
        LocalConnect().close()
        left = {path.name for path in tmp_path.iterdir()}
    assert left == {"connect-alive", "connect-else"}


def test_stopping_during_requests_leaves_and_prints_nothing(environments, tmp_path, caplog):
    """An app that hangs, and an answer that is half sent; test_builds.py has a build."""
    threads, children = set(threading.enumerate()), set(psutil.Process().children())
    with LocalConnect(environments=environments, processes=2) as server, ExitStack() as stack:
        with key_client(server, "admin", "/__api__/v1/") as api:
            content = api.post("content", json={"name": "echo"}).json()
            deploy_bundle(api, content, make_bundle())
        fifos = {path: tmp_path / path for path in ("hold", "stream")}
        for path, fifo in fifos.items():
            os.mkfifo(fifo)
            connection = stack.enter_context(closing(HTTPConnection("127.0.0.1", server.port)))
            target = f"/content/{content['guid']}/{path}?{fifo}"
            connection.request("GET", target, headers={"Authorization": f"Key {server.api_key}"})
        with fifos["hold"].open("wb"), fifos["stream"].open("wb"):  # once the app reads
            server.close()
    assert [thread for thread in set(threading.enumerate()) - threads if not thread.daemon] == []
    assert set(psutil.Process().children()) <= children
    assert [record.exc_text for record in caplog.records if record.exc_info] == []
