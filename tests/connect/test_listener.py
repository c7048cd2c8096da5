"""No client takes from others what the server has: time, connections, or disk space."""

import contextlib
import errno
import json
import os
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

import httpx
import pytest

from shared.catalogue import ROOT
from shared.connect import listener
from shared.connect.server import LocalConnect
from tests.connect.support import problem

pytestmark = pytest.mark.local
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


def test_tls_hello_is_answered_at_once(server, connect):
    """rsconnect's own message suggests https."""
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLError):
        context.wrap_socket(connect(), server_hostname="localhost")
    for sent in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0\1"):
        raw = connect()
        raw.sendall(sent)
        assert all_of(raw).endswith(b"starts with http://, not https://.\n")
    assert httpx.get(f"{server.url}/__ping__", timeout=60).status_code == 200


@pytest.mark.parametrize(
    ("limit", "sent"),
    [
        ("IDLE_SECONDS", b""),
        ("IDLE_SECONDS", HEAD + b"\r\n"),
        ("HEADER_SECONDS", b"GE"),
        ("HEADER_SECONDS", HEAD + b"X: y"),
        ("BODY_SECONDS", HEAD + b"Content-Length: 5\r\n\r\n1234"),
        ("BODY_SECONDS", HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n1234"),
    ],
)
def test_request_that_never_ends_is_ended(environments, monkeypatch, connect, limit, sent):
    with LocalConnect(environments=environments) as server:
        connection = connect(server.port)
        connection.sendall(sent)
        monkeypatch.setattr(listener, limit, -1)
        whole = sent.endswith(b"\r\n\r\n")
        assert all_of(connection).startswith(b"HTTP/1.1 200" if whole else b"")


def test_client_that_waits_for_an_answer_is_not_ended(environments, monkeypatch, connect):
    looked, look = threading.Event(), listener.Listener.maintenance

    def look_and_tell(*arguments):
        look(*arguments)
        looked.set()

    def answer(environ, start_response):
        with monkeypatch.context() as patch:
            patch.setattr(listener, "IDLE_SECONDS", -1)
            for _ in range(2):  # the first look may have begun before
                looked.clear()
                looked.wait(60)
        start_response("200 OK", [("Content-Length", "8")])
        return [b"answered"]

    monkeypatch.setattr(listener.Listener, "maintenance", look_and_tell)
    with LocalConnect(environments=environments) as server:
        monkeypatch.setattr(server._server, "application", answer)
        connection = connect(server.port)
        connection.sendall(HEAD + b"Connection: close\r\n\r\n")
        assert all_of(connection).endswith(b"answered")


def test_client_that_does_not_read_is_ended(environments, monkeypatch, connect):
    ended = threading.Event()

    def answer(environ, start_response):
        start_response("200 OK", [])
        try:
            while True:
                yield bytes(2**20)
        finally:
            ended.set()

    with LocalConnect(environments=environments) as server:
        monkeypatch.setattr(server._server, "application", answer)
        connection = connect(server.port)
        connection.sendall(HEAD + b"\r\n")
        connection.recv(1)
        monkeypatch.setattr(listener, "IDLE_SECONDS", -1)
        assert ended.wait(60)


@pytest.fixture
def many_files():
    """Room for more than 1,100 connections in this process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(before[0], 4096), before[1]), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


SERVE = """import resource, sys
files = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
from shared.connect.server import LocalConnect
with LocalConnect() as server:
    print(server.port, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("files", [256, 4096])
def test_idle_connections_keep_nobody_out(many_files, connect, files):
    """select fails at the 1,024th file, and accept at the limit of files (`ulimit -n`)."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", SERVE, str(files)]
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        port = int(process.stdout.readline())
        idle = [connect(port) for _ in range(1100)]
        for connection in idle[:50]:
            with contextlib.suppress(ConnectionError):  # it had to go
                connection.sendall(HEAD)
        assert httpx.get(f"http://127.0.0.1:{port}/__ping__", timeout=60).status_code == 200
        _, errors = process.communicate()
    assert errors == b""


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
    assert caplog.records == []


def test_full_disk_is_507_and_a_fault_of_ours_one_line(server, api, monkeypatch, caplog):
    monkeypatch.setattr(server.contents, "create", no_space)
    assert problem(api.post("content", json={})) == (507, 1)

    def fail(name):
        raise RuntimeError("what\nfailed")

    monkeypatch.setattr(server.contents, "create", fail)
    refused = api.post("content", json={})
    assert problem(refused) == (500, 1)
    assert "RuntimeError: what failed (test_listener.py, line" in refused.json()["error"]
    last = caplog.records[-1]
    assert last.getMessage().startswith("POST /__api__/v1/content: RuntimeError: what failed (")
    assert last.exc_info is None


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_body_of_an_old_client_reaches_the_app(server, connect, public_echo, version):
    """Content-Length counts in HTTP/1.0, which has no chunks, as in the Go of Connect (net/http)."""
    path = httpx.URL(public_echo["content_url"]).raw_path
    connection = connect()
    lines = [
        b"POST %s HTTP/%s" % (path, version.encode()),
        b"Host: localhost",
        b"Connection: close",
        b"Transfer-Encoding: chunked",
        b"Content-Length: 15",
        b"",
        b"5\r\nhello\r\n0\r\n\r\n",
    ]
    connection.sendall(b"\r\n".join(lines))
    head, _, body = all_of(connection).partition(b"\r\n\r\n")
    expected = "hello" if version == "1.1" else "5\r\nhello\r\n0\r\n\r\n"
    assert json.loads(body)["body"] == expected, head


def test_request_without_a_body_is_answered_whatever_it_expects(connect, public_echo):
    for path in (b"/__ping__", httpx.URL(public_echo["content_url"]).raw_path):
        connection = connect()
        head = HEAD.replace(b"/__ping__", path)
        connection.sendall(head + b"Connection: close\r\nExpect: 100-continue\r\n\r\n")
        assert all_of(connection).startswith(b"HTTP/1.1 200 ")


def test_header_that_waitress_refuses_is_one_line(server, connect):
    for path, header, status, start in (
        (b"/", b"Bad header", b"400", b"Invalid header\n"),
        (b"/", b"X: " + b"y" * 2**18, b"431", b"exceeds max_header"),
        (b"/", b"Content-Length: 99999999999", b"413", b"exceeds max_body"),
        (b"/__api__/", b"Content-Length: 99999999999", b"413", b'{"code": 2, "error": "exc'),
    ):
        connection = connect()
        connection.sendall(b"GET %s HTTP/1.1\r\n%s\r\n\r\n" % (path, header))
        head, _, body = all_of(connection).partition(b"\r\n\r\n")
        assert head.split()[1] == status, (head, body)
        assert body.startswith(start) and body.count(b"\n") == 1
