"""Whom a copy lets in: by a key, by a group, from another site, with a session."""

import pytest
from werkzeug.test import Client

from shared import contract
from shared.harness.thread import load

KEY = "Ask for a key"


@pytest.mark.having("spec_url")
@pytest.mark.parametrize("key", ["a-long-random-text", ""])
def test_only_the_right_key_opens(cook, key):
    client = cook(KEY, GREETINGS_KEY=key)
    headers = [{"X-API-Key": text} for text in ("", "A-LONG-RANDOM-TEXT", "clé")]
    for sent in [*headers, {}, {"Authorization": "Key a-long-random-text"}]:
        answer = client.get("/locked", headers=sent)
        assert (answer.status_code, list(answer.json)) == (401, ["message"]), sent
        assert "WWW-Authenticate" not in answer.headers  # a browser would ask for a password
    right = client.get("/locked", headers={"X-API-Key": "a-long-random-text"})
    assert right.status_code == (200 if key else 401)


@pytest.mark.having("spec_url")
def test_console_sends_the_key_with_the_locked_operation(cook, example):
    """flask-restplus#495, #501; flasgger#624, #84, #47."""
    spec = cook(KEY).get(example.spec_url).json
    header = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    assert spec["securityDefinitions"] == {"key": header}
    assert spec["paths"]["/locked"]["get"]["security"] == [{"key": []}]
    assert "security" not in spec["paths"][example.list_url]["get"]


@pytest.mark.of("credentials")
def test_only_members_of_the_group_change_greetings(cook):
    client = cook("Let the members of one group change greetings")
    added = {"lang": "et", "text": "Tere"}
    codes = {
        "{}": 403,
        '{"user": "ann", "groups": ["not-analysts"]}': 403,
        '{"user": "ann", "groups": "analysts"}': 400,
    }
    for header, code in codes.items():
        headers = {"RStudio-Connect-Credentials": header}
        answer = client.post("/greetings/", json=added, headers=headers)
        assert (answer.status_code, list(answer.json)) == (code, ["message"]), header
        for method in ("PUT", "DELETE"):
            answer = client.open("/greetings/en", method=method, headers=headers)
            assert answer.status_code == code, header
    assert client.get("/greetings/").json == contract.greetings()
    member = {"RStudio-Connect-Credentials": '{"user": "ann", "groups": ["b", "analysts"]}'}
    assert client.post("/greetings/", json=added, headers=member).status_code == 201


def test_page_of_one_site_may_ask(cook, example):
    """flask-cors#308, flask-restplus#440"""
    client = cook("Answer pages of other sites (CORS)")
    for origin in ("https://www.example.com", "https://www.example.com.evil.test"):
        headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        preflight = client.options(example.list_url, headers=headers)
        assert preflight.status_code == 200
        for answer in (preflight, client.get(example.list_url, headers=headers)):
            allowed = answer.headers.get("Access-Control-Allow-Origin")
            assert allowed == (None if "evil" in origin else origin)


def test_two_processes_share_a_session(cook):
    first = cook("Keep a session")
    second = Client(load(first.copy))
    assert first.get("/count").json == {"count": 1}
    cookie = first.get_cookie("greetings-session")
    assert cookie.http_only
    second.set_cookie("greetings-session", cookie.value)
    # What other content on the host sets, under Flask's own name.
    second.set_cookie("session", "other")
    assert second.get("/count").json == {"count": 2}
