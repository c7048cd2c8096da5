"""Serves all examples from a local Connect, deployed by the README's commands, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from .catalogue import EXAMPLES
from .client import ClientError, installed, private_client
from .connect.server import LocalConnect
from .readme import console_commands

AT_A_TIME = 2  # deployments; more would only wait for the processor


def main() -> None:
    """The command line; exits with one line that says what is wrong, if something is."""
    arguments = parse()
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # ends like Ctrl-C, all tidied up
    try:
        installed()
        with start(arguments) as connect:
            print(f"Local Connect at {connect.url}/", flush=True)
            deploy(connect)
            print_table(connect)
            wait_for_the_end()
    except KeyboardInterrupt:
        print("\nStopped.")
    except (FileNotFoundError, LookupError) as error:
        sys.exit(str(error))


def wait_for_the_end() -> None:
    """Return once the process that started this one has gone; Ctrl-C comes as an exception."""
    parent = os.getppid()
    # tox, when it is ended by a signal, does not pass that on.
    while os.getppid() == parent:
        time.sleep(1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="serve",
        description=__doc__,
        epilog="The API key is CONNECT_API_KEY when that is set, else a random one, printed. "
        "Nothing but this machine can reach the server.",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=3939,
        metavar="N",
        help="port to listen on, 0 for any that is free (default: 3939, as Connect's)",
    )
    parser.add_argument(
        "--environments",
        type=Path,
        metavar="DIR",
        help="keep the examples' Python environments in DIR, to be up sooner the next time "
        "(default: made anew each time)",
    )
    return parser.parse_args()


def start(arguments: argparse.Namespace) -> LocalConnect:
    """The server; exits when the port cannot be had."""
    try:
        return LocalConnect(
            arguments.port,
            os.environ.get("CONNECT_API_KEY"),
            environments=arguments.environments and arguments.environments.resolve(),
        )
    except (OSError, OverflowError) as error:
        sys.exit(
            f"Cannot listen on port {arguments.port} ({getattr(error, 'strerror', error)}): "
            "choose another with --port N."
        )


def deploy(connect: LocalConnect) -> None:
    """Run the README's commands; exits when one fails, or when it leaves an example out."""
    commands = console_commands("Deploy")
    adding = [command for command in commands if command.startswith("rsconnect add")]
    deploying = {
        Path(shlex.split(command)[-1]).name: command
        for command in commands
        if command.startswith("rsconnect deploy")
    }
    if missing := {example.directory for example in EXAMPLES} - set(deploying):
        sys.exit(f"README.md does not say how to deploy {', '.join(sorted(missing))}.")
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(AT_A_TIME))
        client = stack.enter_context(private_client())

        def run(command: str) -> float:
            began = time.monotonic()
            client.run_command(command, connect.url, connect.api_key)
            return time.monotonic() - began

        try:
            for name in adding:
                run(name)
            names = {
                pool.submit(run, command): name for name, command in deploying.items()
            }
            for done, future in enumerate(as_completed(names), 1):
                name = names[future]
                print(
                    f"[{done}/{len(names)}] {name} is up ({future.result():.1f} s)",
                    flush=True,
                )
        except ClientError as error:
            sys.exit(f"{name} could not be deployed: {reason(connect, name) or error}")


def reason(connect: LocalConnect, title: str) -> str:
    """Why the content with this title does not run, as far as the server knows."""
    contents = connect.contents.items.values()
    return next((content.failure for content in contents if content.title == title), "")


def print_table(connect: LocalConnect) -> None:
    """Each example's URL and console."""
    by_title = {content.title: content for content in connect.contents.items.values()}
    rows = [("Example", "URL", "Console")]
    for example in EXAMPLES:
        base = connect.url + by_title[example.directory].mount
        consoles = [base + url for url in example.console_urls if "{" not in url]
        rows.append((example.id, base + example.list_url, " ".join(consoles) or "none"))
    widths = [max(map(len, column)) for column in zip(*rows)]
    print()
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print(f"\nAll of it, and signing in: {connect.url}/")
    if "CONNECT_API_KEY" not in os.environ:
        print(f"API key: {connect.api_key}")
    print("Ctrl-C stops it.", flush=True)


if __name__ == "__main__":
    main()
