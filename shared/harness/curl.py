"""Asks what a `curl` command of a page asks, with httpx: not every machine has curl."""

import argparse
import shlex
from pathlib import Path

import httpx

FORM = "application/x-www-form-urlencoded"


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
PARSER.add_argument("-o", "--output")
PARSER.add_argument("-i", "--include", action="store_true")
PARSER.add_argument("-I", "--head", action="store_true")
PARSER.add_argument("-s", "--silent", action="store_true")


def curl(command: str, directory: Path, **options: object) -> str:
    """Return what a `curl` command prints, as text.

    directory: where it reads and writes files. options: those of httpx.Client. Follows no
    redirect, as curl. Raises CurlError.
    """
    program, *words = shlex.split(command)
    if program != "curl":
        raise CurlError(f"{command} is no curl command.")
    asked = PARSER.parse_args(words)

    def content_of(text: str) -> bytes:
        return (directory / text[1:]).read_bytes() if text.startswith("@") else text.encode()

    headers, more = {"Accept": "*/*"}, {}
    if asked.json is not None:
        headers |= {"Content-Type": "application/json", "Accept": "application/json"}
        more["content"] = content_of(asked.json)
    elif asked.data or asked.data_binary is not None:
        headers["Content-Type"] = FORM
        parts = asked.data if asked.data_binary is None else [asked.data_binary]
        more["content"] = b"&".join(map(content_of, parts))
    elif asked.form:
        fields = dict(part.split("=", 1) for part in asked.form)
        paths = {name: value[1:] for name, value in fields.items() if value.startswith("@")}
        more["data"] = {name: value for name, value in fields.items() if name not in paths}
        more["files"] = {
            name: (Path(path).name, (directory / path).read_bytes()) for name, path in paths.items()
        }
    if asked.cookie:
        headers["Cookie"] = asked.cookie
    for header in asked.header:
        name, _, value = header.partition(":")
        headers = {key: kept for key, kept in headers.items() if key.lower() != name.lower()}
        headers[name] = value.strip().encode()
    method = asked.request or ("HEAD" if asked.head else "POST" if more else "GET")
    try:
        with httpx.Client(timeout=60, **options) as client:
            answer = client.request(method, asked.url, headers=headers, **more)
    except httpx.HTTPError as error:
        raise CurlError(f"{command}: {error}") from None
    if asked.output:
        (directory / asked.output).write_bytes(answer.content)
    body = "" if asked.output else answer.text
    if asked.include or asked.head:
        lines = [f"{answer.http_version} {answer.status_code} {answer.reason_phrase}"]
        raw = answer.headers.raw  # names as they were sent
        lines += [f"{name.decode()}: {value.decode('latin-1')}" for name, value in raw]
        return "\n".join([*lines, "", body])
    return body
