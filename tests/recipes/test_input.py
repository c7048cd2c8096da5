"""What a copy with the recipes for input answers to bad input: a 4xx that says what is wrong."""

import json
import shutil

import pytest
from werkzeug.test import Client

from shared.harness.recipes import apply, recipes_for
from shared.harness.thread import load

BROWSER = {"Accept": "text/html,*/*;q=0.8"}
ERRORS = "Answer errors in JSON"
DATABASE = "Keep the data in a database"
INPUT = ["Add a greeting by POST", "Change and delete a greeting"]
INPUT += ["Answer 404 for an unknown language", "Search, and answer in pages"]


@pytest.fixture(scope="module")
def made(example, tmp_path_factory):
    """Makes a copy of the example with recipes and more code; returns its directory."""

    def made(*titles, more=""):
        copy = shutil.copytree(example.path, tmp_path_factory.mktemp("made") / "copy")
        recipes = recipes_for(example)
        apply([recipes[title] for title in titles], copy)
        with (copy / "app.py").open("a", encoding="utf-8") as file:
            file.write(more)
        return copy

    return made


@pytest.fixture(scope="module", params=["dict", "database"])
def client(request, made):
    """A client of a copy with all recipes for input, without and with a database."""
    copy = made(*INPUT, *([DATABASE] if request.param == "database" else []))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GREETINGS_DB", str(copy / "greetings.sqlite"))
        yield Client(load(copy))


@pytest.fixture
def unchanged(client, example):
    """After the test, the list is what it was, and each page still answers."""
    before = client.get(example.list_url).json
    yield
    assert client.get(example.list_url).json == before
    urls = [url.format(lang="en") for url in (example.item_url, *example.console_urls)]
    for url in filter(None, [*urls, example.list_url, example.spec_url]):
        assert client.get(url, headers=BROWSER).status_code == 200, url


def refused(response, code=None):
    """The answer is a 4xx in JSON that says what is wrong; returns its message."""
    assert response.status_code == code or (code is None and 400 <= response.status_code < 500)
    assert response.mimetype == "application/json", response.text[:200]
    told = json.dumps(response.json.get("errors") or response.json["message"])
    assert len(told) > 10
    assert "could not understand" not in told
    return told


def nested(depth):
    return b'{"lang": "et", "text": ' + b"[" * depth + b"]" * depth + b"}"


