"""The greeting contract, over HTTP, wherever an example is served."""

import pytest

from shared import contract


def check(response, expected):
    """The answer is a 200 whose JSON is the expected value."""
    told = f"{described(response)} {response.text[:200]!r}"
    assert response.status_code == 200, told
    assert response.headers["Content-Type"] == contract.MEDIA_TYPE, told
    assert contract.parse(response.content) == expected


def described(response):
    """The request and what it got, for the message of a test that fails."""
    request = response.request
    return f"{request.method} {request.url} answers {response.status_code}"


@pytest.fixture(params=["list", "item"])
def url(request, example):
    """The URL of the list, and of one item."""
    return {"list": example.list_url, "item": example.item_url.format(lang="en")}[request.param]


def test_list_is_every_greeting_by_language(client, example):
    check(client.get(example.list_url), contract.greetings())


@pytest.mark.parametrize("spelled, lang", contract.KNOWN.items(), ids=contract.KNOWN)
def test_known_language_has_its_text(client, example, spelled, lang):
    response = client.get(example.item_url.format(lang=spelled))
    check(response, contract.greeting(lang))
    assert contract.parse(response.content)["text"] is not None


@pytest.mark.parametrize("spelled, lang", contract.UNKNOWN.items(), ids=contract.UNKNOWN)
def test_unknown_language_has_no_text(client, example, spelled, lang):
    response = client.get(example.item_url.format(lang=spelled))
    check(response, {"lang": lang, "text": None})


def test_query_changes_nothing(client, url):
    plain, queried = client.get(url), client.get(url, params={"lang": "zh", "x": "é"})
    check(queried, contract.parse(plain.content))


def test_head_is_get_without_a_body(client, url):
    get, head = client.get(url), client.head(url)
    assert head.status_code == 200, described(head)
    assert head.content == b""
    for name in ("Content-Type", "Content-Length"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize("method", contract.WRONG_METHODS)
def test_wrong_method_is_refused_and_says_what_is_allowed(client, url, method):
    response = client.request(method, url, json={"lang": "en", "text": "Goodbye"})
    assert response.status_code == 405, described(response)
    allowed = {name.strip() for name in response.headers["Allow"].split(",")}
    assert allowed == contract.ALLOWED_METHODS


def test_options_says_what_is_allowed(client, url):
    response = client.options(url)
    assert response.status_code == 200, described(response)
    allowed = {name.strip() for name in response.headers["Allow"].split(",")}
    assert allowed == contract.ALLOWED_METHODS
