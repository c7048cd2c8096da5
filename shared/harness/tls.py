"""A proxy with TLS in front of a local Connect, as real servers have one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from werkzeug.middleware.http_proxy import ProxyMiddleware

from shared.harness.places import serving


@contextmanager
def tls_proxy() -> Iterator[tuple[str, Callable[[int], None]]]:
    """Give the URL of a proxy, and a function that sets the port to which it passes all on."""
    # No host: the one that the browser sent is passed on.
    target = {"remove_prefix": False, "host": None, "headers": {}}
    proxy = ProxyMiddleware(None, {})

    def app(environ, start_response):
        path = environ["REQUEST_URI"].partition("?")[0]  # as it was sent
        return proxy.proxy_to(target, path, "/")(environ, start_response)

    def pass_on_to(port: int) -> None:
        target["target"] = f"http://127.0.0.1:{port}/"

    # adhoc: a new certificate, which no browser knows.
    with serving(app, ssl_context="adhoc") as port:
        yield f"https://localhost:{port}", pass_on_to
