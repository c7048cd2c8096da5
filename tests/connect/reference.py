"""Holds each answer of the local Connect's API against Connect's published API document.

A plugin of pytest, for `tox run -e reference`. Whoever asks a server of this process, a test or a
client that it runs: the test fails if the answer is not as the document says.
"""

import functools
import json
import operator
import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import httpx
import pytest
from flask import Request, Response, request, request_finished
from openapi_core import Config, OpenAPI
from openapi_core.contrib.werkzeug import WerkzeugOpenAPIRequest, WerkzeugOpenAPIResponse
from openapi_core.exceptions import OpenAPIError
from openapi_core.templating.paths.exceptions import PathError
from werkzeug.test import create_environ

PUBLISHED = "https://docs.posit.co/connect/api/openapi.json"
API = "/__api__"
METHODS = ("get", "post", "put", "patch", "delete")

# Statuses of the local Connect's own: it is too large, not implemented, it is stopping, disk full.
OWN = {413, 501, 503, 507}

# What real servers answer and the document does not say, each with its source.
# Operations that it lacks: their answers may be any JSON.
OPERATIONS = {
    "GET /server_settings": "rsconnect-python's api.py; undocumented, says posit-dev/publisher",
    "GET /applications/{id}": "rsconnect-python's api.py, for --app-id with a number",
    # posit-dev/publisher packages/connect-api/src/client.ts asks for all of them.
    "GET /server_settings/applications": "posit-dev/publisher client.ts",
    "GET /server_settings/scheduler": "posit-dev/publisher client.ts",
    "GET /server_settings/scheduler/{mode}": "posit-dev/publisher client.ts",
    "GET /v1/server_settings/r": "posit-dev/publisher client.ts",
    "GET /v1/server_settings/quarto": "posit-dev/publisher client.ts",
    # The whole document has them; a reduced one may not.
    "GET /v1/content/{guid}/permissions": "Connect's cookbook, Sharing content",
    "POST /v1/content/{guid}/permissions": "Connect's cookbook, Sharing content",
    "GET /v1/content/{guid}/permissions/{id}": "posit-sdk-py's permissions.py",
    "PUT /v1/content/{guid}/permissions/{id}": "posit-sdk-py's permissions.py",
    "DELETE /v1/content/{guid}/permissions/{id}": "posit-sdk-py's permissions.py",
}
# Statuses that it lacks, of the operations that match; * is any text.
STATUSES = {
    "POST /v1/content 409": "rstudio/pins-r#289, a name in use",
    "PATCH /v1/content/{guid} 409": "rstudio/pins-r#289, a name in use",
    "* /v1/content/{guid}/environment 409": "its part API Error Codes, 149: a name comes twice",
    "* /v1/content/{guid}* 403": "posit-dev/connect-extensions#166, content of others",
    "GET /v1/vanities 403": "its description: for administrators; code 22 in connectapi",
}
# Fields that it names, and that not every answer has.
OPTIONAL = {
    "Content.owner": "its description: with include=owner",
    "Content.tags": "its description: with include=tags",
    "Content.vanity_url": "its description: with include=vanity_url, if set",
    "Content.bookmarked": "its description: with include=bookmarked",
    "Content.schedules": "its description: with include=schedule",
    "User.external_id": "its description: for administrators; posit-sdk-py's user.json lacks it",
}
# Parts of its schemas that are otherwise.
PARTS = {
    "APIError.properties.code": ("APIErrorCode", "its description"),
    "Group.allOf.0": ("GroupOutput", "connectapi's recordings; TrustedPublisher is a slip"),
    "LogEntries.properties.entries.items": ("LogEntry", "connectapi's recordings, 2024.08.0"),
    "PyInstallation.properties.publishable": ({"type": "boolean"}, "rsconnect's preflight.py"),
}


