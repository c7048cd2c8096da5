"""A proxy with TLS in front of a local Connect, as real servers have one."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import trustme
from werkzeug.middleware.http_proxy import ProxyMiddleware

from shared.harness.thread import serving


@contextmanager
def tls_proxy() -> Iterator[tuple[str, dict, ssl.SSLContext]]:
    """Give the URL of a proxy, its options, and a context that trusts its certificate.

    The caller sets `target` of the options: the URL to which all goes.
    """
    # No host: the one that the client sent is passed on.
    options = {"remove_prefix": False, "host": None, "headers": {}}
    proxy = ProxyMiddleware(None, {})

    def app(environ, start_response):
        path = environ["REQUEST_URI"].partition("?")[0]  # as it was sent
        return proxy.proxy_to(options, path, "/")(environ, start_response)

    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    context, trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    certificate.configure_cert(context)
    authority.configure_trust(trust)
    with serving(app, ssl_context=context) as port:
        yield f"https://localhost:{port}", options, trust
