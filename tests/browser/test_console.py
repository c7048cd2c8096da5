"""The examples' consoles in a real browser, behind TLS, wherever an example is served."""

import contextlib
import json
import re
from urllib.parse import quote, unquote

import pytest
from playwright.sync_api import expect

from shared import contract

LANGS = ("en", "ar", "zh")
# What a console shows once it has the API: Swagger UI's, Flask-API's.
READY = ".info .title, .response-info"
# Where a page leads, except to the home pages of Flask-API and Flasgger.
FLASGGER = "https://github.com/rochacbruno/flasgger"
LINKED = f"a[href]:not(.brand, [href='{FLASGGER}']), link[href], form[action]"

HOSTILE = (
    "\"><img src=x onerror='alert(1)'>",
    "'-alert(1)-'\";alert(1);`${alert(1)}`",
    "en\u202ekcatta\u202c<b onmouseover=alert(1)>\u2066",
)


@pytest.fixture
def dialogs(page):
    """The texts of the dialogs that scripts have opened."""
    texts = []

    def close(dialog):
        texts.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", close)
    return texts


def open_page(page, url):
    page.goto(url)
    expect(page.locator(READY).first).to_be_visible()


@pytest.fixture(scope="session")
def consoles(context, client, example):
    """The example's consoles, loaded once for the tests that only look at them."""
    with contextlib.ExitStack() as stack:
        pages = [stack.enter_context(context.new_page()) for _ in example.console_urls]
        for page, path in zip(pages, example.console_urls):
            open_page(page, str(client.base_url.join(path.format(lang="ar").lstrip("/"))))
        yield pages


def urls_outside(page, base):
    """What a page has asked for, links to or shows that is not below its mount and scheme."""
    requested = [request.url for request in page.requests()]
    linked = page.locator(LINKED).evaluate_all("all => all.map(e => e.href || e.action)")
    shown = re.findall(r"https?://[^\s\"]+", page.locator("body").inner_text())
    return {url for url in requested + linked + shown if not url.startswith(f"{base}/")}


# flasgger/flasgger#498: fonts of a foreign host. flasgger/flasgger#607: a second mount.
@pytest.mark.having("console_urls")
def test_console_loads_without_errors_from_its_mount_alone(consoles, client, base):
    for page in consoles:
        assert page.locator(LINKED).count() > 0
        assert urls_outside(page, base) == set()
        assert page.page_errors() == []
        # Some browsers ask for /favicon.ico where a page names no icon, as Flask-API's do not.
        errors = [log for log in page.console_messages() if log.type == "error"]
        assert [log.text for log in errors if "/favicon.ico" not in log.location["url"]] == []
        answers = [request.response() for request in page.requests()]
        assert len(answers) > 3
        # 304: the pages share a cache.
        assert {answer and answer.status for answer in answers} <= {200, 304}
        scripts = page.locator("script[src]").evaluate_all("all => all.map(e => e.src)")
        types = [client.get(url).headers["Content-Type"] for url in scripts]
        assert types and all("javascript" in media_type for media_type in types)
        rules = "[...document.styleSheets].map(s => s.href && s.cssRules.length)"
        assert max(filter(None, page.evaluate(rules)), default=0) > 100


@pytest.mark.having("spec_url")
def test_console_fills_the_window_and_has_an_icon(consoles, client):
    for page in consoles:
        assert page.locator("body").bounding_box()["x"] == 0
        # Without one a browser asks for /favicon.ico, outside the mount.
        icons = page.locator("link[rel=icon]").evaluate_all("all => all.map(e => e.href)")
        assert {client.get(url).status_code for url in icons} == {200}


@pytest.mark.of("flasgger")
def test_console_fits_a_phone(consoles):
    """By a line of its template; the other two have none of ours."""
    viewport = consoles[0].locator("meta[name=viewport]").get_attribute("content")
    assert "width=device-width" in viewport


