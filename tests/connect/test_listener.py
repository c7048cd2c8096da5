"""No client takes from others what the server has: time, connections, or disk space."""

import contextlib
import errno
import json
import os
import resource
import socket
import tempfile
import threading
import time

import httpx
import pytest

from shared.connect.limits import Limits
from shared.connect.server import LocalConnect
from tests.connect.support import problem

HEAD = b"GET /__ping__ HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def connect(server):
    """Opens connections to the server, or to another one."""
    with contextlib.ExitStack() as stack:

        def connect(port=server.port):
            return stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))

        yield connect


def all_of(connection):
    """What comes until the server closes a connection, or resets it."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(2**16):
            received += data
    return received


def test_tls_hello_is_answered_at_once(connect):
    """rsconnect's own message suggests https."""
    connection = connect()
    connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert all_of(connection).endswith(b"starts with http://, not https://.\n")


@pytest.fixture
def short(environments):
    """A server that ends requests at once which take longer than a limit."""
    with contextlib.ExitStack() as stack:

        def short(**limits):
            limits = Limits(look_seconds=0.05, **limits)
            return stack.enter_context(LocalConnect(environments=environments, limits=limits))

        yield short


@pytest.mark.parametrize(
    ("limit", "sent"),
    [
        ("idle_seconds", b""),
        ("header_seconds", HEAD + b"X: y"),
        ("body_seconds", HEAD + b"Content-Length: 5\r\n\r\n1234"),
    ],
)
def test_request_that_never_ends_is_ended(short, connect, limit, sent):
    connection = connect(short(**{limit: 0.5}).port)
    connection.sendall(sent)
    assert all_of(connection) == b""


def test_client_that_waits_for_an_answer_is_not_ended(short, monkeypatch, connect):
    """Nor one that has closed its half, as `nc -N` does."""
    server, looked = short(idle_seconds=0.5), threading.Semaphore(0)
    look = server._listener.maintenance

    def answer(environ, start_response):
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            assert looked.acquire(timeout=60)
        start_response("200 OK", [("Content-Length", "8")])
        return [b"answered"]

    monkeypatch.setattr(server._listener, "maintenance", lambda now: (look(now), looked.release()))
    monkeypatch.setattr(server._listener, "application", answer)
    connection = connect(server.port)
    connection.sendall(HEAD + b"Connection: close\r\n\r\n")
    connection.shutdown(socket.SHUT_WR)
    assert all_of(connection).endswith(b"answered")


def test_client_that_does_not_read_is_ended(short, monkeypatch, connect):
    server, ended = short(idle_seconds=1), threading.Event()

    def answer(environ, start_response):
        start_response("200 OK", [])
        try:
            while True:
                yield bytes(2**20)
        finally:
            ended.set()

    monkeypatch.setattr(server._listener, "application", answer)
    connection = connect(server.port)
    connection.sendall(HEAD + b"\r\n")
    assert ended.wait(60)


def test_idle_connections_keep_nobody_out(short, connect, caplog):
    """Nor those that have sent a part of a request."""
    server = short(connections=10)
    for connection in [connect(server.port) for _ in range(30)]:
        with contextlib.suppress(ConnectionError):  # it had to go
            connection.sendall(HEAD)
    assert httpx.get(f"{server.url}/__ping__", timeout=60).status_code == 200
    assert [r for r in caplog.records if r.levelname != "INFO"] == []


def test_number_of_connections_is_a_third_of_the_files(monkeypatch):
    """As `ulimit -n` has it: a request needs a connection, one to the app, and a file."""
    for files, connections in ((256, 85), (20, 10), (10**6, 5000), (resource.RLIM_INFINITY, 5000)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (files, files))
        assert Limits().most_connections == connections


def no_space(*arguments, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_large_body_on_a_full_disk_is_507(api, stranger, content, monkeypatch, caplog):
    monkeypatch.setattr(tempfile, "TemporaryFile", no_space)
    for body in (b"a" * 2**22, iter([b"a" * 2**20] * 4)):
        refused = api.post(f"content/{content['guid']}/bundles", content=body)
        assert problem(refused) == (507, 1)
        assert "TMPDIR" in refused.json()["error"]
    refused = stranger.post(content["content_url"], content=b"a" * 2**22)
    assert (refused.status_code, refused.text.count("\n")) == (507, 1)
    assert [r for r in caplog.records if r.levelname != "INFO"] == []


def test_full_disk_is_507_and_a_fault_of_ours_one_line(server, api, monkeypatch, caplog):
    monkeypatch.setattr(server.store, "create", no_space)
    assert problem(api.post("content", json={})) == (507, 1)

    def fail(name):
        raise RuntimeError("what\nfailed")

    monkeypatch.setattr(server.store, "create", fail)
    refused = api.post("content", json={})
    assert problem(refused) == (500, 1)
    assert "RuntimeError: what failed (test_listener.py, line" in refused.json()["error"]
    *_, last = (record for record in caplog.records if record.levelname == "ERROR")
    assert last.getMessage().startswith("POST /__api__/v1/content: RuntimeError: what failed (")
    assert last.exc_info is None


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (HEAD + b"Expect: 100-continue", b"200"),
        (HEAD + b"Expect: 100-continue\r\nContent-Length: 5x", b"400"),
        (HEAD + b"Expect: 100-continue\r\nContent-Length: 99999999999", b"413"),
        (HEAD + b"Content-Length: " + b"9" * 5000, b"400"),
        (HEAD + b"X: " + b"y" * 2**18, b"431"),
        (b"GET http://[ HTTP/1.1\r\nHost: localhost", b"400"),
        (b"GET\r\nHost: localhost", b"400"),
    ],
    ids=lambda value: repr(value[-50:]),
)
def test_head_is_answered_or_refused_at_once(connect, caplog, lines, status):
    """In one line, whatever else the client expects."""
    connection = connect()
    connection.sendall(lines + b"\r\nConnection: close\r\n\r\n")
    head, _, body = all_of(connection).partition(b"\r\n\r\n")
    assert head.split()[1] == status, (head, body)
    assert status == b"200" or body.count(b"\n") == 1
    assert [r for r in caplog.records if r.levelname != "INFO"] == []


def test_api_refuses_a_length_in_json(connect):
    connection = connect()
    connection.sendall(b"POST /__api__/v1/content HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n")
    head, _, body = all_of(connection).partition(b"\r\n\r\n")
    assert (head.split()[1], json.loads(body)["code"]) == (b"413", 2)
