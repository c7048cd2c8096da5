"""Serves an empty local Connect until Ctrl-C, to deploy a directory of your own to it."""

import argparse
import os
import sys
from pathlib import Path

from .server import CannotStart, LocalConnect
from .stopping import block, wait


def parse(
    module: str, description: str | None, environments: Path | None = None
) -> argparse.Namespace:
    """Parse the options of `python -m MODULE`; environments: the default of that option."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",  # argparse names the file, before Python 3.14
        description=description,
        epilog="The API key is CONNECT_API_KEY if that is set, else a random one.",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=3939,
        metavar="N",
        help="0 for any free one (default: %(default)s)",
    )
    parser.add_argument("--address", metavar="URL", help="public URL, behind a proxy with TLS")
    parser.add_argument(
        "--environments",
        type=Path,
        metavar="DIR",
        default=environments,
        help=f"keep virtual environments in DIR for the next time (default: {environments or 'a temporary one'})",
    )
    parser.add_argument(
        "--user",
        type=user,
        action="append",
        default=[],
        dest="users",
        metavar="NAME:GROUP,GROUP",
        help="add a user, in these groups; may be repeated",
    )
    parser.add_argument(
        "--guids", action="store_true", help="tell content GUIDs of users and groups, not names"
    )
    parser.add_argument(
        "--processes",
        type=int,
        choices=range(1, 21),
        default=1,
        metavar="N",
        help="1 to 20 of each content (default: 1)",
    )
    return parser.parse_args()


def user(text: str) -> tuple[str, list[str]]:
    """Return the name and the groups of `NAME` or `NAME:GROUP,GROUP`."""
    name, _, groups = text.partition(":")
    if not name:
        raise argparse.ArgumentTypeError("a user needs a name, such as ada:editors,admins")
    return name, [group for group in groups.split(",") if group]


def start(arguments: argparse.Namespace, **options) -> LocalConnect:
    """Start a local Connect, or exit with one line; signals then wait for `stopping.wait`."""
    block()
    try:
        server = LocalConnect(
            **vars(arguments), api_key=os.environ.get("CONNECT_API_KEY"), **options
        )
    except CannotStart as error:
        sys.exit(str(error))
    print(f"Local Connect at {server.url}/", flush=True)
    if arguments.address:
        print(f"It listens at http://127.0.0.1:{server.port}/", flush=True)
    return server


def print_keys(server: LocalConnect) -> None:
    """Print whose key each is, the administrator's first, and what stops the server."""
    exported = os.environ.get("CONNECT_API_KEY")  # empty for an unset secret of CI
    for user in server.users.by_name.values():
        key = "as in CONNECT_API_KEY" if user.key == exported else user.key
        print(f"API key of {user.name}: {key} ({user.role})")
    print("Ctrl-C stops it.", flush=True)


if __name__ == "__main__":
    with start(parse("shared.connect", __doc__)) as server:
        print_keys(server)
        wait()
    print("Stopped.", flush=True)
