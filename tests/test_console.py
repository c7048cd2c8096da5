"""The examples' consoles in a real browser, wherever an example is served."""

import contextlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from shared import contract
from tests.conftest import DEEP

LANGS = ("en", "ar", "zh")
# What a console shows once it has the API: Swagger UI's, Flask-API's.
READY = ".info .title, .response-info"


def base_of(client):
    """The URL of the mount, without a slash at its end."""
    return str(client.base_url).rstrip("/")


def open_page(page, url):
    page.goto(url)
    expect(page.locator(READY).first).to_be_visible()


@pytest.fixture(scope="session")
def consoles(context, client, example):
    """The example's consoles, loaded once for the tests that only look at them."""
    with contextlib.ExitStack() as stack:
        pages = [stack.enter_context(context.new_page()) for _ in example.console_urls]
        for page, path in zip(pages, example.console_urls):
            open_page(page, base_of(client) + path.format(lang="ar"))
        yield pages


@pytest.mark.having("console_urls")
def test_console_has_no_errors(consoles):
    for page in consoles:
        assert page.page_errors() == []
        logged = [log.text for log in page.console_messages() if log.type == "error"]
        assert logged == []


@pytest.mark.having("console_urls")
def test_console_asks_only_below_its_mount(consoles, client):
    for page in consoles:
        asked = [request.url for request in page.requests()]
        assert len(asked) > 1
        assert [url for url in asked if not url.startswith(base_of(client) + "/")] == []


@pytest.mark.having("console_urls")
def test_every_request_of_a_console_is_answered(consoles):
    for request in (request for page in consoles for request in page.requests()):
        assert request.failure is None, request.url
        # 304: the pages share a cache.
        assert request.response().status in (200, 304), request.url


@pytest.mark.having("console_urls")
def test_every_script_of_a_console_can_be_read(consoles, client):
    for page in consoles:
        scripts = page.locator("script[src]").evaluate_all("all => all.map(s => s.src)")
        assert scripts
        for url in scripts:
            response = client.get(url)
            assert response.status_code == 200, url
            assert "javascript" in response.headers["Content-Type"], url


@pytest.mark.having("console_urls")
def test_console_has_its_styles(consoles):
    for page in consoles:
        rules = "[...document.styleSheets].map(s => s.href && s.cssRules.length)"
        assert max(filter(None, page.evaluate(rules)), default=0) > 100


@pytest.mark.having("spec_url")
def test_console_fills_the_window_and_has_an_icon(consoles, client):
    for page in consoles:
        assert page.locator("body").bounding_box()["x"] == 0
        icons = page.locator("link[rel=icon]").evaluate_all("all => all.map(a => a.href)")
        assert icons
        for url in icons:  # else a browser asks for /favicon.ico, outside the mount
            assert url.startswith(base_of(client) + "/")
            assert client.get(url).status_code == 200


@pytest.mark.having("negotiates")
def test_links_of_a_page_stay_below_its_mount(consoles, client):
    """Except the one to Flask-API's home page, which loads nothing."""
    for page in consoles:
        links = page.locator("a[href]:not(.brand)").evaluate_all("all => all.map(a => a.href)")
        assert links
        assert [url for url in links if not url.startswith(base_of(client) + "/")] == []


@pytest.mark.having("negotiates")
@pytest.mark.parametrize("lang", [None, *LANGS], ids=["list", *LANGS])
def test_page_shows_the_greetings(page, client, example, lang):
    path = example.item_url if lang else example.list_url
    open_page(page, base_of(client) + path.format(lang=lang))
    expected = contract.greeting(lang) if lang else contract.greetings()
    text = json.dumps(expected, indent=4, ensure_ascii=False)
    assert text in page.locator(".response-info").inner_text()


@pytest.mark.having("spec_url")
def test_both_operations_are_there_without_a_click(consoles, example):
    for page in consoles:
        paths = page.locator(".opblock-summary-path:visible")
        expect(paths).to_have_count(2)
        shown = {path.get_attribute("data-path") for path in paths.all()}
        assert shown == {example.list_url, example.item_url}


@pytest.fixture
def try_out(page, client, example):
    """Opens an operation of the console, by its path, and returns its block."""

    open_page(page, base_of(client) + example.console_urls[0])

    def open_operation(path):
        block = page.locator(".opblock", has=page.locator(f'[data-path="{path}"]'))
        block.locator(".opblock-summary").click()
        block.get_by_role("button", name="Try it out").click()
        return block

    return open_operation


def execute(page, block):
    """Click on Execute; return the response, and where the page shows it."""
    with page.expect_response(lambda r: r.request.resource_type == "fetch") as answer:
        block.get_by_role("button", name="Execute").click()
    return answer.value, block.locator(".live-responses-table")


