"""Serves a bundle's app with its environment's Python: python runner.py ENTRYPOINT FD.

Runs in the bundle's directory. Once the app listens, writes its process id and its port to the
file descriptor. Uses the standard library and waitress only.
"""

import logging
import os
import pkgutil
import sys

# Connect runs Flask under bjoern, which has one thread: see posit-dev/publisher#793.
THREADS = 1
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
    ready = int(sys.argv[2])
    os.set_inheritable(ready, False)  # not for what the app starts
    sys.path[0] = os.getcwd()
    module, _, name = sys.argv[1].partition(":")
    app = pkgutil.resolve_name(f"{module}:{name or 'app'}")
    from waitress import create_server

    # It warns of each request that waits for the thread.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    server = create_server(
        mounted(app),
        host="127.0.0.1",
        port=0,
        threads=THREADS,
        connection_limit=1000,  # the proxy sets a lower one
        clear_untrusted_proxy_headers=False,  # the proxy has set X-Forwarded-* itself
    )
    os.write(ready, f"{os.getpid()} {server.effective_port}\n".encode())
    os.close(ready)
    server.run()


if __name__ == "__main__":
    main()
