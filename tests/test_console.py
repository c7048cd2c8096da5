"""The examples' consoles in a real browser, behind TLS, wherever an example is served."""

import contextlib
import json
import re
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from shared import contract
from tests.conftest import DEEP

LANGS = ("en", "ar", "zh")
# What a console shows once it has the API: Swagger UI's, Flask-API's.
READY = ".info .title, .response-info"


@pytest.fixture
def base(client):
    """The URL of the mount, without a slash at its end."""
    return str(client.base_url).rstrip("/")


def open_page(page, url):
    page.goto(url)
    expect(page.locator(READY).first).to_be_visible()


def urls_of(page, selector, attribute="href"):
    """The absolute URLs in an attribute of the elements."""
    elements = page.locator(f"{selector}[{attribute}]")
    return elements.evaluate_all("(all, name) => all.map(e => e[name])", attribute)


def outside(urls, base):
    """Those that are not below the mount, or not at its scheme and host."""
    return [url for url in urls if not url.startswith(f"{base}/")]


@pytest.fixture(scope="session")
def consoles(context, client, example):
    """The example's consoles, loaded once for the tests that only look at them."""
    with contextlib.ExitStack() as stack:
        pages = [stack.enter_context(context.new_page()) for _ in example.console_urls]
        for page, path in zip(pages, example.console_urls):
            open_page(page, str(client.base_url.join(path.format(lang="ar").lstrip("/"))))
        yield pages


@pytest.mark.having("console_urls")
def test_console_loads_without_errors_from_its_mount_alone(consoles, base):
    for page in consoles:
        assert page.page_errors() == []
        assert [log.text for log in page.console_messages() if log.type == "error"] == []
        requests = page.requests()
        assert len(requests) > 3
        assert outside([request.url for request in requests], base) == []
        for request in requests:
            assert request.failure is None, request.url
            # 304: the pages share a cache.
            assert request.response().status in (200, 304), request.url


@pytest.mark.having("console_urls")
def test_console_has_its_scripts_and_styles(consoles, client):
    for page in consoles:
        scripts = urls_of(page, "script", "src")
        assert scripts
        for url in scripts:
            response = client.get(url)
            assert response.status_code == 200, url
            assert "javascript" in response.headers["Content-Type"], url
        rules = "[...document.styleSheets].map(s => s.href && s.cssRules.length)"
        assert max(filter(None, page.evaluate(rules)), default=0) > 100


@pytest.mark.having("spec_url")
def test_console_fills_the_window_and_has_an_icon(consoles, client, base):
    for page in consoles:
        assert page.locator("body").bounding_box()["x"] == 0
        icons = urls_of(page, "link[rel=icon]")
        # Otherwise a browser asks for /favicon.ico, outside the mount.
        assert icons and outside(icons, base) == []
        assert {client.get(url).status_code for url in icons} == {200}


@pytest.mark.having("negotiates")
def test_links_and_forms_of_a_page_stay_below_its_mount(consoles, base):
    """Except the one to Flask-API's home page, which loads nothing."""
    for page in consoles:
        links = urls_of(page, "a:not(.brand)")
        assert links
        assert outside(links + urls_of(page, "form", "action"), base) == []
        assert "http://" not in page.locator("body").inner_text()


def test_redirects_stay_below_the_mount(page, base, example):
    for path in (example.list_url.rstrip("/"), f"/{example.list_url}"):
        page.goto(base + path)
        urls = [request.url for request in page.requests()]
        assert set(outside(urls, base)) <= {base}


@pytest.mark.having("negotiates")
@pytest.mark.parametrize("lang", [None, *LANGS], ids=["list", *LANGS])
def test_page_shows_the_greetings(page, base, example, lang):
    path = example.item_url if lang else example.list_url
    open_page(page, base + path.format(lang=lang))
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
def try_out(page, base, example):
    """Opens an operation of the console, by its path, and returns its block."""
    open_page(page, base + example.console_urls[0])

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
def test_operations_can_be_tried_out(page, try_out, base, example):
    response, shown = execute(page, try_out(example.list_url))
    assert response.url == base + example.list_url
    assert contract.parse(response.body()) == contract.greetings()
    for lang in LANGS:
        expect(shown).to_contain_text(contract.GREETINGS[lang])
    block = try_out(example.item_url)
    for lang in LANGS if DEEP else LANGS[-1:]:
        block.get_by_placeholder("lang").fill(lang)
        response, shown = execute(page, block)
        assert response.url == base + example.item_url.format(lang=lang)
        assert contract.parse(response.body()) == contract.greeting(lang)
        expect(shown).to_contain_text(contract.GREETINGS[lang])


FOREIGN = "https://foreign.test"
FOREIGN_SPEC = {
    "swagger": "2.0",
    "info": {"title": "Foreign API", "version": "1"},
    "paths": {"/steal": {"get": {"responses": {"200": {"description": "Stolen"}}}}},
}
QUERIES = {
    "url": f"url={FOREIGN}/spec.json",
    "config": f"configUrl={FOREIGN}/config.json",
    "data": f"url=data:application/json,{quote(json.dumps(FOREIGN_SPEC))}",
    # Other content on the same server, which has the same origin.
    "other content": "url=../other",
}


@pytest.fixture
def foreign_requests(page):
    """What the page has asked of a foreign server, which is open to all pages."""
    requests = []

    def answer(route):
        requests.append(route.request.url)
        config = {"url": f"{FOREIGN}/spec.json"}
        route.fulfill(
            json=config if "config" in route.request.url else FOREIGN_SPEC,
            headers={"Access-Control-Allow-Origin": "*"},
        )

    page.route(f"{FOREIGN}/**", answer)
    return requests


@pytest.mark.one_mount
@pytest.mark.having("spec_url")
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_link_cannot_put_another_api_in_the_console(
    page, client, base, example, foreign_requests, query
):
    open_page(page, f"{base}{example.console_urls[0]}?{query}#/greetings/list_greetings")
    info = client.get(example.spec_url).json()["info"]
    expect(page).to_have_title(info["title"])
    expect(page.locator(".info .title")).to_contain_text(info["title"])
    expect(page.locator(".opblock-summary-path:visible")).to_have_count(2)
    assert foreign_requests == []
    # A link to an operation still leads there.
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
def test_hostile_language_is_shown_as_text(page, dialogs, base, example):
    for lang in HOSTILE.values():
        page.goto(base + example.item_url.format(lang=quote(lang)))
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
def test_cookie_runs_no_script(page, dialogs, base, example):
    url = base + example.list_url
    cookie = {"name": "tabstyle", "value": quote(HOSTILE["image"]), "url": url}
    page.context.add_cookies([cookie])
    open_page(page, url)
    assert dialogs == []
