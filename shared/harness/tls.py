"""A proxy with TLS in front of a local Connect, as real servers have one."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import trustme
from werkzeug.middleware.http_proxy import ProxyMiddleware

from shared.harness.thread import serving


class TlsProxy(NamedTuple):
    """A running proxy."""

    url: str
    pass_on_to: Callable[[str], None]  # takes the URL to which all goes
    trust: ssl.SSLContext  # trusts its authority


@contextmanager
def tls_proxy() -> Iterator[TlsProxy]:
    """Give a proxy on this machine, with a certificate of an authority of its own."""
    # No host: the one that the client sent is passed on.
    target = {"remove_prefix": False, "host": None, "headers": {}}
    proxy = ProxyMiddleware(None, {})

    def app(environ, start_response):
        path = environ["REQUEST_URI"].partition("?")[0]  # as it was sent
        return proxy.proxy_to(target, path, "/")(environ, start_response)

    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    context, trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    certificate.configure_cert(context)
    authority.configure_trust(trust)
    with serving(app, ssl_context=context) as port:
        url = f"https://localhost:{port}"
        yield TlsProxy(url, lambda url: target.update(target=f"{url}/"), trust)
