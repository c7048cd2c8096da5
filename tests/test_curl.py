"""The harness asks what `curl` asks, and a recipe whose page shows another answer fails."""

import json
import re
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from shared.catalogue import EXAMPLES
from shared.harness.curl import CurlError, curl
from shared.harness.recipes import Recipe, RecipeError, agree, read


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        """Log nothing."""


def echo(environ, start_response):
    """Tell what was sent, with two headers of one name."""
    names = ("ACCEPT", "COOKIE", "X_A")
    sent = {name.lower(): environ.get(f"HTTP_{name}") for name in names}
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"] or 0)).decode()
    sent |= {"type": environ["CONTENT_TYPE"], "method": environ["REQUEST_METHOD"], "body": body}
    start_response("200 OK", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return [json.dumps(sent).encode()]


@pytest.fixture
def url():
    """The URL of the echo app."""
    with make_server("127.0.0.1", 0, echo, handler_class=Quiet) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


FORM, JSON = "application/x-www-form-urlencoded", "application/json"
SENT = [
    ("", {"method": "GET", "accept": "*/*", "body": ""}),
    ("-X DELETE -b 'a=1; b=2'", {"method": "DELETE", "cookie": "a=1; b=2"}),
    ("-H 'accept: text/html' -H X-A:é", {"accept": "text/html", "x_a": "Ã©"}),
    ("-d a=1 -d b=2", {"method": "POST", "type": FORM, "body": "a=1&b=2"}),
    ("--data-binary @sent -H 'Content-Type: text/csv'", {"type": "text/csv", "body": "in a file"}),
    ("--json {} -X PUT", {"method": "PUT", "type": JSON, "accept": JSON, "body": "{}"}),
]


@pytest.mark.parametrize(("options", "sent"), SENT, ids=[options for options, _ in SENT])
def test_request_is_what_curl_sends(url, tmp_path, options, sent):
    (tmp_path / "sent").write_text("in a file", encoding="utf-8")
    printed = curl(f"curl -i {options} {url}", tmp_path)
    assert printed.startswith("HTTP/1.0 200 OK\n")
    head, _, body = printed.partition("\n\n")
    assert "set-cookie: a=1\nset-cookie: b=2" in head.lower()
    echoed = json.loads(body)
    assert echoed == echoed | sent


def test_form_has_fields_and_files(url, tmp_path):
    (tmp_path / "sent.txt").write_text("in a file", encoding="utf-8")
    echoed = json.loads(curl(f"curl -F note=mine -F 'file=@sent.txt' {url}", tmp_path))
    assert echoed["type"].startswith("multipart/form-data; boundary=")
    assert re.search(r'name="note"\s+mine', echoed["body"])
    assert re.search(r'name="file"; filename="sent.txt"\s+.*\s+in a file', echoed["body"])


@pytest.mark.parametrize("command", ["wget {}", "curl --nope {}", "curl http://127.0.0.1:9/"])
def test_what_cannot_be_asked_is_one_line(url, tmp_path, command):
    with pytest.raises(CurlError, match="^.+$"):
        curl(command.format(url), tmp_path)


@pytest.mark.parametrize(
    ("shown", "told", "same"),
    [
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}\n', True),
        ('{"a": 1}', '{"a": 2}', False),
        ("id ... of 7\n", "id 5 of 7", True),
        ("one\n", "two\n", False),
    ],
)
def test_answer_agrees_with_what_a_page_shows(shown, told, same):
    assert agree(shown, told) is same


def section(text):
    """The recipe for Flask-RESTX in the text of a section of its README."""
    return read(EXAMPLES[0], EXAMPLES[0].readme, "Title", text, [])


def test_recipe_with_another_answer_fails(url, tmp_path):
    shown = "Ask:\n\n```console\n$ curl http://127.0.0.1:5000/\n{}\n```\n"
    with pytest.raises(RecipeError, match="^Title: curl .*\nanswers "):
        section(shown).check(url[:-1], tmp_path)


def test_code_without_a_place_or_for_no_example_is_refused():
    for before in ("Write:", "In Flask-Nope, at the end of `app.py`:"):
        with pytest.raises(RecipeError, match="Title: "):
            section(f"{before}\n\n```python\npass\n```\n")


def test_recipe_with_code_for_others_only_is_none():
    text = "In Flask-API, at the end of `app.py`:\n\n```python\npass\n```\n"
    text += "\nAsk:\n\n```console\n$ curl http://127.0.0.1:5000/\n{}\n```\n"
    recipe = section(text)
    assert isinstance(recipe, Recipe) and not (recipe.edits or recipe.requests)
