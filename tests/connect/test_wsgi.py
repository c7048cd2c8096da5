"""What an app answers reaches its visitors as WSGI has it; what is wrong is told in its log."""

from pathlib import Path

import httpx
import pytest

from tests.connect.support import deploy_bundle, make_bundle, read_log

WSGI_APP = Path(__file__).with_name("wsgi_app.py").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def app(api):
    """A content item with an app that answers as the path says."""
    content = api.post("content", json={}).json()
    deploy_bundle(api, content, make_bundle({"app.py": WSGI_APP}))
    return content


@pytest.fixture
def ask(owner, app):
    """Asks the app."""
    return lambda path, method="GET", **options: owner.request(
        method, app["content_url"] + path, **options
    )


RIGHT = {"thread": "True", "file": "of a file", "bytes_": "as bjoern takes it", "empty": ""}


@pytest.mark.parametrize(("path", "text"), RIGHT.items(), ids=RIGHT)
def test_answer_arrives(ask, path, text):
    response = ask(path)
    assert [response.is_success, response.text] == [True, text]


def test_headers_that_only_a_server_may_send_are_dropped(ask):
    """pallets/werkzeug#2759; a server is free to close connections."""
    response = ask("hop_by_hop")
    assert [response.status_code, response.text] == [200, "plain"]
    kept = {name for name in response.headers if name not in ("date", "server", "via", "vary")}
    assert kept - {"connection"} == {"content-type", "content-length", "x-kept"}
    assert response.headers.get("connection") != "a"
    assert dict(response.headers.raw)[b"X-Kept"] == b"\xe9"


def test_answer_without_a_body_ends_with_its_head(ask):
    """The next one comes on the same connection."""
    for method, path, status, length in [
        ("GET", "no_content", 204, None),
        ("GET", "not_modified", 304, None),
        ("HEAD", "head", 200, "7"),
    ] * 2:
        response = ask(path, method)
        assert [response.status_code, response.content] == [status, b""]
        assert length in (None, response.headers.get("content-length"))


WRONG = {
    "text_body": "TypeError: the body has str, not bytes",
    "early_status": "ValueError: the status '101 Switching Protocols' is not like '200 OK'",
    "newline_header": "ValueError: carriage return/line feed character present in header value",
    "wide_header": r"UnicodeEncodeError: 'latin-1' codec can't encode character '\u20ac'",
}


@pytest.mark.parametrize(("path", "cause"), WRONG.items(), ids=WRONG)
def test_wrong_use_of_wsgi_is_an_error_with_its_cause_in_one_line(owner, app, ask, path, cause):
    response = ask(path)
    assert [response.status_code, response.text] == [500, "Internal Server Error\n"]
    assert "x-injected" not in response.headers
    read_log(owner, app, f"stderr: {cause}")


BROKEN = {
    "too_short": "application returned too few bytes (3) for specified Content-Length (5)",
    "raises_later": "LookupError: no more greetings",
    "exits_later": "SystemExit: no more greetings",
}


@pytest.mark.parametrize(("path", "cause"), BROKEN.items(), ids=BROKEN)
def test_answer_that_fails_later_breaks_off(owner, app, ask, path, cause, caplog):
    with pytest.raises(httpx.RemoteProtocolError):
        ask(path)
    read_log(owner, app, f"stderr: {cause}")
    assert [record for record in caplog.records if record.levelname != "INFO"] == []


ENDINGS = {"exits": "SystemExit: no database", "exception": "app.Stop: no greeting"}


@pytest.mark.parametrize(("path", "exception"), ENDINGS.items(), ids=ENDINGS)
def test_app_that_ends_itself_ends_its_process(owner, app, ask, path, exception):
    """Whatever its threads do. The next request starts another."""
    response = ask(path)
    assert [response.status_code, response.text.count("\n")] == [502, 1]
    assert "The app ended with code 1. Its log: " in response.text
    assert ask("thread").text == "True"
    log = read_log(owner, app, " ended with code 1\n")
    assert f"stderr: {exception}\n" in log
