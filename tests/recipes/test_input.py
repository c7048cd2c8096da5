"""What a copy with the recipes for input answers to bad input: a 4xx that says what is wrong."""

import io
import json
from urllib.parse import quote

import pytest
from werkzeug.test import Client

from shared.harness.thread import load

BROWSER = {"Accept": "text/html,*/*;q=0.8"}
DATABASE = "Keep the data in a database"
INPUT = ["Add a greeting by POST", "Change and delete a greeting"]
INPUT += ["Answer 404 for an unknown language", "Search, and answer in pages"]
TERE = {"lang": "et", "text": "Tere"}


@pytest.fixture(scope="module")
def client(cook):
    """A client of a copy with all recipes for input."""
    return cook(*INPUT)


@pytest.fixture
def unchanged(client, example):
    """After the test, the list is what it was, and each page still answers."""
    before = client.get(example.list_url).json
    yield
    assert client.get(example.list_url).json == before
    urls = [url.format(lang="en") for url in (example.item_url, *example.console_urls)]
    for url in filter(None, [*urls, example.spec_url]):
        assert client.get(url, headers=BROWSER).status_code == 200, url


def refused(response, code=400):
    """The answer is an error in JSON that says what is wrong; returns its text."""
    assert response.status_code == code
    assert response.mimetype == "application/json", response.text[:200]
    assert response.json.get("errors") or len(response.json["message"]) > 10
    assert "could not understand" not in response.text
    return response.text


