"""Serves a bundle's app with its environment's Python: python runner.py MODULE[:OBJECT].

Runs in the bundle's directory. Prints one line on stdout, the port, once the app listens; what
the app prints goes to stderr. Uses the standard library and waitress only.
"""

import os
import pkgutil
import sys

THREADS = 20  # Connect's default of connections per process
MOUNT_HEADER = "Connect-Mount"  # tells the app's mount, which differs between requests


def mounted(app):
    """Wrap an app so that each request has its mount in SCRIPT_NAME."""
    key = "HTTP_" + MOUNT_HEADER.upper().replace("-", "_")

    def wrapped(environ, start_response):
        mount = environ.pop(key)
        environ["SCRIPT_NAME"] = mount
        environ["PATH_INFO"] = environ["PATH_INFO"][len(mount) :]
        return app(environ, start_response)

    return wrapped


def main() -> None:
    stdout = os.dup(1)
    os.dup2(2, 1)
    sys.path[0] = os.getcwd()
    module, _, name = sys.argv[1].partition(":")
    app = pkgutil.resolve_name(f"{module}:{name or 'app'}")
    from waitress import create_server

    server = create_server(
        mounted(app),
        host="127.0.0.1",
        port=0,
        threads=THREADS,
        connection_limit=1000,  # the proxy sets a lower one
        clear_untrusted_proxy_headers=False,  # the proxy has set X-Forwarded-* itself
    )
    os.write(stdout, f"{server.effective_port}\n".encode())
    os.close(stdout)
    server.run()


if __name__ == "__main__":
    main()
