"""The examples' specs say what the APIs do: valid, in agreement, and fuzzed over HTTP."""

import os
import random
import re
import subprocess
import sys

import pytest
from openapi_spec_validator import OpenAPIV2SpecValidator

from shared import contract

pytestmark = pytest.mark.having("spec_url")

INFO = {"title": "Greetings API", "description": "A friendly API for humans", "version": "0.1.0"}
# python-restx/flask-restx#156: text may be null.
GREETING = {
    "type": "object",
    "required": ["lang", "text"],
    "properties": {"lang": {"type": "string"}, "text": {"type": "string", "x-nullable": True}},
}
LANG = {"name": "lang", "in": "path", "type": "string", "required": True}
FOR_READERS = ("description", "default", "title", "example")


@pytest.fixture(scope="session")
def spec(client, example):
    """The example's Swagger 2.0 spec, as it is served."""
    response = client.get(example.spec_url)
    assert response.status_code == 200
    return contract.parse(response.content)


def plain(value, definitions):
    """A part of a spec with its references in place, and without what is for readers only."""
    if isinstance(value, list):
        return sorted(plain(item, definitions) for item in value)
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return plain(definitions[value["$ref"].rpartition("/")[2]], definitions)
    return {key: plain(item, definitions) for key, item in value.items() if key not in FOR_READERS}


def test_spec_is_valid_and_has_the_title_of_the_api(spec):
    errors = OpenAPIV2SpecValidator(spec).iter_errors()
    assert [error.message for error in errors] == []
    # Flasgger has its own terms of service by default, behind a dead link.
    assert {key: value for key, value in spec["info"].items() if value} == INFO


# noirbizarre/flask-restplus#755, flasgger/flasgger#607
def test_base_path_is_the_mount(spec, client):
    assert spec["basePath"] == (client.base_url.path.rstrip("/") or "/")


def test_operations_are_those_of_the_guide(spec, example):
    operations = {
        (path, method): operation["operationId"]
        for path, item in spec["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }
    item = operations.pop((example.item_url, "get"))
    assert operations == {(example.list_url, "get"): "list_greetings"}
    assert item in ("get_greeting", "get_greetings")  # the guide has one of each


def test_operations_have_a_summary(spec):
    summaries = [item["get"].get("summary", "") for item in spec["paths"].values()]
    assert sorted(summaries)[0].startswith("Get the greeting of a language")
    assert sorted(summaries)[1].startswith("List all")


@pytest.mark.parametrize("kind", ["list", "item"])
def test_operation_takes_and_answers_what_the_contract_says(spec, example, kind):
    path = {"list": example.list_url, "item": example.item_url}[kind]
    item, operation = spec["paths"][path], spec["paths"][path]["get"]
    parameters = item.get("parameters", []) + operation.get("parameters", [])
    definitions = spec["definitions"]
    assert [plain(value, definitions) for value in parameters] == [LANG] * (kind == "item")
    answer = operation["responses"]["200"]
    array = {"type": "array", "items": GREETING}
    assert plain(answer["schema"], definitions) == (array if kind == "list" else GREETING)
    for shown in answer.get("examples", {}).values():
        for greeting in shown if kind == "list" else [shown]:
            assert greeting in contract.greetings()


def test_every_security_that_is_asked_for_is_defined(spec):
    parts = [spec, *(item["get"] for item in spec["paths"].values())]
    names = {name for part in parts for asked in part.get("security", ()) for name in asked}
    assert names <= set(spec.get("securityDefinitions", ()))


@pytest.mark.one_mount
def test_schemathesis_finds_nothing(client, base, example, deep, tmp_path):
    """With 80 examples and a fixed seed; in the deep run with 160 and a new seed, at both mounts."""
    examples, seed = (160, random.randrange(2**32)) if deep else (80, 1)
    url = base + example.spec_url
    command = [sys.executable, "-m", "schemathesis.cli", "run", url, "--checks=all", "--no-color"]
    command += [f"--max-examples={examples}", f"--seed={seed}", "--generation-database=none"]
    command += [f"--header=Authorization: {client.headers['Authorization']}"]
    # In a directory without a schemathesis.toml, which could disable a check.
    run = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    print(*command, run.stdout)
    assert run.returncode == 0
    assert int(re.search(r"(\d+) generated, \1 passed", run.stdout)[1]) > 6 * examples
