"""The index page of the local Connect, as a visitor without an API key sees it."""

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from shared.catalogue import EXAMPLES
from shared.harness.servers import USERS
from tests.connect.support import deploy_bundle, make_bundle

PHONE = {"width": 320, "height": 640}  # the narrowest that WCAG 1.4.10 knows


@pytest.fixture(scope="module")
def context(context):
    """What the pages share: no header with a key."""
    with context.browser.new_context(viewport=PHONE) as visitor:
        yield visitor


@pytest.fixture(scope="module")
def contents(server, api):
    """The records of all examples, by directory, once they are deployed."""
    for example in EXAMPLES:
        server.deploy(example)
    return {content["title"]: content for content in api.get("content").json()}


@pytest.fixture(scope="module")
def twin(contents, api):
    """A content with the title of an example, which has a draft and has failed since."""
    named = {"name": f"twin{'n' * 50}", "title": EXAMPLES[0].directory}
    twin = api.post("content", json=named).json()
    deploy_bundle(api, twin, make_bundle())
    deploy_bundle(api, twin, make_bundle(), activate=False)
    deploy_bundle(api, twin, make_bundle({"requirements.txt": "no-such-package-0q"}))
    yield twin
    api.delete(f"content/{twin['guid']}")


@pytest.fixture
def index(page, contents):
    """The page of the server with all examples, in a window as narrow as a phone's."""
    [url, *_] = [content["content_url"] for content in contents.values()]
    assert page.goto(str(httpx.URL(url).join("/"))).status == 200
    return page


def card_of(page, content):
    """The card of a content."""
    return page.locator(f'[id="/apps/{content["guid"]}"]')


def sign_in(page, name):
    page.get_by_role("button", name=f"Sign in as {name}").click()


def links_of(locator):
    """The absolute URLs of the links."""
    return locator.locator("a[href]").evaluate_all("all => all.map(a => a.href)")


def test_card_links_to_the_api_the_console_and_hello(index, example, contents):
    links = links_of(card_of(index, contents[example.directory]).locator(".links"))
    expected = [f"/{example.directory}{path}" for _, path in example.links]
    assert [httpx.URL(link).path for link in links[:-1]] == expected


def test_every_link_of_the_index_works(index, twin):
    sign_in(index, "admin")
    links = links_of(index)
    assert len(links) > len(EXAMPLES)
    for url in links:
        answer = index.goto(url)
        assert (answer.status, answer.url) == (200, url.partition("#")[0])


def test_contents_with_the_same_title_differ(index, contents, twin):
    same = contents[twin["title"]]
    texts = [card_of(index, content).inner_text() for content in (same, twin)]
    assert all(text.startswith(twin["title"]) for text in texts)
    assert twin["name"] in texts[1] and twin["name"] not in texts[0]
    assert twin["content_url"] in texts[1] and f"/{twin['title']}/" in texts[0]
    names = index.get_by_role("link").evaluate_all("all => all.map(a => a.ariaLabel || a.href)")
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("name", "groups"), [("admin", []), *USERS])
def test_each_user_signs_in_and_out(index, name, groups):
    user = index.get_by_role("listitem").filter(has=index.get_by_text(name, exact=True))
    expect(user).to_contain_text(", ".join(groups) or "administrator")
    sign_in(index, name)
    expect(index.get_by_text("Signed in as")).to_have_text(f"Signed in as {name}")
    index.get_by_role("button", name="Sign out").click()
    expect(index.get_by_role("button", name=f"Sign in as {name}")).to_be_visible()
    expect(index.get_by_text("Signed in as")).to_have_count(0)


def test_who_must_sign_in_is_told_so_first_and_comes_back(page, example, contents):
    content = contents[example.directory]
    wanted = f"{content['content_url'].rstrip('/')}{example.list_url}?a=b&c=%2F"
    page.goto(wanted)
    sign_in_url = page.url
    first = page.locator("main").get_by_role("heading").first
    expect(first).to_have_text(f"Sign in to see {example.directory}")
    for seen in (first, page.get_by_text(wanted), page.get_by_role("button").first):
        expect(seen).to_be_in_viewport()
    sign_in(page, "admin")
    assert page.url == wanted
    page.goto(sign_in_url)
    expect(first).to_have_text("Users")
    page.context.clear_cookies()
    page.goto(str(httpx.URL(wanted).join("/")))
    expect(first).to_have_text("Users")


@pytest.mark.parametrize("place", ["", "/logs"], ids=["dashboard", "logs"])
def test_url_that_the_client_prints_highlights_the_card(page, contents, twin, place):
    contents = [twin, *contents.values()]
    for wanted in contents:
        page.goto("about:blank")
        page.goto(f"{wanted['dashboard_url']}{place}")
        expect(card_of(page, wanted).get_by_role("heading")).to_be_in_viewport()
        for content in contents:
            style = "solid" if content is wanted else "none"
            expect(card_of(page, content)).to_have_css("outline-style", style)


def test_index_asks_for_nothing_but_itself(index, twin):
    index.reload()
    assert {request.url for request in index.requests()} == {index.url}
    assert index.page_errors() == []
    assert [log.text for log in index.console_messages() if log.type == "error"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone_and_are_accessible(index, twin, scheme):
    """A log, and the index: when it is needed to sign in, and after that."""
    index.emulate_media(color_scheme=scheme)
    for address, text in (
        (f"{index.url}connect/apps/{twin['guid']}/logs#end", "End of the log."),
        (f"{index.url}sign-in?next={httpx.URL(twin['content_url']).path}", "Sign in to see"),
        (twin["dashboard_url"], "Visitors still see"),
    ):
        index.goto(address)
        expect(index.get_by_text(text)).to_be_in_viewport()
        assert index.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        results = Axe().run(index)
        assert results.violations_count == 0, results.generate_report()
        if text == "Sign in to see":
            sign_in(index, "admin")
