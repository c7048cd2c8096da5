"""What an app answers reaches its visitors as WSGI has it; what is wrong is told in its log."""

import re
import socket
from pathlib import Path

import httpx
import pytest

from shared.connect.running import runner
from shared.connect.server import LocalConnect
from tests.connect.support import deploy_bundle, key_client, make_bundle, read_log, unique

WSGI_APP = Path(__file__).with_name("wsgi_app.py").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def app(api):
    """A content item with an app that answers as the path says."""
    content = api.post("content", json={"name": unique("wsgi")}).json()
    deploy_bundle(api, content, make_bundle({"app.py": WSGI_APP}))
    yield content
    api.delete(f"content/{content['guid']}")


@pytest.fixture
def ask(owner, app):
    """Asks the app."""
    return lambda path, method="GET", **options: owner.request(
        method, app["content_url"] + path, **options
    )


RIGHT = {
    "thread": "True Hello [1]",
    "environ": "[False, False, '127.0.0.1', True, [], [], b'']",
    "written": "written, returned",
    "file": "of a file",
    "generator": "one, two",
    "instance": "instance",
    "Class": "class",
    "bytes_": "as bjoern takes it",
    "sequence": "old sequence",
    "empty": "",
    "reasonless": "reasonless",
}


def row(path):
    """An answer to expect; not all servers have the same environ."""
    marks = [pytest.mark.local] if path == "environ" else []
    return pytest.param(path, RIGHT[path], marks=marks, id=path)


@pytest.mark.parametrize(("path", "text"), [row(path) for path in RIGHT])
def test_answer_arrives(ask, path, text):
    response = ask(path)
    assert [response.is_success, response.text] == [True, text]


def test_answer_may_be_replaced_until_it_is_sent(ask):
    response = ask("replaced")
    assert [response.status_code, response.text, "x-first" in response.headers] == [
        404, "replaced", False
    ]  # fmt: skip


@pytest.mark.local
def test_headers_that_only_a_server_may_send_are_dropped(ask):
    """pallets/werkzeug#2759; a server is free to close connections."""
    response = ask("hop_by_hop")
    assert [response.status_code, response.text] == [200, "plain"]
    kept = {name for name in response.headers if name not in ("date", "server", "via", "vary")}
    assert kept - {"connection"} == {"content-type", "content-length", "x-kept"}
    assert response.headers.get("connection") != "keep-alive"
    assert dict(response.headers.raw)[b"X-Kept"] == b"\xe9"


@pytest.mark.parametrize(
    ("method", "path", "status", "length"),
    [
        ("GET", "no_content", 204, None),
        ("GET", "not_modified", 304, None),
        ("HEAD", "head", 200, "7"),
        ("HEAD", "generator", 200, None),
        ("HEAD", "raises", 500, None),
    ],
)
def test_answer_without_a_body_ends_with_its_head(ask, method, path, status, length):
    response = ask(path, method)
    assert [response.status_code, response.content] == [status, b""]
    assert length in (None, response.headers.get("content-length"))


def test_body_of_a_request_is_a_file_that_ends(ask):
    told = "[b'a\\n', b'bc', b'\\n', [b'd\\n', b'e'], b'']"
    assert ask("reads", "POST", content=b"a\nbc\nd\ne").text == told


@pytest.mark.parametrize("path", ["unread", "echoes"])
def test_large_body_passes_an_app_that_does_not_read_it_at_once(ask, path):
    """Else both sides would wait for the other to read."""
    assert len(ask(path, "POST", content=b"x" * 2**24).content) == 2**24


WRONG = {
    "text_body": "its body has str, not bytes",
    "text_part": "its body has str, not bytes",
    "number_body": "it returned 7, not an iterable of bytes",
    "no_answer": "it returned None, not an iterable of bytes",
    "no_start": "it did not call start_response",
    "twice": "it called start_response twice",
    "bad_status": "its status is 200, not like '200 OK'",
    "word_status": "its status is 'OK', not like '200 OK'",
    "early_status": "its status is '101 Switching Protocols', not like '200 OK'",
    "newline_status": r"it has a line end in 'HTTP/1.1 200 OK\r\nX-Injected: 1'",
    "newline_header": r"it has a line end in 'X-A: 1\r\nX-Injected: 1'",
    "number_header": "its header ('X-A', 1) is not a tuple of two str",
    "list_header": "its header ['X-A', '1'] is not a tuple of two str",
    "long_header": "its header ('X-A', '1', '2') is not a tuple of two str",
    "wide_header": "it has a character in 'X-A: €' which is not Latin-1",
    "spaced_header": "its header 'X A' is no name",
    "bad_length": "its Content-Length is '-1'",
    "nothing_sent": "its body is 5 bytes shorter than its Content-Length",
}


@pytest.mark.local
@pytest.mark.parametrize(("path", "cause"), WRONG.items(), ids=WRONG)
def test_wrong_use_of_wsgi_is_an_error_with_its_cause_in_one_line(owner, app, ask, path, cause):
    response = ask(path)
    assert [response.status_code, response.text] == [500, "Internal Server Error\n"]
    assert "x-injected" not in response.headers
    read_log(owner, app, f"stderr: The app's answer is not WSGI: {cause}.\n")


