"""Asks what a `curl` command of a page asks, with httpx: not every machine has curl."""

import argparse
import shlex
from pathlib import Path

import httpx

from shared.harness.loopback import CONTEXT


class CurlError(Exception):
    """What a command has that this does not read, or why there is no answer; one line."""


class Parser(argparse.ArgumentParser):
    """Raises CurlError in place of ending the program."""

    def error(self, message: str) -> None:
        raise CurlError(
            f"{message}. shared/harness/curl.py reads the options of the pages' commands."
        )


# The options that the pages use, as `man curl` has them.
PARSER = Parser(prog="curl", add_help=False, allow_abbrev=False)
PARSER.add_argument("url")
PARSER.add_argument("-X", "--request")
PARSER.add_argument("-H", "--header", action="append", default=[])
PARSER.add_argument("-d", "--data", action="append", default=[])
PARSER.add_argument("--data-binary")
PARSER.add_argument("--json")
PARSER.add_argument("-F", "--form", action="append", default=[])
PARSER.add_argument("-b", "--cookie")
PARSER.add_argument("-i", "--include", action="store_true")


def curl(command: str, directory: Path, **options: object) -> str:
    """Return what a `curl` command prints, as text.

    directory: where it reads files. options: those of httpx.Client. Follows no redirect, as curl.
    Raises CurlError.
    """
    program, *words = shlex.split(command)
    if program != "curl":
        raise CurlError(f"{command} is no curl command.")
    arguments = PARSER.parse_args(words)
    headers, body = {"Accept": "*/*"}, {}
    parts = [arguments.json, arguments.data_binary, *arguments.data]
    if parts := [part for part in parts if part is not None]:
        read = [(directory / p[1:]).read_bytes() if p[:1] == "@" else p.encode() for p in parts]
        body["content"] = b"&".join(read)
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    if arguments.json is not None:
        headers |= {"Content-Type": "application/json", "Accept": "application/json"}
    if arguments.form:
        fields = dict(part.split("=", 1) for part in arguments.form)
        names = [name for name, value in fields.items() if value[:1] == "@"]
        paths = {name: directory / fields.pop(name)[1:] for name in names}
        files = {name: (path.name, path.read_bytes()) for name, path in paths.items()}
        body = {"data": fields, "files": files}
    if arguments.cookie:
        headers["Cookie"] = arguments.cookie
    for header in arguments.header:
        name, _, value = header.partition(":")
        headers = {key: kept for key, kept in headers.items() if key.lower() != name.lower()}
        headers[name] = value.strip().encode()
    method = arguments.request or ("POST" if body else "GET")
    try:
        with httpx.Client(**{"timeout": 60, "verify": CONTEXT, **options}) as client:
            answer = client.request(method, arguments.url, headers=headers, **body)
    except httpx.HTTPError as error:
        raise CurlError(f"{command}: {error}") from None
    if not arguments.include:
        return answer.text
    lines = [f"{answer.http_version} {answer.status_code} {answer.reason_phrase}"]
    raw = answer.headers.raw  # names as they were sent
    lines += [f"{name.decode()}: {value.decode('latin-1')}" for name, value in raw]
    return "\n".join([*lines, "", answer.text])
