"""Writes the README's screenshots: the consoles, and the index of the local Connect."""

from shared.catalogue import EXAMPLES, ROOT
from shared.connect.server import LocalConnect
from shared.harness.browser import open_browser
from shared.harness.publication import kept_environments, links, publishing

PICTURES = ROOT / "shared" / "pictures"
SIZE = {"width": 1000, "height": 700}

with (
    # On Connect's usual port, which the URLs in the pictures show.
    LocalConnect(3939, environments=kept_environments(), links=links()) as server,
    publishing(server.url, server.api_key, open_to_all=True) as publish,
    open_browser() as browser,
    browser.new_context(viewport=SIZE) as context,
):
    urls = {
        example.id: publish(example)["vanity"] + example.console_urls[0]
        for example in EXAMPLES
        if example.console_urls
    }
    for example in EXAMPLES:
        publish(example)
    page = context.new_page()
    for name, url in {**urls, "index": server.url}.items():
        page.goto(url, wait_until="networkidle")
        page.screenshot(path=PICTURES / f"{name}.png")
        print(f"shared/pictures/{name}.png shows {url}")