class Reference:
    """A document, and the answers that are not as it says."""

    def __init__(self, document: dict) -> None:
        """document: OpenAPI 3.0 or 3.1; changed to what `hold` wants."""
        document["servers"] = [{"url": API}]
        amend(document)
        demand_all_fields(document)
        # Whether the document itself is valid is Posit's affair.
        self._openapi = OpenAPI.from_dict(document, config=Config(spec_validator_cls=None))
        self.compared = 0
        self.problems: list[str] = []  # a line for each answer that is not as documented

    def hold(self, sender: object, response: Response, **more: object) -> None:
        """Compare the answer to the present request; a receiver of `request_finished`."""
        if request.path.startswith(f"{API}/") and response.status_code not in OWN:
            self.compared += 1
            if difference := self._difference(response):
                answer = f"{request.method} {request.path} got {response.status_code}"
                self.problems.append(f"{answer}: {difference}")

    def _difference(self, response: Response) -> str:
        # A file is not read: the document says no more of it than its type.
        body = b"a file" if response.direct_passthrough else response.get_data()
        answer = WerkzeugOpenAPIResponse(
            Response(body, response.status, mimetype=response.mimetype)
        )
        # Without the body, which may be on its way yet.
        environ = create_environ(request.path, method=request.method)
        try:
            self._openapi.validate_response(WerkzeugOpenAPIRequest(Request(environ)), answer)
        except PathError:
            if response.status_code in (401, 404):
                return ""
            return (
                "the document has no such operation: correct the path, or add it to "
                "OPERATIONS in tests/connect/reference.py, with a source."
            )
        except OpenAPIError as error:
            reasons = getattr(error.__cause__, "schema_errors", ())
            reason = "; ".join(f"{each.json_path}: {each.message[:100]}" for each in reasons)
            return f"it is documented otherwise: {reason or error}."
        return ""


def amend(document: dict) -> None:
    """Add to a document what it does not say."""
    paths, schemas = document["paths"], document["components"]["schemas"]
    for operation in OPERATIONS:
        method, path = operation.split()
        anything = {"description": "", "content": {"application/json": {}}}
        responses = {"204": {"description": ""}, "default": anything}
        paths.setdefault(path, {}).setdefault(method.lower(), {"responses": responses})
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/APIError"}}}
    for key in STATUSES:
        method, start, status = key.split()
        for path, item in paths.items():
            for name in item.keys() & METHODS:
                if fnmatchcase(f"{name.upper()} {path}", f"{method} {start}"):
                    answer = {"description": "", "content": error}
                    item[name]["responses"].setdefault(status, answer)
    for place, (part, _) in PARTS.items():
        *above, last = [int(key) if key.isdigit() else key for key in place.split(".")]
        value = {"$ref": f"#/components/schemas/{part}"} if isinstance(part, str) else part
        functools.reduce(operator.getitem, above, schemas)[last] = value


def demand_all_fields(document: dict) -> None:
    """Make answers have all fields that a document names, but for OPTIONAL, and no others.

    Posit's document requires almost none, and real answers have them all.
    """
    schemas = document["components"]["schemas"]
    optional: dict[int, set[str]] = {}
    for field in OPTIONAL:
        name, _, key = field.partition(".")
        optional.setdefault(id(schemas[name]), set()).add(key)
    for schema in objects_in([document["paths"], document["components"]]):
        if len(schema.get("allOf", ())) > 1:
            schema |= {"type": "object", "properties": properties_of(schema, schemas)}
            del schema["allOf"]
        if schema.get("type") == "object" and "properties" in schema:
            schema["required"] = sorted(schema["properties"].keys() - optional.get(id(schema), ()))
            schema["additionalProperties"] = False


def properties_of(schema: dict, schemas: dict) -> dict:
    """The properties of a schema and of all its parts."""
    schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    properties = dict(schema.get("properties", {}))
    for part in schema.get("allOf", ()):
        properties |= properties_of(part, schemas)
    return properties


def objects_in(value: object) -> Iterator[dict]:
    """All JSON objects in a value, it included."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from objects_in(item)


def pytest_configure(config: pytest.Config) -> None:
    name = os.environ.get("CONNECT_OPENAPI") or PUBLISHED
    try:
        if "://" in name:
            text = httpx.get(name, follow_redirects=True, timeout=60).raise_for_status().text
        else:
            text = Path(name).read_text(encoding="utf-8")
        reference = config.stash[KEY] = Reference(json.loads(text))
    except (OSError, httpx.HTTPError, LookupError, TypeError, ValueError) as why:
        message = f"{name} is not read as Connect's OpenAPI document: {why!r}"
        hint = "Set CONNECT_OPENAPI to a file or URL that is."
        raise pytest.UsageError(f"{message}. {hint}") from None
    request_finished.connect(reference.hold)


def failing(item: pytest.Item) -> Iterator[None]:
    """Fail a phase of a test during which an answer was not as documented."""
    problems = item.config.stash[KEY].problems
    try:
        return (yield)
    finally:
        if problems:
            lines = "\n".join(dict.fromkeys(problems))
            problems.clear()
            pytest.fail(lines, pytrace=False)


KEY = pytest.StashKey[Reference]()
wrapper = pytest.hookimpl(wrapper=True)
# What its fixtures were answered fails a test after its call.
pytest_runtest_call = pytest_runtest_teardown = wrapper(failing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    compared = terminalreporter.config.stash[KEY].compared
    terminalreporter.write_line(f"{compared} answers are compared with Connect's API document")
