"""What an app answers reaches its visitors as WSGI has it; what is wrong is told in its log."""

import re
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


@pytest.mark.parametrize(("path", "text"), RIGHT.items(), ids=RIGHT)
def test_answer_arrives(ask, path, text):
    response = ask(path)
    assert [response.is_success, response.text] == [True, text]


def test_answer_may_be_replaced_until_it_is_sent(ask):
    response = ask("replaced")
    assert [response.status_code, response.text, "x-first" in response.headers] == [
        404, "replaced", False
    ]  # fmt: skip


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
    "text_body": "ValueError: the body has str, not bytes",
    "number_body": "ValueError: the app returned 7, not an iterable of bytes",
    "no_answer": "ValueError: the app returned None, not an iterable of bytes",
    "no_start": "RuntimeError: start_response was not called before body written",
    "twice": "ValueError: start_response is called twice",
    "bad_status": "ValueError: the status 200 is not like '200 OK'",
    "early_status": "ValueError: the status '101 Switching Protocols' is not like '200 OK'",
    "newline_status": r"ValueError: '200 OK\r\nX-Injected: 1' has a line end, or a character",
    "newline_header": r"ValueError: '1\r\nX-Injected: 1' has a line end, or a character",
    "wide_header": "ValueError: '€' has a line end, or a character that is not Latin-1",
    "number_header": "ValueError: the header ('X-A', 1) is not a tuple of two str",
    "spaced_header": "ValueError: the header 'X A' has characters that a name may not have",
    "bad_length": "ValueError: the Content-Length '-1' is not a number",
}


@pytest.mark.parametrize(("path", "cause"), WRONG.items(), ids=WRONG)
def test_wrong_use_of_wsgi_is_an_error_with_its_cause_in_one_line(owner, app, ask, path, cause):
    response = ask(path)
    assert [response.status_code, response.text] == [500, "Internal Server Error\n"]
    assert "x-injected" not in response.headers
    read_log(owner, app, f"stderr: {cause}")


BROKEN = {
    "text_later": "ValueError: the body has str, not bytes",
    "nothing_sent": "ValueError: the body is 5 bytes shorter than its Content-Length",
    "too_short": "ValueError: the body is 2 bytes shorter than its Content-Length",
    "raises_later": "LookupError: no more greetings",
}


@pytest.mark.parametrize(("path", "cause"), BROKEN.items(), ids=BROKEN)
def test_answer_that_fails_later_breaks_off(owner, app, ask, path, cause):
    with pytest.raises(httpx.RemoteProtocolError):
        ask(path)
    read_log(owner, app, f"stderr: {cause}\n")


def test_answer_ends_at_its_length(owner, app, ask):
    assert ask("too_long").text == "abcde"
    read_log(owner, app, "exceeded the number of bytes specified by Content-Length header (5)")


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
    first = r'Traceback [^:]*:\n\S+ stderr:   File "[^"]*app.py"'
    assert re.search(rf"{first}(.+\n)+\S+ stderr: {logged}", log)


ENDINGS = {
    "exits": "SystemExit ended with code 0",
    "exits_told": "SystemExit: no database ended with code 1",
    "exits_hard": "ended with code 3",
    "interrupts": "KeyboardInterrupt ended with code 1",
    "generator_exit": "GeneratorExit ended with code 1",
    "own_exception": "app.Own: of its own ended with code 1",
    "exits_in_body": "SystemExit: 4 ended with code 4",
    "exits_in_close": "SystemExit: 5 ended with code 5",
    "exits_in_thread": "ended with code 7",
    "stops_itself": "was killed by signal 15",
    "aborts": "was killed by signal 6",
}


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


def test_thread_that_goes_on_does_not_keep_an_app_that_ends_itself(owner, app, ask):
    assert runner.END_SECONDS == 2
    assert ask("exits_with_threads").status_code == 502
    assert ask("thread").text == "True Hello [1]"


def test_several_processes_are_told_to_the_app(environments):
    with (
        LocalConnect(environments=environments, processes=2) as server,
        key_client(server, "admin", "/__api__/v1/") as api,
    ):
        content = api.post("content", json={"name": "two"}).json()
        deploy_bundle(api, content, make_bundle({"app.py": WSGI_APP}))
        assert api.get(f"{content['content_url']}environ").text.startswith("[False, True,")
