"""What an example does beyond the contract: at start, below its mounts, with bad input."""

import os
import re
from importlib.metadata import version
from urllib.parse import urlsplit

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app

from shared.harness.thread import MOUNTS, CannotImport, load, mounted

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
# A link, form or script of a page, and the URL of the spec in a Swagger console.
LINK = re.compile(
    r"""(?:<(?:a|link|script|form)\b[^>]*?\b(?:href|src|action)=|\burl: )["']([^"']+)"""
)


def test_lowest_environment_has_the_lowest_versions(example):
    """Others have what the requirements allow, and those of `next` what they do not."""
    environment = os.environ.get("TOX_ENV_NAME", "")
    for line in (example.path / "requirements.txt").read_text(encoding="utf-8").splitlines():
        requirement = Requirement(line.partition("#")[0].strip())
        allowed = requirement.specifier
        if environment.endswith("-lowest"):
            (bound,) = (each.version for each in allowed if each.operator == ">=")
            allowed = SpecifierSet(f"=={bound}")
        installed = version(requirement.name)
        fits = installed in allowed or environment.startswith("next")
        assert fits, f"{requirement.name}{allowed} is wanted in {environment}, not {installed}"


def test_broken_greetings_stop_the_app_at_start(copy):
    file = copy / "greetings.json"
    for content, error in [("", "JSONDecodeError"), ('{"es": "¡Hola!"}', "UnicodeDecodeError")]:
        file.write_text(content, encoding="latin-1")
        with pytest.raises(CannotImport, match=error):
            load(copy)
    file.unlink()
    with pytest.raises(CannotImport, match="FileNotFoundError"):
        load(copy)


def test_list_is_sorted_in_any_order_of_the_file(example, copy):
    file = copy / "greetings.json"
    file.write_text('{"pt": "Olá", "da": "Hej", "fr": "Salut"}', encoding="utf-8")
    listed = Client(load(copy)).get(example.list_url).json
    assert [item["lang"] for item in listed] == ["da", "fr", "pt"]


def everywhere(example, *paths):
    """Ask a newly started app in turns; give the mount, scheme, host and answers of each turn.

    What it keeps of one turn would reach the others. Connect passes on the visitor's host, and
    only X-Forwarded-Proto tells the scheme.
    """
    mounts = MOUNTS.values()
    turns = [(mount, "http", "connect.test") for mount in (*mounts, "")]
    turns += [(mount, "https", "connect.test") for mount in mounts]
    turns += [(mount, "http", "other.test:8080") for mount in mounts]
    app = load(example.path)
    app.testing = True  # an exception of the app is then one of the test
    client = Client(mounted(app))
    for mount, scheme, host in turns:
        headers = {**BROWSER, "Host": host, "X-Forwarded-Proto": scheme}
        yield mount, scheme, host, [client.get(mount + path, headers=headers) for path in paths]


def paths_of(example):
    """The paths of the consoles, and one that redirects to the list."""
    paths = (*example.console_urls, example.list_url.rstrip("/"))
    return [path.format(lang="en") for path in paths]


def links_of(answers):
    """All that a list of answers links to: in their pages, and where they redirect to."""
    for answer in answers:
        yield from LINK.findall(answer.text)
        yield from answer.headers.getlist("Location")


def test_links_and_redirects_stay_on_the_scheme_host_and_mount_of_their_request(example):
    absolute = 0
    for mount, scheme, host, answers in everywhere(example, *paths_of(example)):
        own = [link for link in links_of(answers) if ".test" in link or link.startswith("/")]
        assert own  # others lead to the home pages of the packages
        for link in own:
            start = f"{scheme}://{host}" if ".test" in link else ""
            where = f"{link} answers a request by {scheme} below {mount or '/'}"
            assert link.startswith(f"{start}{mount}/"), where
            others = {f"{start}{other}/" for other in MOUNTS.values()} - {f"{start}{mount}/"}
            assert mount or not link.startswith(tuple(others)), where
            absolute += bool(start)
    assert absolute


# noirbizarre/flask-restplus#755, flasgger/flasgger#607
@pytest.mark.having("spec_url")
def test_base_path_of_the_spec_is_the_mount_of_its_request(example):
    """In Swagger 2 or OpenAPI 3."""
    for mount, _, _, [spec] in everywhere(example, example.spec_url):
        url = spec.json["basePath"] if "swagger" in spec.json else spec.json["servers"][0]["url"]
        assert urlsplit(url).path.rstrip("/") == mount


