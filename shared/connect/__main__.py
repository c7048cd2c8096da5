"""Serves an empty local Connect until Ctrl-C, to deploy a directory of your own to it."""

# ruff: isort: skip_file
from .stopping import say_stopped, wait  # first: see there

import argparse
import os
import sys
from pathlib import Path

from .server import CannotStart, LocalConnect


def parse(description: str | None) -> argparse.Namespace:
    """Parse the options of a command that starts a local Connect."""
    parser = argparse.ArgumentParser(
        description=description,
        epilog="The API key is CONNECT_API_KEY if that is set, else a random one.",
    )
    parser.add_argument(
        "--port", type=int, default=3939, metavar="N", help="0 for any free one (default: 3939)"
    )
    parser.add_argument("--address", metavar="URL", help="public URL, behind a proxy with TLS")
    parser.add_argument(
        "--environments",
        type=Path,
        metavar="DIR",
        help="keep virtual environments in DIR for the next time (default: a temporary one)",
    )
    return parser.parse_args()


def start(arguments: argparse.Namespace, **options) -> LocalConnect:
    """Start a local Connect with a command's options; exits with one line if it cannot."""
    key = os.environ.get("CONNECT_API_KEY")
    try:
        server = LocalConnect(**vars(arguments), api_key=key, **options)
    except CannotStart as error:
        sys.exit(str(error))
    print(f"Local Connect at {server.url}/", flush=True)
    return server


if __name__ == "__main__":
    arguments = parse(__doc__)
    with start(arguments) as server:
        if "CONNECT_API_KEY" not in os.environ:
            print(f"API key: {server.api_key}")
        print("Ctrl-C stops it.", flush=True)
        wait()
    say_stopped()
