"""The harness sends what `curl` sends, and a recipe whose page shows another answer fails."""

import json
import re

import httpx
import pytest

from shared.catalogue import EXAMPLES
from shared.harness.curl import curl
from shared.harness.recipes import RecipeError, agree, read


def echo(request):
    """Tell what was sent, with two headers of one name."""
    names = {"accept": "accept", "cookie": "cookie", "type": "content-type"}
    echoed = {key: request.headers.get(name) for key, name in names.items()}
    echoed |= {"method": request.method, "body": request.read().decode()}
    return httpx.Response(200, json=echoed, headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])


FORM, JSON = "application/x-www-form-urlencoded", "application/json"
SENT = {
    "": {"method": "GET", "accept": "*/*", "body": ""},
    "-X DELETE -b 'a=1; b=2'": {"method": "DELETE", "cookie": "a=1; b=2"},
    "-d a=1 -d b=2": {"method": "POST", "type": FORM, "body": "a=1&b=2"},
    "--data-binary @sent -H 'content-type: text/csv'": {"type": "text/csv", "body": "in a file"},
    "--json {} -X PUT": {"method": "PUT", "type": JSON, "accept": JSON, "body": "{}"},
}


def test_request_is_what_curl_sends(tmp_path):
    (tmp_path / "sent").write_text("in a file", encoding="utf-8")
    echoed, transport = {}, httpx.MockTransport(echo)
    for options in [*SENT, "-F file=@sent"]:
        printed = curl(f"curl -i {options} http://server/", tmp_path, transport=transport)
        head, _, body = printed.partition("\n\n")
        assert head.startswith("HTTP/1.1 200 OK\n")
        assert "set-cookie: a=1\nset-cookie: b=2" in head.lower()
        echoed[options] = json.loads(body)
    form = echoed.pop("-F file=@sent")["body"]
    assert re.search(r'name="file"; filename="sent"\s+.*\s+in a file', form)
    assert echoed == {options: echoed[options] | sent for options, sent in SENT.items()}


def test_answer_agrees_with_what_a_page_shows():
    assert agree('{"a": 1, "b": 2}', '{"b":2,"a":1}\n')
    assert not agree('{"a": 1}', '{"a": 2}')
    assert agree("id ... of 7\n", "id 5 of 7")
    assert not agree("one\n", "two\n")


def test_code_without_a_place_or_for_no_example_is_refused():
    for before in ("Write:", "In Flask-Nope, at the end of `app.py`:"):
        text = f"{before}\n\n```python\npass\n```\n"
        with pytest.raises(RecipeError, match="Title: "):
            read(EXAMPLES[0], EXAMPLES[0].readme, "Title", text, [])
