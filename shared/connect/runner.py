"""Runs a bundle's app inside its environment: python runner.py MODULE[:OBJECT].

The working directory is the bundle's. Once the app is imported and its socket listens, the
port is printed, the only line ever on stdout; the app's own prints go to stderr. The process
ends, with all that it started, when its stdin closes: so it cannot outlive a killed parent.
Uses the standard library and what the environment holds, nothing else of this package.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading

MOUNT_HEADER = (
    "Connect-Mount"  # how the proxy tells SCRIPT_NAME, which each request may change
)
CONNECTIONS = 20  # Connect's default of connections per process


def end_with_stdin() -> None:
    """End this process and its group when stdin closes; whoever reads stdin finds it empty."""
    lifeline, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def wait() -> None:
        while os.read(lifeline, 1024):
            pass
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def load(entrypoint: str):
    """The WSGI callable that `module:object` names; the object is `app` unless given."""
    module_name, _, name = entrypoint.partition(":")
    sys.path[0] = os.getcwd()
    module = importlib.import_module(module_name)
    try:
        return getattr(module, name or "app")
    except AttributeError:
        sys.exit(
            f"The entrypoint {entrypoint} names an object that {module_name} does not have."
        )


def below_mount(app):
    """The app, told in SCRIPT_NAME below which path this request reached it."""
    key = "HTTP_" + MOUNT_HEADER.upper().replace("-", "_")

    def mounted(environ, start_response):
        mount = environ.pop(key, "")
        environ["SCRIPT_NAME"] = mount
        environ["PATH_INFO"] = environ["PATH_INFO"][len(mount) :]
        return app(environ, start_response)

    return mounted


def main() -> None:
    end_with_stdin()
    ready = os.dup(1)
    os.dup2(2, 1)
    app = load(sys.argv[1])
    from waitress import create_server

    server = create_server(
        below_mount(app),
        host="127.0.0.1",
        port=0,
        threads=CONNECTIONS,
        channel_timeout=24
        * 3600,  # the proxy keeps connections and must not find them closed
        clear_untrusted_proxy_headers=False,  # the proxy has replaced X-Forwarded-*
    )
    os.write(ready, f"{server.effective_port}\n".encode())
    os.close(ready)
    server.run()


if __name__ == "__main__":
    main()