@pytest.mark.having("negotiates")
def test_page_shows_the_greetings_as_text(page, dialogs, base, example):
    """Neither a language nor the cookie that names a tab runs a script."""
    cookie = {"name": "tabstyle", "value": quote(HOSTILE[0]), "url": base + example.list_url}
    page.context.add_cookies([cookie])
    for lang in (None, *LANGS, *HOSTILE):
        path = example.item_url.format(lang=quote(lang)) if lang else example.list_url
        open_page(page, base + path)
        expected = contract.greeting(lang) if lang else contract.greetings()
        text = json.dumps(expected, indent=4, ensure_ascii=False)
        assert text in page.locator(".response-info").inner_text()
        assert page.locator("pre :is(img, svg)").count() == 0
    assert dialogs == []


def check_operations(page, example):
    """Both operations are there, at most below a heading that is closed."""
    heading = page.locator(".opblock-tag").first
    if heading.get_attribute("data-is-open") == "false":
        heading.click()
    paths = page.locator(".opblock-summary-path:visible")
    expect(paths).to_have_count(2)
    shown = {path.get_attribute("data-path") for path in paths.all()}
    assert shown == {example.list_url, example.item_url}


def try_out(page, base, path, expected, lang=None):
    """Try out an operation of an open console; return where the page shows the answer."""
    block = page.locator(".opblock", has=page.locator(f'[data-path="{path}"]'))
    if not block.get_by_role("button", name="Execute").is_visible():
        block.locator(".opblock-summary").click()
        block.get_by_role("button", name="Try it out").click()
    if lang:
        block.get_by_placeholder("lang").fill(lang)
    with page.expect_response(lambda r: r.request.resource_type == "fetch") as answer:
        block.get_by_role("button", name="Execute").click()
    assert unquote(answer.value.url) == base + path.format(lang=lang)
    assert answer.value.json() == expected
    return block.locator(".live-responses-table")


@pytest.mark.having("spec_url")
def test_operations_can_be_tried_out(page, dialogs, base, example):
    open_page(page, base + example.console_urls[0])
    check_operations(page, example)
    shown = try_out(page, base, example.list_url, contract.greetings())
    for lang in LANGS:
        expect(shown).to_contain_text(contract.GREETINGS[lang])
    for lang in ("zh", *HOSTILE):
        shown = try_out(page, base, example.item_url, contract.greeting(lang), lang)
        expect(shown).to_contain_text(json.dumps(lang, ensure_ascii=False))
        expect(shown).to_contain_text(contract.GREETINGS.get(lang, "null"))
        assert page.locator(".opblock :is(img, [onload], [onmouseover])").count() == 0
    assert dialogs == []
    assert urls_outside(page, base) == set()


FOREIGN = "https://foreign.test"
FOREIGN_SPEC = {
    "swagger": "2.0",
    "info": {"title": "Foreign API", "version": "1"},
    "paths": {"/steal": {"get": {"responses": {"200": {"description": "Stolen"}}}}},
}
# flasgger/flasgger#578, CVE-2018-25031
QUERIES = {
    "url": f"url={FOREIGN}/spec.json",
    "config": f"configUrl={FOREIGN}/config.json",
}


@pytest.mark.one_mount
@pytest.mark.having("spec_url")
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_link_cannot_put_another_api_in_the_console(page, client, base, example, query):
    def answer(route):
        config = {"url": f"{FOREIGN}/spec.json"}
        json = config if "config" in route.request.url else FOREIGN_SPEC
        route.fulfill(json=json, headers={"Access-Control-Allow-Origin": "*"})

    page.route(f"{FOREIGN}/**", answer)
    open_page(page, f"{base}{example.console_urls[0]}?{query}#/greetings/list_greetings")
    title = client.get(example.spec_url).json()["info"]["title"]
    expect(page).to_have_title(title)
    expect(page.locator(".info .title")).to_contain_text(title)
    check_operations(page, example)
    assert urls_outside(page, base) == set()
    # A link to an operation still leads there.
    assert page.url.endswith("#/greetings/list_greetings")


@pytest.mark.one_mount
@pytest.mark.of("flasgger")
def test_link_to_one_of_several_specs_stays(page, base, example):
    """flasgger#571"""
    query = "urls.primaryName=two%26url%3Dx"
    page.goto(f"{base}{example.console_urls[0]}?url=../other&{query}")
    assert page.evaluate("location.search") == f"?{query}"
