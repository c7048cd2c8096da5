"""Serves a bundle's app with its environment's Python: python runner.py ENTRYPOINT FD.

Runs in the bundle's directory. Once the app listens, writes its process id and its port to the
file descriptor. Uses the standard library and waitress only.
"""

import importlib
import logging
import os
import sys

# Connect runs Flask under bjoern, which has one thread: see posit-dev/publisher#793.
THREADS = 1
MOUNT_HEADER = "Connect-Mount"  # tells the app's mount, which differs between requests
OBJECTS = ("app", "application")
FACTORIES = ("create_app", "make_app")


def load(entrypoint):
    """Import the WSGI app of MODULE:OBJECT, or MODULE, where MODULE may be a file.

    Without an object, Connect looks for these names, in this order: see posit-dev/publisher.
    """
    name, _, wanted = entrypoint.partition(":")
    module = importlib.import_module(name.removesuffix(".py"))
    if wanted:
        return getattr(module, wanted)
    found = next((name for name in OBJECTS + FACTORIES if hasattr(module, name)), None)
    if found is None:
        raise AttributeError(f"{name} has none of {', '.join(OBJECTS + FACTORIES)}")
    value = getattr(module, found)
    return value() if found in FACTORIES else value


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
    sys.path[0] = os.getcwd()
    app = load(sys.argv[1])
    from waitress import create_server

    # It warns of each request that waits for the thread.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    server = create_server(
        mounted(app),
        host="127.0.0.1",
        port=0,
        threads=THREADS,
        clear_untrusted_proxy_headers=False,  # the proxy has set X-Forwarded-* itself
    )
    os.write(ready, f"{os.getpid()} {server.effective_port}\n".encode())
    os.close(ready)
    server.run()


if __name__ == "__main__":
    main()