@pytest.mark.local
@pytest.mark.parametrize("path", ["text_later", "too_short", "raises_later"])
def test_answer_that_fails_later_breaks_off(owner, app, ask, path):
    with pytest.raises(httpx.RemoteProtocolError):
        ask(path)
    told = {"raises_later": "LookupError: no more greetings"}
    read_log(owner, app, told.get(path, "The app's answer is not WSGI: its body"))


@pytest.mark.local
def test_answer_ends_at_its_length(owner, app, ask):
    assert ask("too_long").text == "abcde"
    read_log(owner, app, "its body is longer than its Content-Length")


@pytest.mark.local
@pytest.mark.parametrize(
    ("path", "status", "logged"),
    [
        ("raises", 500, "LookupError: no greeting"),
        ("raises_in_close", 200, "LookupError: not closed"),
    ],
)
def test_exception_has_its_traceback_in_the_log(owner, app, ask, path, status, logged):
    assert ask(path).status_code == status
    log = read_log(owner, app, logged)
    assert re.search(rf"Traceback [^:]*:\n(.+\n)+\S+ stderr: {logged}", log)


ENDINGS = {
    "exits": "SystemExit ended with code 0",
    "exits_told": "SystemExit: no database ended with code 1",
    "exits_hard": "ended with code 3",
    "interrupts": "KeyboardInterrupt was killed by signal 2",
    "generator_exit": "GeneratorExit ended with code 1",
    "own_exception": "app.Own: of its own ended with code 1",
    "exits_in_body": "SystemExit: 4 ended with code 4",
    "exits_in_close": "SystemExit: 5 ended with code 5",
    "exits_in_thread": "ended with code 7",
    "stops_itself": "was killed by signal 15",
    "aborts": "was killed by signal 6",
}


@pytest.mark.local
@pytest.mark.parametrize(("path", "ending"), ENDINGS.items(), ids=ENDINGS)
def test_app_that_ends_itself_ends_its_process(owner, app, ask, path, ending):
    """At once, for the visitor, too; the next request starts another."""
    ask("thread")
    exception, how = re.fullmatch(r"(.*?) ?((?:ended|was killed) .*)", ending).groups()
    if path == "exits_in_body":
        with pytest.raises(httpx.RemoteProtocolError):
            ask(path)
    elif path == "exits_in_close":
        assert ask(path).text == "body"
        read_log(owner, app, f" {how}\n")  # the answer comes first
    else:
        response = ask(path)
        assert [response.status_code, response.text.count("\n")] == [502, 1]
        assert f"The app {how}. Its log: " in response.text
    assert ask("thread").text == "True Hello [1]"
    log = read_log(owner, app, f" {how}\n")
    assert f"stderr: {exception}\n" in log if exception else True


@pytest.mark.local
def test_thread_that_goes_on_does_not_keep_an_app_that_ends_itself(owner, app, ask):
    assert runner.END_SECONDS == 2
    assert ask("exits_with_threads").status_code == 502
    assert ask("thread").text == "True Hello [1]"


@pytest.mark.local
def test_several_processes_are_told_to_the_app(environments):
    with (
        LocalConnect(environments=environments, processes=2) as server,
        key_client(server, "admin", "/__api__/v1/") as api,
    ):
        content = api.post("content", json={"name": "two"}).json()
        deploy_bundle(api, content, make_bundle({"app.py": WSGI_APP}))
        assert api.get(f"{content['content_url']}environ").text.startswith("[False, True,")


@pytest.fixture
def port(server, app, ask):
    """Where the app's process listens."""
    ask("thread")
    with server.contents.get(app["guid"]).active.pool.connected(9) as connection:
        return connection.port


@pytest.mark.local
@pytest.mark.parametrize("token", [{}, {"Connect-Token": ""}, {"Connect-Token": "guessed"}])
def test_app_answers_the_server_only(app, port, token):
    """Whoever asks its port could forge credentials."""
    forged = {"RStudio-Connect-Credentials": '{"user": "admin"}', "Connect-Mount": ""}
    with httpx.Client(
        headers={**forged, **token, "Host": app["content_url"]}, timeout=60
    ) as client:
        response = client.get(f"http://127.0.0.1:{port}/thread")
    assert [response.status_code, response.text] == [403, ""]


@pytest.mark.local
def test_visitor_cannot_break_the_token(ask):
    assert ask("thread", headers={"Connect-Token": "guessed"}).status_code == 200


@pytest.mark.local
@pytest.mark.parametrize("sent", [b"", b"nonsense\r\n\r\n", b"\r\n\r\n"])
def test_nonsense_at_the_port_of_an_app_blocks_nobody(ask, port, sent):
    with socket.create_connection(("127.0.0.1", port)) as idle:
        idle.sendall(sent)
        assert ask("thread").text == "True Hello [1]"
