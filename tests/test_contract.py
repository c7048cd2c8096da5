"""The greeting contract, over HTTP, wherever an example is served."""

import pytest

from shared import contract


def check(response, expected):
    """The answer is a 200 whose JSON is the expected value."""
    assert response.status_code == 200
    assert response.headers["Content-Type"] == contract.MEDIA_TYPE
    assert contract.parse(response.content) == expected


@pytest.fixture(params=["list", "item"])
def url(request, example):
    """The URL of the list, and of one item."""
    return {"list": example.list_url, "item": example.item_url.format(lang="en")}[request.param]


def test_list_is_every_greeting_by_language(client, example):
    check(client.get(example.list_url), contract.greetings())


@pytest.mark.parametrize("spelled, lang", contract.LANGUAGES.items(), ids=contract.LANGUAGES)
def test_item_is_the_greeting_of_the_language(client, example, spelled, lang):
    check(client.get(example.item_url.format(lang=spelled)), contract.greeting(lang))


def test_query_changes_nothing(client, url):
    plain, queried = client.get(url), client.get(url, params={"lang": "zh", "x": "é"})
    check(queried, contract.parse(plain.content))


def test_head_is_get_without_a_body(client, url):
    get, head = client.get(url), client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("Content-Type", "Content-Length"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize("method", ["OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
def test_other_methods_say_what_is_allowed(client, url, method):
    response = client.request(method, url, json={"lang": "en", "text": "Goodbye"})
    assert response.status_code == (200 if method == "OPTIONS" else 405)
    allowed = {name.strip() for name in response.headers["Allow"].split(",")}
    assert allowed == {"GET", "HEAD", "OPTIONS"}
