"""Sends the request of a `curl` command of a page, with httpx: not every machine has curl."""

import argparse
import shlex
from pathlib import Path

import httpx

from shared.harness.loopback import CONTEXT

# The options that the pages use, as `man curl` has them.
PARSER = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
PARSER.add_argument("program", choices=["curl"])
PARSER.add_argument("url")
PARSER.add_argument("-X", "--request")
PARSER.add_argument("-H", "--header", action="append", default=[])
PARSER.add_argument("-d", "--data", "--data-binary", action="append", default=[])
PARSER.add_argument("--json", action="append", default=[])
PARSER.add_argument("-F", "--form", action="append", default=[])  # files only
PARSER.add_argument("-b", "--cookie", action="append", default=[])
PARSER.add_argument("-i", "--include", action="store_true")


def curl(command: str, directory: Path, **options: object) -> str:
    """Return what a `curl` command prints, as text.

    directory: where it reads files. options: those of httpx.Client. Follows no redirect, as curl.
    Raises httpx.HTTPError without an answer, and SystemExit for another program or option.
    """
    arguments = PARSER.parse_args(shlex.split(command))
    data, json = arguments.data, arguments.json
    headers = httpx.Headers({"Accept": "*/*"})
    if data:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    if json:
        headers["Content-Type"] = headers["Accept"] = "application/json"
    for header in [*map("Cookie:{}".format, arguments.cookie), *arguments.header]:
        name, _, value = header.partition(":")
        headers[name] = value.strip()
    parts = [
        (directory / part[1:]).read_bytes() if part.startswith("@") else part.encode()
        for part in [*data, *json]
    ]
    files = {}
    for part in arguments.form:
        name, file = part.split("=@")
        files[name] = (file, (directory / file).read_bytes())
    method = arguments.request or ("POST" if parts or files else "GET")
    body = {"content": b"&".join(parts)} if parts else {"files": files}
    with httpx.Client(**{"timeout": 60, "verify": CONTEXT, **options}) as client:
        answer = client.request(method, arguments.url, headers=headers, **body)
    if not arguments.include:
        return answer.text
    lines = [f"{answer.http_version} {answer.status_code} {answer.reason_phrase}"]
    raw = answer.headers.raw  # names as they were sent
    lines += [f"{name.decode()}: {value.decode('latin-1')}" for name, value in raw]
    return "\n".join([*lines, "", answer.text])
