"""Behind a proxy with TLS, nothing that an example shows or does leaves https."""

import asyncio
import contextlib
import functools
import ssl
import threading

import httpx
import pytest
import trustme
from playwright.sync_api import expect

from shared.connect.server import LocalConnect
from shared.harness.deployment import kept_environments
from tests.connect.support import deploy, example_bundle

pytestmark = pytest.mark.local


async def pipe(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.contextmanager
def tls_proxy():
    """Give the port of a proxy with TLS, and a function that sets the port to pass on to."""
    targets = []

    async def connected(reader, writer):
        upstream = await asyncio.open_connection("127.0.0.1", targets[0])
        await asyncio.gather(pipe(reader, upstream[1]), pipe(upstream[0], writer))

    async def stop():
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(certificate)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    start = asyncio.start_server(connected, "127.0.0.1", 0, ssl=certificate)
    server = asyncio.run_coroutine_threadsafe(start, loop).result()
    try:
        yield server.sockets[0].getsockname()[1], targets.append
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="session")
def deploy_behind_tls():
    """Deploys an example to a local Connect behind TLS, and returns its URLs."""
    with tls_proxy() as (port, pass_on_to):
        address = f"https://localhost:{port}"
        with LocalConnect(address=address, environments=kept_environments()) as server:
            pass_on_to(server.port)
            options = {"headers": {"Authorization": f"Key {server.api_key}"}, "timeout": 60}
            local = f"http://127.0.0.1:{server.port}/__api__/v1/"
            with httpx.Client(base_url=local, **options) as publisher:

                @functools.cache
                def deploy_example(example):
                    content = publisher.post("content", json={"name": example.directory}).json()
                    deploy(publisher, content, example_bundle(example))
                    vanity = {"path": f"/{example.directory}/"}
                    publisher.put(f"content/{content['guid']}/vanity", json=vanity)
                    return {
                        "content": content["content_url"].rstrip("/"),
                        "vanity": f"{address}/{example.directory}",
                    }

                yield deploy_example


@pytest.fixture
def base(example, mount, deploy_behind_tls):
    """The URL of the example's mount, without a slash at the end."""
    return deploy_behind_tls(example)[mount]


def urls_of(page):
    """What the page has asked for, and where its links and forms lead, but for a home page."""
    targets = "all => all.map(e => e.href || e.action)"
    return [
        *(request.url for request in page.requests()),
        *page.locator("a[href]:not(.brand), form[action]").evaluate_all(targets),
    ]


def test_redirects_stay_on_https(page, base, example):
    for path in (example.list_url.rstrip("/"), f"/{example.list_url}"):
        page.goto(base + path)
        assert {url for url in urls_of(page) if not url.startswith(f"{base}/")} <= {base}


@pytest.mark.having("console_urls")
def test_console_stays_on_https(page, base, example):
    for path in example.console_urls:
        page.goto(base + path.format(lang="en"))
        expect(page.locator(".info .title, .response-info").first).to_be_visible()
        urls = urls_of(page)
        assert len(urls) > 3
        assert [url for url in urls if not url.startswith("https://")] == []
        assert "http://" not in page.locator("body").inner_text()
        if example.spec_url:
            block = page.locator(".opblock", has=page.locator(f'[data-path="{example.list_url}"]'))
            block.locator(".opblock-summary").click()
            block.get_by_role("button", name="Try it out").click()
            with page.expect_response(lambda r: r.request.resource_type == "fetch") as answer:
                block.get_by_role("button", name="Execute").click()
            assert answer.value.url == base + example.list_url
            expect(block.locator(".live-responses-table")).to_contain_text("Hello")