BODIES = {
    "{}": b"{}",
    "[]": b"[]",
    "null": b"null",
    "false": b"false",
    "a text": b'"et"',
    "a number": b"5",
    "a huge number": b"1e999",
    "5,000 digits": b"9" * 5000,
    "NaN": b"NaN",
    "text is missing": b'{"lang": "et"}',
    "lang is missing": b'{"text": "Tere"}',
    "text is null": b'{"lang": "et", "text": null}',
    "text is a number": b'{"lang": "et", "text": 5}',
    "text is a list": b'{"lang": "et", "text": ["Tere"]}',
    "lang is an object": b'{"lang": {}, "text": "Tere"}',
    "lang is true": b'{"lang": true, "text": "Tere"}',
    "an extra field": b'{"lang": "et", "text": "Tere", "more": 1}',
    "a list of one": b'[{"lang": "et", "text": "Tere"}]',
    "lang is empty": b'{"lang": "", "text": "Tere"}',
    "lang with a slash": b'{"lang": "et/ee", "text": "Tere"}',
    "lang is dots": b'{"lang": "..", "text": "Tere"}',
    "lang with a space": b'{"lang": "et ee", "text": "Tere"}',
    "lang with NUL": b'{"lang": "et\\u0000", "text": "Tere"}',
    "lang is endless": b'{"lang": "%s", "text": "Tere"}' % (b"e" * 100_000),
    "malformed": b'{"lang": "et"',
    "two": b'{"lang": "et", "text": "Tere"} {}',
    "empty": b"",
    "not UTF-8": b'{"lang": "et", "text": "\xff"}',
    "half a pair": b'{"lang": "et", "text": "\\ud800"}',
    "half a pair in bytes": b'{"lang": "et", "text": "\xed\xa0\x80"}',
    "half a pair in lang": b'{"lang": "\\udfff", "text": "Tere"}',
    "half a pair in a key": b'{"lang": "et", "text": "Tere", "\\ud800": 1}',
    "nested deeply": b"[" * 100_000,
    **{f"nested {depth}": nested(depth) for depth in (*range(800, 1000, 20), 1000, 20_000)},
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_bad_body_is_refused_and_not_stored(client, example, unchanged, body):
    """flasgger#336, flasgger#293."""
    headers = {"Content-Type": "application/json"}
    refused(client.post(example.list_url, data=body, headers=headers))
    refused(client.put(example.item_url.format(lang="en"), data=body, headers=headers))


# With what a body of a good greeting says it is.
TYPES = ["", "text/plain", "application/xml", "application/octet-stream", "json"]
TYPES += ["multipart/form-data", "multipart/form-data; boundary=é", "application/json/json"]
TYPES += ["application/x-www-form-urlencoded", "text/json", ";"]


@pytest.mark.parametrize("content_type", TYPES)
def test_other_content_type_is_refused_and_not_stored(client, example, unchanged, content_type):
    body = b'{"lang": "en", "text": "Tere"}'
    headers = {"Content-Type": content_type} if content_type else {}
    refused(client.post(example.list_url, data=body, headers=headers))
    refused(client.put(example.item_url.format(lang="en"), data=body, headers=headers))


@pytest.mark.parametrize("text", ["Tere", "", "👋🏽", "a\nb\u0000\u2028", "<b>'\"\\", "5" * 10_000])
@pytest.mark.parametrize("lang", ["et", "es-419", "zh-Hant-TW"])
def test_greeting_is_added_changed_and_deleted(client, example, unchanged, lang, text):
    first, second = {"lang": lang, "text": text}, {"lang": lang, "text": f"{text}!"}
    item = example.item_url.format(lang=lang)
    answer = client.post(example.list_url, json=first)
    assert (answer.status_code, answer.json) == (201, first)
    assert client.get(item).json == first
    listed = client.get(example.list_url).json
    assert first in listed
    assert listed == sorted(listed, key=lambda item: item["lang"])
    answer = client.put(item, json=second)
    assert (answer.status_code, answer.json) == (200, second)
    assert client.get(item).json == second
    answer = client.delete(item)
    assert (answer.status_code, answer.data) == (204, b"")
    refused(client.get(item), 404)


def test_unknown_greeting_is_not_found(client, example, unchanged):
    """restx#550, restplus#550: the message alone."""
    item = example.item_url.format(lang="tlh")
    for answer in (
        client.get(item),
        client.put(item, json={"lang": "tlh", "text": "nuqneH"}),
        client.delete(item),
        client.get(item, headers={"Accept": "application/json"}),
    ):
        assert answer.json == {"message": "There is no greeting in this language."}
        refused(answer, 404)
    assert client.get(item, headers=BROWSER).status_code == 404
    assert client.head(item).status_code == 404


def test_greeting_is_changed_in_the_language_of_its_url_only(client, example, unchanged):
    item = example.item_url.format(lang="en")
    refused(client.put(item, json={"lang": "es", "text": "Hola!"}), 400)


FOUND = {
    "": "ar bn chr en es sw zh",
    "search=HEL": "en",
    "search=%E4%BD%A0": "zh",
    "search=": "ar bn chr en es sw zh",
    "search=%FF": "",
    "search=%00": "",
    "search=%25": "",
    "search=h&search=o": "en es",
    "limit=3": "ar bn chr",
    "limit=3&page=2": "en es sw",
    "limit=3&page=3": "zh",
    "limit=100&page=2": "",
    "page=10000": "",
    "more=1&limit=1": "ar",
    "search=h&limit=1&page=2": "es",
}
REFUSED = ["limit=abc", "limit=0", "limit=-1", "limit=101", "limit=", "limit=1.5", "limit=1e1"]
REFUSED += [f"limit={'9' * 5_000}", "limit=0x1", "limit=%D9%A1%D9", "limit=%00", "limit=null"]
REFUSED += ["page=abc", "page=0", "page=-1", "page=", "page=%FF", f"page={'9' * 5_000}", "page=1,2"]


@pytest.mark.parametrize("query, langs", FOUND.items(), ids=map(repr, FOUND))
def test_search_and_pages(client, example, query, langs):
    answer = client.get(f"{example.list_url}?{query}")
    assert answer.status_code == 200
    assert [item["lang"] for item in answer.json] == langs.split()


@pytest.mark.parametrize("query", REFUSED, ids=lambda query: query[:20])
def test_bad_query_is_refused_by_name(client, example, query):
    name = query.partition("=")[0]
    assert name in refused(client.get(f"{example.list_url}?{query}"), 400)


@pytest.mark.having("spec_url")
def test_recipes_are_in_the_spec(client, example):
    paths = client.get(example.spec_url).json["paths"]
    listed, item = paths[example.list_url], paths[example.item_url]
    assert {parameter["name"] for parameter in listed["get"]["parameters"]} == {
        *("search", "page", "limit")
    }
    assert {*listed, *item} >= {"get", "post", "put", "delete"}
    assert {"200", "404"} <= {*item["put"]["responses"]}
    assert {"204", "404"} <= {*item["delete"]["responses"]}


@pytest.mark.having("negotiates")
def test_forms_of_the_page_add_change_and_delete(client, example, unchanged):
    """flask-api#138."""
    item = example.item_url.format(lang="et")
    sent = {"_content_type": "application/json", "_content": '{"lang": "et", "text": "Tere"}'}
    assert client.post(example.list_url, data=sent, headers=BROWSER).status_code == 201
    sent = {**sent, "_method": "PUT", "_content": '{"lang": "et", "text": "Tere!"}'}
    answer = client.post(item, data=sent, headers=BROWSER)
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert client.get(item).json["text"] == "Tere!"
    bad = {**sent, "_content": '{"lang": "et", "text": "\\ud800"}'}
    assert client.post(item, data=bad, headers=BROWSER).status_code == 400
    assert client.post(item, data={"_method": "DELETE"}, headers=BROWSER).status_code < 300
    assert client.get(item).status_code == 404
    for method in ("", "BREW", "é", "GET", "patch"):
        assert client.post(item, data={"_method": method}, headers=BROWSER).status_code < 500


BROKEN = """
@app.route("/crash/of/app")
def crash():
    raise RuntimeError("secret")


@app.route("/slash/", methods=["GET"])
def slash():
    return {}


@app.route("/refuse/<int:code>")
def refuse(code):
    abort(code, f"Own text of {code}, and \\ud800.")
"""


@pytest.fixture(scope="module")
def errors(made):
    """A client of a copy that answers errors in JSON, and has routes that fail."""
    return Client(load(made(ERRORS, more=BROKEN)))


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html", BROWSER["Accept"]])
def test_errors_are_json_for_everybody(errors, example, accept):
    """werkzeug#2550, flask-api#40."""
    headers = {"Accept": accept}
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        refused(errors.open("/no/such/page", method=method, headers=headers), 404)
    head = errors.head("/no/such/page", headers=headers)
    assert (head.status_code, head.mimetype, head.data) == (404, "application/json", b"")
    for path in (example.list_url, example.item_url.format(lang="en"), "/slash/"):
        answer = errors.patch(path, headers=headers)
        refused(answer, 405)
        assert {"GET", "HEAD", "OPTIONS"} <= set(answer.headers["Allow"].split(", "))
    for code in (400, 404, 410, 415, 422, 429, 503):
        answer = errors.get(f"/refuse/{code}", headers=headers)
        told = {"message": f"Own text of {code}, and \ud800."}
        assert (answer.status_code, answer.json) == (code, told)


def test_crash_tells_nothing_of_the_exception(errors):
    for headers in ({}, BROWSER):
        answer = errors.get("/crash/of/app", headers=headers)
        assert (answer.status_code, answer.mimetype) == (500, "application/json")
        assert "secret" not in answer.text and "RuntimeError" not in answer.text


def test_what_is_no_error_stays(errors, example):
    redirect = errors.get("/slash?a=1")
    assert (redirect.status_code, redirect.headers["Location"]) == (
        308,
        "http://localhost/slash/?a=1",
    )
    assert redirect.mimetype == "text/html"
    for path in (example.list_url, "/slash/"):
        assert errors.head(path).status_code == errors.options(path).status_code == 200


def test_errors_are_json_while_testing(made, example):
    app = load(made(ERRORS, more=BROKEN))
    app.testing = True
    refused(Client(app).get("/no/such/page"), 404)
    refused(Client(app).patch(example.list_url), 405)
    with pytest.raises(RuntimeError, match="secret"):
        Client(app).get("/crash/of/app")


CRASH = """
@ns.route("/crash")
class Crash(Resource):
    def get(self):
        raise RuntimeError("secret")

    def post(self):
        abort(409, "Taken.")
"""


@pytest.mark.of("restx")
def test_resource_answers_as_the_app(made, example):
    client = Client(load(made(ERRORS, more=CRASH)))
    for headers in ({}, BROWSER):
        answer = client.get("/greetings/crash", headers=headers)
        assert (answer.status_code, answer.mimetype) == (500, "application/json")
        assert "secret" not in answer.text
        assert client.post("/greetings/crash", headers=headers).json == {"message": "Taken."}
        redirect = client.get("/greetings?a=1", headers=headers)
        assert redirect.status_code == 308
        assert redirect.headers["Location"] == "http://localhost/greetings/?a=1"
