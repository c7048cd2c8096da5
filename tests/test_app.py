"""What an example does beyond the contract: at start, below mounts, with bad input."""

import json
import re
import shutil

import pytest
from werkzeug.test import EnvironBuilder, run_wsgi_app

from shared.harness.places import load


@pytest.fixture
def copy(example, tmp_path):
    """A copy of the example's directory."""
    return shutil.copytree(example.path, tmp_path / example.directory)


def test_broken_greetings_stop_the_app_at_start(copy):
    file = copy / "greetings.json"
    for content in (b"", b"{'en': 'Hello'}", '{"es": "¡Hola!"}'.encode("latin-1"), b'["Hello"]'):
        file.write_bytes(content)
        with pytest.raises((ValueError, AttributeError)):
            load(copy)
    file.unlink()
    with pytest.raises(FileNotFoundError):
        load(copy)


def test_list_is_sorted_in_any_order_of_the_file(example, copy):
    """For readers who copy the example and put other greetings in."""
    file = copy / "greetings.json"
    file.write_text('{"pt": "Olá", "da": "Hej", "fr": "Salut"}', encoding="utf-8")
    environ = EnvironBuilder(path=example.list_url).get_environ()
    body, _, _ = run_wsgi_app(load(copy), environ)
    listed = json.loads(b"".join(body))
    assert listed == [
        {"lang": "da", "text": "Hej"},
        {"lang": "fr", "text": "Salut"},
        {"lang": "pt", "text": "Olá"},
    ]


def test_form_of_a_post_is_read_whole(app):
    """For readers who copy the example and add a POST."""
    from flask import request

    form = {"lang": ["pt", "fr"], "text": ["Olá & bom dia"], "note": [""]}
    environ = EnvironBuilder(method="POST", data=form).get_environ()
    with app.request_context(environ):
        assert request.form.to_dict(flat=False) == form


BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
LINK = re.compile(
    r"""(?:<(?:a|link|script|form)\b[^>]*?\b(?:href|src|action)=|\burl: )["']([^"']+)"""
)


def linked_urls(client, example, **headers):
    """Every link, form and redirect to this host in the example's own answers, as absolute URLs."""
    base = str(client.base_url).rstrip("/")
    for path in (*example.console_urls, example.list_url.rstrip("/"), f"/{example.list_url}"):
        response = client.get(base + path.format(lang="en"), headers=BROWSER | headers)
        links = LINK.findall(response.text) + response.headers.get_list("Location")
        for link in map(response.url.join, links):
            if link.netloc == client.base_url.netloc:
                yield link
    if example.spec_url:
        yield client.base_url.join(client.get(example.spec_url).json()["basePath"])


def test_links_stay_below_the_mount_of_their_request(example, clients):
    """In turns: what one mount leaves behind would reach the other."""
    for client in (clients["content"], clients["vanity"]) * 2:
        paths = {f"{url.path.rstrip('/')}/" for url in linked_urls(client, example)}
        assert paths
        assert {p for p in paths if not p.startswith(client.base_url.path)} == set()


def test_links_and_redirects_stay_on_https(example, client):
    """Behind TLS, only X-Forwarded-Proto tells the app the scheme."""
    plain = [url for url in linked_urls(client, example) if url.scheme == "http"]
    # An absolute link follows the header, a relative one the client.
    https = linked_urls(client, example, **{"X-Forwarded-Proto": "https"})
    assert len(plain) > len([url for url in https if url.scheme == "http"])


ACCEPTED = {BROWSER["Accept"]: "text/html", "application/json": "application/json"}
ACCEPTED |= dict.fromkeys(["image/png", "bogus", "text/plain, image/*"])


@pytest.mark.having("negotiates")
@pytest.mark.parametrize("accept, media_type", ACCEPTED.items(), ids=ACCEPTED)
def test_answer_is_what_the_client_accepts(client, example, accept, media_type):
    for url in (example.list_url, example.item_url.format(lang="en")):
        response = client.get(url, headers={"Accept": accept})
        assert response.status_code == (200 if media_type else 406)
        assert media_type in (None, response.headers["Content-Type"])
        assert "accept" in response.headers.get("Vary", "").lower()


HELLO = {
    None: "Howdy, stranger.",
    '{"user": "alice", "groups": ["staff"]}': "So nice to see you, alice.",
    '{"user": "josé", "groups": []}': "So nice to see you, josé.",
    '{"user": "jos\\u00e9"}': "So nice to see you, josé.",
    '{"user": "日本"}': "So nice to see you, 日本.",
    '{"user": null}': "Howdy, stranger.",
    '{"user": ""}': "Howdy, stranger.",
    '{"groups": ["staff"]}': "Howdy, stranger.",
    "{}": "Howdy, stranger.",
    "": "Howdy, stranger.",
}
MALFORMED = [
    "alice",
    '{"user": "alice"',
    "[]",
    '"alice"',
    "5",
    "null",
    '{"user": 5}',
    '{"user": 0}',
    '{"user": false}',
    '{"user": ["alice"]}',
    '{"user": {"name": "alice"}}',
    b'{"user": "jos\xe9"}',
    "[" * 60_000,
    '{"user":' * 7_000,
]


@pytest.mark.having("hello_url")
@pytest.mark.parametrize("credentials, message", HELLO.items(), ids=map(str, HELLO))
def test_visitor_is_greeted_by_name(client, example, credentials, message):
    headers = {} if credentials is None else {"RStudio-Connect-Credentials": credentials.encode()}
    response = client.get(example.hello_url, headers=headers)
    assert (response.status_code, response.json()) == (200, {"message": message})


@pytest.mark.having("hello_url")
@pytest.mark.parametrize("credentials", MALFORMED, ids=lambda header: header[:24])
def test_malformed_credentials_greet_nobody(client, example, credentials):
    headers = {"RStudio-Connect-Credentials": credentials}
    response = client.get(example.hello_url, headers=headers)
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/json"
    assert list(response.json()) == ["message"] and response.json()["message"]
    assert "alice" not in response.text


@pytest.mark.parametrize("query", ["%80", "a=%FF&b", "?&=%00"])
def test_odd_query_breaks_no_page(client, example, query):
    for url in (example.list_url, *example.console_urls):
        response = client.get(f"{url.format(lang='en')}?{query}", headers=BROWSER)
        assert response.status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_doubled_slashes_break_no_app(client, base, example, method):
    for path in (f"{example.list_url}//", f"/{example.list_url}"):
        assert client.request(method, base + path).status_code < 500