BODIES = {
    "empty": b"",
    "malformed": b'{"lang": "et"',
    "not UTF-8": b'{"lang": "et", "text": "\xff"}',
    "5,000 digits": b"9" * 5000,  # more than int() reads
    "a list": b'[{"lang": "et", "text": "Tere"}]',
    "text is missing": b'{"lang": "et"}',
    "text is a number": b'{"lang": "et", "text": 5}',
    "lang is an object": b'{"lang": {}, "text": "Tere"}',
    "lang with a slash": b'{"lang": "et/ee", "text": "Tere"}',
    "lang with a line end": b'{"lang": "et\\n", "text": "Tere"}',
    "an extra field": b'{"lang": "et", "text": "Tere", "more": 1}',
    "half a pair": b'{"lang": "et", "text": "\\ud800"}',
    "half a pair in a key": b'{"lang": "et", "text": "Tere", "\\ud800": 1}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_bad_body_is_refused_and_not_stored(client, example, unchanged, body):
    """flasgger#336, flasgger#293."""
    refused(client.post(example.list_url, data=body, content_type="application/json"))


def test_json_of_any_depth_is_refused(client, example, unchanged):
    """What reads it gives up at another depth than what checks it or writes the message."""
    for depth in (*range(800, 1000, 20), 20_000):
        body = b'{"lang": "et", "text": ' + b"[" * depth + b"]" * depth + b"}"
        refused(client.post(example.list_url, data=body, content_type="application/json"))


@pytest.mark.parametrize("content_type", [None, "text/plain", "multipart/form-data; boundary=é"])
def test_other_content_type_is_refused_and_not_stored(client, example, unchanged, content_type):
    body = json.dumps(TERE).encode()
    answer = client.post(example.list_url, data=body, content_type=content_type)
    refused(answer, answer.status_code if answer.status_code == 415 else 400)


@pytest.mark.parametrize("more", [[], [DATABASE]], ids=["dict", "database"])
def test_greeting_is_added_changed_and_deleted(cook, example, more):
    client = cook(*INPUT, *more)
    for lang, text in {"et": "", "es-419": "5" * 10_000, "zh-Hant": "👋🏽\0\u2028'\"\\%"}.items():
        first, second = {"lang": lang, "text": text}, {"lang": lang, "text": f"{text}!"}
        item = example.item_url.format(lang=lang)
        answer = client.post(example.list_url, json=first)
        assert (answer.status_code, answer.json) == (201, first)
        assert first in client.get(example.list_url).json
        answer = client.put(item, json=second)
        assert (answer.status_code, answer.json) == (200, second)
        assert client.get(item).json == second
        answer = client.delete(item)
        assert (answer.status_code, answer.data) == (204, b"")
        refused(client.get(item), 404)


def test_unknown_greeting_is_not_found_and_another_language_refused(client, example, unchanged):
    """restx#550, restplus#550: the message alone."""
    item = example.item_url.format(lang="tlh")
    body = {"lang": "tlh", "text": "nuqneH"}
    english = example.item_url.format(lang="en")
    for bad in (TERE, {"lang": "en", "text": 5}):
        refused(client.put(english, json=bad))
    for answer in (client.get(item), client.put(item, json=body), client.delete(item)):
        refused(answer, 404)
        assert answer.json == {"message": "There is no greeting in this language."}
    assert client.get(item, headers=BROWSER).status_code == 404


FOUND = {
    "": "ar bn chr en es sw zh",
    "search=HEL": "en",
    "search=%E4%BD%A0": "zh",
    "limit=3&page=3": "zh",
    "limit=100&page=2": "",
}
REFUSED = ["limit=", "limit=1_0", "limit=101", "page=0", f"page={'9' * 5_000}"]


def test_search_and_pages(client, example):
    for query, langs in FOUND.items():
        answer = client.get(f"{example.list_url}?{query}")
        assert (answer.status_code, query) == (200, query)
        assert [item["lang"] for item in answer.json] == langs.split(), query
    for query in REFUSED:
        answer = refused(client.get(f"{example.list_url}?{query}"))
        assert query.partition("=")[0] in answer


def test_search_finds_numbers_and_keys_in_any_script(cook, example):
    copy = cook(*INPUT).copy
    (copy / "greetings.json").write_text('{"你好": 1.5, "ä b%": "Tere"}', encoding="utf-8")
    client = Client(load(copy))
    assert client.get(f"{example.list_url}?search=1.5").json == [{"lang": "你好", "text": 1.5}]
    for lang, text in {"你好": 1.5, "ä b%": "Tere"}.items():
        answer = client.get(example.item_url.format(lang=quote(lang)))
        assert answer.json == {"lang": lang, "text": text}


def test_body_over_the_limit_is_refused_whatever_else_is_there(cook, example):
    client = cook(*INPUT, "Take and send files", "Limit the size of requests")
    config = client.application.config
    assert config["MAX_CONTENT_LENGTH"] > 0
    config["MAX_CONTENT_LENGTH"] = 1000
    item = example.item_url.format(lang="en")
    large = {"lang": "en", "text": "x" * 2000}
    form = {"_content_type": "application/json", "_content": json.dumps(large)}
    answers = [client.post(example.list_url, json=large), client.put(item, json=large)]
    answers += [client.post("/files/", data={"file": (io.BytesIO(b"x" * 2000), "a.txt")})]
    if example.negotiates:
        answers += [client.post(example.list_url, data=form)]
    for answer in answers:
        refused(answer, 413)
    assert client.get(item).json["text"] == "Hello"
    assert client.post(example.list_url, json=TERE).status_code == 201


@pytest.mark.having("negotiates")
def test_form_of_the_page_names_its_method(client, example, unchanged):
    """flask-api#138; the README shows how the page adds and deletes."""
    item = example.item_url.format(lang="en")

    def send(method, content):
        form = {"_content_type": "application/json", "_content": content, "_method": method}
        return client.post(item, data=form, headers=BROWSER)

    for text in ("Hi", "Hello"):
        answer = send("PUT", json.dumps({"lang": "en", "text": text}))
        assert (answer.status_code, answer.mimetype) == (200, "text/html")
        assert client.get(item).json["text"] == text
    assert send("PUT", '{"lang": "en", "text": "\\ud800"}').status_code == 400
    assert send("BREW", "").status_code == 405
