"""The harness asks what `curl` asks, and a recipe whose page shows another answer fails."""

import json
import re

import httpx
import pytest

from shared.catalogue import EXAMPLES
from shared.harness.curl import CurlError, curl
from shared.harness.recipes import RecipeError, agree, read


def echo(request):
    """Tell what was sent, with two headers of one name."""
    names = {"accept": "accept", "cookie": "cookie", "type": "content-type"}
    echoed = {key: request.headers.get(name) for key, name in names.items()}
    echoed |= {"method": request.method, "body": request.read().decode()}
    return httpx.Response(200, json=echoed, headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])


@pytest.fixture
def ask(tmp_path):
    """Asks the echo server what a command asks, beside the file `sent`; returns what it prints."""
    (tmp_path / "sent").write_text("in a file", encoding="utf-8")
    return lambda command: curl(command, tmp_path, transport=httpx.MockTransport(echo))


FORM, JSON = "application/x-www-form-urlencoded", "application/json"
SENT = [
    ("", {"method": "GET", "accept": "*/*", "body": ""}),
    ("-X DELETE -b 'a=1; b=2'", {"method": "DELETE", "cookie": "a=1; b=2"}),
    ("-d a=1 -d b=2", {"method": "POST", "type": FORM, "body": "a=1&b=2"}),
    ("--data-binary @sent -H 'content-type: text/csv'", {"type": "text/csv", "body": "in a file"}),
    ("--json {} -X PUT", {"method": "PUT", "type": JSON, "accept": JSON, "body": "{}"}),
]


@pytest.mark.parametrize(("options", "sent"), SENT, ids=[options for options, _ in SENT])
def test_request_is_what_curl_sends(ask, options, sent):
    head, _, body = ask(f"curl -i {options} http://server/").partition("\n\n")
    assert head.startswith("HTTP/1.1 200 OK\n")
    assert "set-cookie: a=1\nset-cookie: b=2" in head.lower()
    echoed = json.loads(body)
    assert echoed == echoed | sent


def test_form_has_fields_and_files(ask):
    body = json.loads(ask("curl -F note=mine -F 'file=@sent' http://server/"))["body"]
    assert re.search(r'name="note"\s+mine', body)
    assert re.search(r'name="file"; filename="sent"\s+.*\s+in a file', body)


@pytest.mark.parametrize("command", ["wget {}", "curl --nope {}", "curl {}"])
def test_what_cannot_be_asked_is_one_line(tmp_path, command):
    with pytest.raises(CurlError, match="^.+$"):
        curl(command.format("http://127.0.0.1:9/"), tmp_path)


@pytest.mark.parametrize(
    ("shown", "answer", "same"),
    [
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}\n', True),
        ('{"a": 1}', '{"a": 2}', False),
        ("id ... of 7\n", "id 5 of 7", True),
        ("one\n", "two\n", False),
    ],
)
def test_answer_agrees_with_what_a_page_shows(shown, answer, same):
    assert agree(shown, answer) is same


def section(text):
    """The recipe for Flask-RESTX in the text of a section of its README."""
    return read(EXAMPLES[0], EXAMPLES[0].readme, "Title", text, [])


def test_recipe_with_another_answer_fails(monkeypatch, tmp_path):
    """Also if only the last one differs."""
    monkeypatch.setattr("shared.harness.recipes.curl", lambda command, directory: "1")
    recipe = section("Ask:\n\n```console\n$ curl a\n1\n$ curl b\n2\n```\n")
    with pytest.raises(RecipeError, match="^Title: curl b\nanswers "):
        recipe.check("http://server", tmp_path)


def test_code_without_a_place_or_for_no_example_is_refused():
    for before in ("Write:", "In Flask-Nope, at the end of `app.py`:"):
        with pytest.raises(RecipeError, match="Title: "):
            section(f"{before}\n\n```python\npass\n```\n")
