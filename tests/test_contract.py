"""The greeting contract, over HTTP, wherever an example is served."""

import pytest

from shared import contract

# How a URL spells a language, and what the API reads.
LANGS = {lang: lang for lang in contract.GREETINGS} | {
    "%65%6E": "en",
    "xx": "xx",
    "EN": "EN",
    "en-US": "en-US",
    "null": "null",
    "日本語": "日本語",
    "%E6%97%A5%E6%9C%AC": "日本",
    "100%25": "100%",
    "a%20b+c": "a b+c",
    "%3Cb%3E%22": '<b>"',
}


def check(response, expected):
    """The answer is a 200 whose JSON is the expected value."""
    assert response.status_code == 200, described(response)
    assert response.headers["Content-Type"] == "application/json", described(response)
    assert response.json() == expected


def described(response):
    """The request and what it got, for the message of a test that fails."""
    request = response.request
    return f"{request.method} {request.url} answers {response.status_code} {response.text[:200]!r}"


@pytest.fixture(params=["list", "item"])
def url(request, example):
    """The URL of the list, and of one item."""
    return {"list": example.list_url, "item": example.item_url.format(lang="en")}[request.param]


def test_list_is_every_greeting_by_language(client, example):
    check(client.get(example.list_url), contract.greetings())


@pytest.mark.parametrize("spelled, lang", LANGS.items(), ids=LANGS)
def test_item_has_the_text_of_its_language_or_none(client, example, spelled, lang):
    check(client.get(example.item_url.format(lang=spelled)), contract.greeting(lang))


def test_query_changes_nothing(client, url):
    plain, queried = client.get(url), client.get(url, params={"lang": "zh", "x": "é"})
    check(queried, plain.json())


def test_head_is_get_without_a_body(client, url):
    get, head = client.get(url), client.head(url)
    assert head.status_code == 200, described(head)
    assert head.content == b""
    for name in ("Content-Type", "Content-Length"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize("method", ["OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
def test_other_method_says_what_is_allowed(client, url, method):
    response = client.request(method, url, json={"lang": "en", "text": "Goodbye"})
    assert response.status_code == (200 if method == "OPTIONS" else 405), described(response)
    allowed = {name.strip() for name in response.headers["Allow"].split(",")}
    assert allowed == {"GET", "HEAD", "OPTIONS"}