def test_only_the_scheme_is_taken_from_a_proxy(example):
    """With the other headers, a client could send visitors to another host."""
    forged = {"X-Forwarded-Host": "evil.test", "X-Forwarded-Port": "99"}
    forged |= {"X-Forwarded-Prefix": "/evil"}
    client = Client(load(example.path))
    for path in (*paths_of(example), example.list_url):
        answer = client.get(path, headers={**BROWSER, **forged})
        told = [*links_of([answer]), answer.text]
        assert not [text for text in told if "evil" in text or ":99" in text]


def test_unknown_path_is_not_found(client):
    for method in ("GET", "POST", "DELETE"):
        assert client.request(method, "/no/such/page/").status_code == 404


HTML, JSON, REFUSED = "text/html", "application/json", None
# What the client accepts, and what it gets (RFC 9110, 12.4.2 and 12.5.1).
ACCEPTED = {
    BROWSER["Accept"]: HTML,
    "": JSON,
    "*/*": JSON,
    "application/json; charset=utf-8": JSON,  # flask-api#69
    'application/json;profile="a,b"': JSON,
    "application/json;q=0.1, text/html": HTML,
    "application/json;q=0.9, */*;q=0.1": JSON,
    "text/html;q=x": JSON,  # as if it were not there
    # Quality 0 refuses a type, even if another part accepts all.
    "application/json;q=0.0, text/html": HTML,
    "application/json; q=0.000, */*": HTML,
    "*/*;q=0": REFUSED,
    "image/png": REFUSED,
}


@pytest.mark.having("negotiates")
@pytest.mark.parametrize("accept, media_type", ACCEPTED.items(), ids=ACCEPTED)
def test_answer_is_what_the_client_accepts(client, example, accept, media_type):
    for url in (example.list_url, example.item_url.format(lang="en")):
        response = client.get(url, headers={"Accept": accept})
        assert response.status_code == (200 if media_type else 406)
        assert response.headers["Content-Type"] == (media_type or "text/plain; charset=utf-8")
        assert media_type or "Accept" in response.text
        assert response.headers["Vary"] == "Accept"
        assert response.headers["Content-Security-Policy"] == "script-src 'self'"


@pytest.mark.having("negotiates")
def test_client_that_names_no_type_gets_json(app):
    assert Client(app).get("/").headers["Content-Type"] == JSON


@pytest.mark.parametrize("host", ["[", "x:y", f"{'a' * 64}.test"])
def test_malformed_host_is_refused(app, example, host):
    """With Werkzeug 3.1.6 the page of Flask-API was a 500."""
    builder = EnvironBuilder(example.list_url, headers={"Accept": HTML})
    environ = builder.get_environ() | {"HTTP_HOST": host}
    _, status, _ = run_wsgi_app(app, environ, buffered=True)
    assert status in ("200 OK", "400 BAD REQUEST")


HELLO = {
    None: "Howdy, stranger.",
    "": "Howdy, stranger.",
    '{"user": "alice", "groups": ["staff"]}': "So nice to see you, alice.",
    '{"user": "josé", "groups": null}': "So nice to see you, josé.",
    '{"user": ""}': "Howdy, stranger.",
}
MALFORMED = [
    "alice",
    "[]",
    '{"user": 0}',
    '{"user": "alice", "groups": "not-analysts"}',
    '{"user": "alice", "groups": {"analysts": true}}',
    '{"user": "alice", "groups": ["analysts", null]}',
    '{"user": "alice", "groups": ""}',
    b'{"user": "jos\xe9"}',
    "[" * 60_000,
]


@pytest.mark.having("hello_url")
@pytest.mark.parametrize("credentials, message", HELLO.items(), ids=map(str, HELLO))
def test_visitor_is_greeted_by_name(client, example, credentials, message):
    headers = {} if credentials is None else {"RStudio-Connect-Credentials": credentials.encode()}
    response = client.get(example.hello_url, headers=headers)
    assert (response.status_code, response.json()) == (200, {"message": message})


@pytest.mark.having("hello_url")
@pytest.mark.parametrize("credentials", MALFORMED, ids=lambda header: header[:50])
def test_malformed_credentials_greet_nobody(client, example, credentials):
    headers = {"RStudio-Connect-Credentials": credentials}
    response = client.get(example.hello_url, headers=headers)
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/json"
    assert "the credentials" in response.json()["message"].lower()


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_doubled_slashes_break_no_app(client, base, example, method):
    for path in (f"{example.list_url}//", f"/{example.list_url}"):
        assert client.request(method, base + path).status_code < 500
