"""Writes the screenshots of the pages: the index of the local Connect, and a console beside it."""

from base64 import b64encode

from playwright.sync_api import Locator, Page

from shared.catalogue import EXAMPLES, ROOT
from shared.connect.server import LocalConnect
from shared.harness.browser import open_browser
from shared.harness.servers import LINKS, USERS, deploying, kept_environments

PICTURES = ROOT / "shared" / "pictures"
SIZE = {"width": 1000, "height": 700}
HALF = {"width": 560, "height": 440}  # of the overview
OVERVIEW = {"width": 2 * HALF["width"] + 48, "height": HALF["height"] + 32}
STYLE = """<style>
  body { display: flex; gap: 16px; margin: 0; padding: 16px; background: #c9d2e3; }
  img { width: 560px; border-radius: 8px; }
</style>"""


def main() -> None:
    """Deploy the examples and take the pictures."""
    with (
        # On Connect's usual port, which the URLs in the pictures show.
        LocalConnect(3939, environments=kept_environments(), links=LINKS, users=USERS) as server,
        deploying(server.url, server.api_key, open_to_all=True) as deploy,
        open_browser() as browser,
        browser.new_context(viewport=SIZE, device_scale_factor=1.5) as context,
        context.new_page() as page,
    ):
        bases = {example: deploy(example)["vanity"] for example in EXAMPLES}
        # The index shows each kind of access.
        for content, access in zip(server.store.all(), ("all", "logged_in", "acl")):
            content.access_type = access
        page.goto(server.url)
        page.get_by_role("button", name=f"Sign in as {USERS[0][0]}").click()
        page.screenshot(full_page=True, path=PICTURES / "index.png")

        page.set_viewport_size(HALF)
        index = picture(page.get_by_role("heading", name="Content"))
        first = EXAMPLES[0]
        page.goto(bases[first] + first.console_urls[0])
        halves = [b64encode(half).decode() for half in (try_out(page), index)]
        page.set_viewport_size(OVERVIEW)
        images = [f'<img src="data:image/png;base64,{half}">' for half in halves]
        page.set_content(STYLE + "".join(images))
        page.screenshot(path=PICTURES / "overview.png")


def try_out(page: Page) -> bytes:
    """Take a picture of what the last operation of a console of Swagger UI answers."""
    page.locator(".opblock-tag").click()  # shows the operations
    operation = page.locator(".opblock").last
    operation.locator(".opblock-summary").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_placeholder("lang").fill("sw")
    operation.get_by_role("button", name="Execute").click()
    operation.locator(".live-responses-table").wait_for()
    return picture(operation.locator(".responses-wrapper"))


def picture(part: Locator) -> bytes:
    """Scroll until a part of the page is near its top, and take a picture of what is then shown."""
    part.evaluate("part => { part.style.scrollMargin = '16px'; part.scrollIntoView(); }")
    return part.page.screenshot(animations="disabled")


if __name__ == "__main__":
    main()
