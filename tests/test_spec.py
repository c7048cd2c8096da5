"""The examples' specs say what the APIs do: valid, in agreement, and fuzzed over HTTP."""

import functools
import operator
import os
import random
import re
import subprocess
import sys

import pytest
from openapi_spec_validator import validate

from shared import contract

pytestmark = pytest.mark.having("spec_url")

INFO = {"title": "Greetings API", "description": "A friendly API for humans", "version": "0.1.0"}


@pytest.fixture(scope="session")
def spec(client, example):
    """The example's spec, as it is served."""
    response = client.get(example.spec_url)
    assert response.status_code == 200
    return response.json()


def resolved(value, spec):
    """A part of a spec with its references in place."""
    if isinstance(value, list):
        return [resolved(item, spec) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        path = value["$ref"].removeprefix("#/").split("/")
        return resolved(functools.reduce(operator.getitem, path, spec), spec)
    return {key: resolved(item, spec) for key, item in value.items()}


def test_spec_is_valid_and_has_the_title_of_the_api(spec):
    validate(spec)  # of Swagger 2 or OpenAPI 3
    # Flasgger has its own terms of service by default, behind a dead link.
    assert {key: value for key, value in spec["info"].items() if value} == INFO


@pytest.mark.parametrize("kind", ["list", "item"])
def test_operation_takes_and_answers_what_the_contract_says(spec, example, kind):
    assert set(spec["paths"]) == {example.list_url, example.item_url}
    path = {"list": example.list_url, "item": example.item_url}[kind]
    item = resolved(spec["paths"][path], spec)
    assert item.keys() - {"parameters"} == {"get"}
    operation = item["get"]
    parameters = item.get("parameters", []) + operation.get("parameters", [])
    answer = operation["responses"]["200"]
    answer = answer.get("content", {}).get("application/json", answer)  # OpenAPI 3, or Swagger 2
    schema = answer["schema"]
    if kind == "list":
        assert operation["summary"].startswith("List all")
        assert (operation["operationId"], parameters) == ("list_greetings", [])
        assert schema["type"] == "array"
        schema = schema["items"]
    else:
        assert operation["summary"] == "Get the greeting of a language"
        # The guide has one of each.
        assert operation["operationId"] in ("get_greeting", "get_greetings")
        (lang,) = parameters
        assert (lang["name"], lang["in"], lang["required"]) == ("lang", "path", True)
        assert lang.get("schema", lang)["type"] == "string"
        assert "language" in lang["description"]
        assert lang.get("default") == {"flasgger": "en"}.get(example.id)
    assert sorted(schema["required"]) == ["lang", "text"] == sorted(schema["properties"])
    lang, text = schema["properties"]["lang"], schema["properties"]["text"]
    assert lang["type"] == "string"
    # python-restx/flask-restx#156: text may be null.
    null = text["type"] == ["string", "null"] or text.get("nullable") or text.get("x-nullable")
    assert null and "string" in text["type"]
    for shown in answer.get("examples", {}).values():
        for greeting in shown if kind == "list" else [shown]:
            assert greeting in contract.greetings()


@pytest.mark.one_mount
def test_schemathesis_finds_nothing(client, base, example, deep, tmp_path):
    """With 20 examples and a fixed seed; in the deep run with 160 and a new seed, at both mounts."""
    examples, seed = (160, random.randrange(2**32)) if deep else (20, 1)
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
