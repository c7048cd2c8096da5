"""The index page of the local Connect, in a real browser."""

import json

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe

from shared.catalogue import EXAMPLES

pytestmark = pytest.mark.local

PHONE = {"width": 360, "height": 640}


@pytest.fixture
def index(page, publication):
    """The page of the server with all examples, in a window as narrow as a phone's."""
    urls = [publication.publish(example)["content"] for example in EXAMPLES]
    page.set_viewport_size(PHONE)
    assert page.goto(str(httpx.URL(urls[0]).join("/"))).status == 200
    return page


def links_of(page):
    """The absolute URLs that the page links to."""
    return page.locator("a[href]").evaluate_all("all => all.map(a => a.href)")


def test_index_links_to_each_api_and_console(index, example):
    links = links_of(index.locator("section", has_text=example.directory))
    expected = [f"/{example.directory}{path}" for _, path in example.links]
    assert [httpx.URL(link).path for link in links[:-1]] == expected


def test_every_link_of_the_index_works(index):
    assert len(links_of(index)) > len(EXAMPLES)
    for url in links_of(index):
        assert url.startswith(index.url)
        assert index.request.get(url).status == 200, url


def test_index_fits_a_phone_and_asks_for_nothing_but_itself(index):
    assert index.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert [request.url for request in index.requests()] == [index.url]
    assert index.page_errors() == []
    assert [log.text for log in index.console_messages() if log.type == "error"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_index_is_accessible(index, scheme):
    index.emulate_media(color_scheme=scheme)
    results = Axe().run(index)
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.having("hello_url")
def test_who_signs_in_is_greeted_by_name(index, example):
    index.get_by_role("button", name="Sign in as").click()
    name = index.locator("header strong").inner_text()
    index.get_by_role("link", name=f"Hello of {example.directory}").first.click()
    greeting = json.loads(index.locator("pre").inner_text())
    assert greeting == {"message": f"So nice to see you, {name}."}
