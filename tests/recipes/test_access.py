"""Whom a copy lets in: by a key, by a group, from another site, with a session."""

import re

import pytest
from werkzeug.test import Client

from shared import contract
from shared.harness.thread import load

KEY = "Ask for a key"


def test_only_the_right_key_opens(cook, example):
    key = "langer-schlüssel"
    client = cook(KEY, GREETINGS_KEY=key)

    def ask(text, **headers):
        # curl sends UTF-8, which WSGI decodes as Latin-1.
        headers = {"X-API-Key": text.encode().decode("latin-1")} | headers
        return client.get(example.list_url, headers=headers)

    for text in ("", "LANGER-SCHLÜSSEL", "clé", f"{key}x", key[1:]):
        answer = ask(text, Authorization=f"Key {key}")
        assert (answer.status_code, list(answer.json)) == (401, ["message"]), text
        assert "WWW-Authenticate" not in answer.headers  # a browser would ask for a password
    assert ask(key).json == contract.greetings()


def test_key_locks_all_and_lets_the_pages_of_one_site_ask(cook, example):
    key = "a-long-random-text"
    client = cook(KEY, "Answer pages of other sites (CORS)", GREETINGS_KEY=key)
    urls = [example.list_url, example.item_url, example.spec_url, *example.console_urls]
    for url in filter(None, [*urls, "/no/such/page", f"{example.list_url}/"]):
        url = url.format(lang="en")
        for headers in ({}, {"Accept": "text/html"}):
            assert client.get(url, headers=headers).status_code == 401, url
        assert client.post(url).status_code == 401, url
    # flask-cors#308, flask-restplus#440
    for origin in ("https://www.example.com", "https://www.example.com.evil.test"):
        headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        preflight = client.options(example.list_url, headers=headers)
        listed = client.get(example.list_url, headers={**headers, "X-API-Key": key})
        assert (preflight.status_code, listed.status_code) == (200, 200)
        for answer in (preflight, listed):
            allowed = answer.headers.get("Access-Control-Allow-Origin")
            assert allowed == (None if "evil" in origin else origin)


@pytest.mark.having("spec_url")
def test_console_is_open_and_sends_the_key(cook, example):
    """flask-restplus#495, #501; flasgger#624, #84, #47."""
    client = cook(KEY, code='\nLOCKED = ("/greetings/",)\n')
    page = client.get(*example.console_urls)
    links = re.findall(r'(?:src|href)="([^"]+\.(?:js|css))"', page.text)
    assert links
    for url in links:
        with client.get(url) as answer:
            assert answer.status_code == 200, url
    spec = client.get(example.spec_url).json
    header = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    assert (spec["securityDefinitions"], spec["security"]) == ({"key": header}, [{"key": []}])
    for url in (example.list_url, f"{example.list_url}/en", example.item_url.format(lang="en")):
        assert client.get(url, follow_redirects=True).status_code == 401, url


@pytest.mark.of("credentials")
def test_only_members_of_the_group_change_greetings(cook):
    client = cook("Let the members of one group change greetings")
    added = {"lang": "et", "text": "Tere"}
    codes = {"{}": 403, '{"groups": ["not-analysts"]}': 403, '{"groups": "analysts"}': 400}
    for header, code in codes.items():
        headers = {"RStudio-Connect-Credentials": header}
        answers = [client.post("/greetings/", json=added, headers=headers)]
        answers += [client.put("/greetings/en", headers=headers)]
        for answer in [*answers, client.delete("/greetings/en", headers=headers)]:
            assert (answer.status_code, list(answer.json)) == (code, ["message"]), header
    assert client.get("/greetings/").json == contract.greetings()


def test_two_processes_share_a_session(cook):
    first = cook("Keep a session")
    second = Client(load(first.copy))
    assert first.get("/count").json == {"count": 1}
    cookie = first.get_cookie("greetings-session")
    second.set_cookie("greetings-session", cookie.value)
    # What other content on the host sets, under Flask's own name.
    second.set_cookie("session", "other")
    assert second.get("/count").json == {"count": 2}