@pytest.mark.having("spec_url")
def test_operations_can_be_tried_out(page, try_out, client, example):
    response, shown = execute(page, try_out(example.list_url))
    assert response.url == base_of(client) + example.list_url
    assert contract.parse(response.body()) == contract.greetings()
    for lang in LANGS:
        expect(shown).to_contain_text(contract.GREETINGS[lang])
    block = try_out(example.item_url)
    for lang in LANGS if DEEP else LANGS[-1:]:
        block.get_by_placeholder("lang").fill(lang)
        response, shown = execute(page, block)
        assert response.url == base_of(client) + example.item_url.format(lang=lang)
        assert contract.parse(response.body()) == contract.greeting(lang)
        expect(shown).to_contain_text(contract.GREETINGS[lang])


FOREIGN_SPEC = {
    "swagger": "2.0",
    "info": {"title": "Foreign API", "version": "1"},
    "paths": {"/steal": {"get": {"responses": {"200": {"description": "Stolen"}}}}},
}


@pytest.fixture
def foreign():
    """A server on another port, open to all pages; it has a `url`, and the paths `asked`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            spec_url = f"{self.server.url}/spec.json"
            answers = {"/spec.json": FOREIGN_SPEC, "/config.json": {"url": spec_url}}
            self.send_response(200)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(self.path, {})).encode())

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.url = f"http://127.0.0.1:{server.server_port}"
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


QUERIES = {
    "url": "url={foreign}/spec.json",
    "config": "configUrl={foreign}/config.json",
    "data": "url=data:application/json,{spec}",
    # Other content on the same server, which has the same origin.
    "other content": "url={base}/../other",
}


@pytest.mark.one_mount
@pytest.mark.having("spec_url")
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_link_cannot_put_another_api_in_the_console(page, client, example, foreign, query):
    query = query.format(
        foreign=foreign.url, base=base_of(client), spec=quote(json.dumps(FOREIGN_SPEC))
    )
    open_page(page, f"{base_of(client)}{example.console_urls[0]}?{query}")
    info = client.get(example.spec_url).json()["info"]
    expect(page).to_have_title(info["title"])
    expect(page.locator(".info .title")).to_contain_text(info["title"])
    expect(page.locator(".opblock-summary-path:visible")).to_have_count(2)
    assert foreign.asked == []


@pytest.mark.one_mount
@pytest.mark.having("spec_url")
def test_link_to_an_operation_keeps_its_hash(page, client, example):
    open_page(page, f"{base_of(client)}{example.console_urls[0]}?a=b#/greetings/list_greetings")
    assert page.url.endswith("#/greetings/list_greetings")


HOSTILE = {
    "image": "<img src=x onerror=alert(1)>",
    "svg": "<svg onload=alert(1)>",
    "attribute": "\"><img src=x onerror='alert(1)'>",
    "quotes": "'-alert(1)-'\";alert(1);`${alert(1)}`",
    "javascript": "javascript:alert(1)",
    "template": "{{ 7 * 7 }}${7*7}",
    "right-to-left": "en\u202ekcatta\u202c<b onmouseover=alert(1)>\u2066",
}
# What a console tries out, all of them in the deep run.
TRIED_OUT = list(HOSTILE.values()) if DEEP else [HOSTILE["attribute"], HOSTILE["right-to-left"]]


@pytest.fixture
def dialogs(page):
    """The texts of the dialogs that scripts have opened."""
    texts = []

    def close(dialog):
        texts.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", close)
    return texts


@pytest.mark.one_mount
def test_hostile_language_is_shown_as_text(page, dialogs, client, example):
    for lang in HOSTILE.values():
        page.goto(base_of(client) + example.item_url.format(lang=quote(lang)))
        shown = re.search(r"\{.*\}", page.locator("pre").last.inner_text(), re.DOTALL)
        assert contract.parse(shown[0].encode()) == contract.greeting(lang)
        assert page.locator("pre :is(img, svg, a)").count() == 0
    assert dialogs == []


@pytest.mark.one_mount
@pytest.mark.having("spec_url")
def test_hostile_language_can_be_tried_out(page, dialogs, try_out, example):
    block = try_out(example.item_url)
    for lang in TRIED_OUT:
        block.get_by_placeholder("lang").fill(lang)
        response, shown = execute(page, block)
        assert contract.parse(response.body()) == contract.greeting(lang)
        expect(shown).to_contain_text(json.dumps(lang, ensure_ascii=False))
        assert block.locator("img, [onload], [onmouseover]").count() == 0
    assert dialogs == []


@pytest.mark.one_mount
@pytest.mark.having("negotiates")
def test_cookie_runs_no_script(page, dialogs, client, example):
    url = base_of(client) + example.list_url
    cookie = {"name": "tabstyle", "value": quote(HOSTILE["image"]), "url": url}
    page.context.add_cookies([cookie])
    open_page(page, url)
    assert dialogs == []
