"""The examples' specs say what the APIs do: valid, in agreement, and fuzzed over HTTP."""

import os
import random
import re
import subprocess
import sys

import pytest
from jsonschema import Draft4Validator
from openapi_spec_validator import OpenAPIV2SpecValidator

from shared import contract
from tests.conftest import DEEP

pytestmark = pytest.mark.having("spec_url")

INFO = {"title": "Greetings API", "description": "A friendly API for humans", "version": "0.1.0"}
GREETING = {
    "type": "object",
    "required": ["lang", "text"],
    "properties": {"lang": {"type": "string"}, "text": {"type": "string", "x-nullable": True}},
}
LANG = {"name": "lang", "in": "path", "type": "string", "required": True}


@pytest.fixture(scope="session")
def spec(client, example):
    """The example's Swagger 2.0 spec, as it is served."""
    response = client.get(example.spec_url)
    assert response.status_code == 200
    return contract.parse(response.content)


def resolve(spec, schema):
    """The schema with its references in place, and without what is for readers only."""
    if "$ref" in schema:
        _, definitions, name = schema["$ref"].split("/")
        schema = spec[definitions][name]
    kept = {
        key: value
        for key, value in schema.items()
        if key not in ("description", "default", "title", "example")
    }
    if "items" in kept:
        kept["items"] = resolve(spec, kept["items"])
    if "properties" in kept:
        properties = kept["properties"].items()
        kept["properties"] = {name: resolve(spec, value) for name, value in properties}
        kept["required"] = sorted(kept.get("required", ()))
    return kept


def schema_of(spec, path):
    """The schema of the answer to GET, as it is in the spec, but for references."""
    return resolve(spec, spec["paths"][path]["get"]["responses"]["200"]["schema"])


def parameters_of(spec, path):
    """What GET can be given, by the path as a whole or by the operation."""
    item = spec["paths"][path]
    given = item.get("parameters", []) + item["get"].get("parameters", [])
    return [resolve(spec, parameter) for parameter in given]


def as_json_schema(schema):
    """The schema of a Swagger spec as a JSON schema, which has no x-nullable."""
    schema = dict(schema)
    if schema.pop("x-nullable", False):
        schema["type"] = [schema["type"], "null"]
    if "items" in schema:
        schema["items"] = as_json_schema(schema["items"])
    if "properties" in schema:
        properties = schema["properties"].items()
        schema["properties"] = {name: as_json_schema(value) for name, value in properties}
    return schema


def test_spec_is_valid(spec):
    errors = OpenAPIV2SpecValidator(spec).iter_errors()
    assert [error.message for error in errors] == []


def test_spec_has_the_title_of_the_api(spec):
    assert {name: spec["info"].get(name) for name in INFO} == INFO


def test_spec_has_no_dead_terms_of_service(spec):
    assert not spec["info"].get("termsOfService")


def test_base_path_is_the_mount(spec, client):
    assert spec["basePath"] == (client.base_url.path.rstrip("/") or "/")


def test_spec_has_both_operations_and_no_other(spec, example):
    operations = {path: sorted(set(item) - {"parameters"}) for path, item in spec["paths"].items()}
    assert operations == {example.list_url: ["get"], example.item_url: ["get"]}


def test_operation_ids_are_those_of_the_guide(spec, example):
    assert spec["paths"][example.list_url]["get"]["operationId"] == "list_greetings"
    item = spec["paths"][example.item_url]["get"]["operationId"]
    assert item in ("get_greeting", "get_greetings")  # the guide has one of each


def test_operations_take_the_language_alone(spec, example):
    assert parameters_of(spec, example.list_url) == []
    assert parameters_of(spec, example.item_url) == [LANG]


def test_every_security_that_is_asked_for_is_defined(spec):
    asked = list(spec.get("security", ()))
    for item in spec["paths"].values():
        asked += item["get"].get("security", ())
    names = {name for requirement in asked for name in requirement}
    assert names <= set(spec.get("securityDefinitions", ()))


def test_answers_have_the_schema_of_the_contract(spec, example):
    assert schema_of(spec, example.item_url) == GREETING
    assert schema_of(spec, example.list_url) == {"type": "array", "items": GREETING}


def test_documented_examples_are_greetings(spec, example):
    for path in (example.list_url, example.item_url):
        examples = spec["paths"][path]["get"]["responses"]["200"].get("examples", {})
        for media_type, value in examples.items():
            assert media_type == contract.MEDIA_TYPE
            for item in value if path == example.list_url else [value]:
                assert item in contract.greetings()


def test_answers_are_as_the_spec_says(spec, client, example):
    answers = {example.list_url: [client.get(example.list_url).json()]}
    answers[example.item_url] = [
        client.get(example.item_url.format(lang=lang)).json()
        for lang in (*contract.KNOWN, *contract.UNKNOWN)
    ]
    for path, values in answers.items():
        validator = Draft4Validator(as_json_schema(schema_of(spec, path)))
        for value in values:
            validator.validate(value)


@pytest.mark.one_mount
def test_schemathesis_finds_nothing(client, headers, example, tmp_path):
    """With 80 examples and a fixed seed; in the deep run with 160 and a new seed, at both mounts."""
    examples, seed = (160, random.randrange(2**32)) if DEEP else (80, 1)
    url = str(client.base_url).rstrip("/") + example.spec_url
    command = [sys.executable, "-m", "schemathesis.cli", "run", url, "--checks=all", "--no-color"]
    command += [f"--max-examples={examples}", f"--seed={seed}", "--generation-database=none"]
    command += [f"--header={name}: {value}" for name, value in headers.items()]
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
