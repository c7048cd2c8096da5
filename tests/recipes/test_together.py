"""All recipes of an example in one copy."""

import json

import pytest

from shared.harness.recipes import recipes_for
from shared.harness.thread import MOUNTS


@pytest.fixture(params=[1, -1], ids=["in-order", "reversed"])
def client(request, cook, example):
    """A client of a copy with all recipes."""
    return cook(*[*recipes_for(example)][:: request.param], code='\nLOCKED = ("/nothing",)\n')


def test_all_recipes_of_an_example_work_together(client, example):
    listed = client.get(f"{example.list_url}?limit=2&page=2").json
    assert [item["lang"] for item in listed] == ["chr", "en"]
    assert client.get(example.item_url.format(lang="en")).json["text"] == "Hello"
    for url in ("/price", "/frame", "/count", "/visits/1", "/visits/"):
        assert client.get(url).status_code == 200, url
    assert client.get("/files/nothing").status_code == 404


@pytest.mark.having("spec_url")
def test_spec_has_what_all_recipes_add(client, example):
    """flask-restplus#127"""
    paths = client.get(example.spec_url).json["paths"]
    assert "/visits/{id}" in paths
    files, listed, item = paths["/files/"]["post"], paths[example.list_url], paths[example.item_url]
    parameters = {parameter["name"] for parameter in listed["get"]["parameters"]}
    assert parameters == {"search", "page", "limit"}
    assert {*listed, *item} >= {"get", "post", "put", "delete"}
    assert "404" in item["put"]["responses"] and "404" in item["delete"]["responses"]
    if example.id == "restx":
        assert files["consumes"] == ["multipart/form-data"]
        (file,) = files["parameters"]
        assert (file["name"], file["in"], file["type"]) == ("file", "formData", "file")


@pytest.mark.of("flasgger")
def test_openapi_3_has_what_all_recipes_add(client, example):
    """flasgger#366, #608, #267, #321, #374"""
    for mount in (MOUNTS["content"], MOUNTS["vanity"]):
        spec = client.get(example.spec_url, environ_overrides={"SCRIPT_NAME": mount}).json
        assert spec["servers"] == [{"url": mount}]
    # What OpenAPI 3 does not have, or has elsewhere.
    words = ("swagger", "basePath", "definitions", "produces", "consumes", "formData", "x-nullable")
    assert not [word for word in words if f'"{word}"' in json.dumps(spec)]
    assert set(spec["components"]["schemas"]) == {"Greeting", "NewGreeting", "Visit"}
    assert list(spec["components"]["securitySchemes"]) == ["key"]
    listed, item = spec["paths"]["/greetings/"], spec["paths"]["/greetings/{lang}/"]
    greeting = {"$ref": "#/components/schemas/Greeting"}
    assert item["get"]["responses"]["200"]["content"]["application/json"]["schema"] == greeting
    for operation in (listed["post"], item["put"]):
        content = operation["requestBody"]["content"]["application/json"]
        assert content["schema"] == {"$ref": "#/components/schemas/NewGreeting"}
    files = spec["paths"]["/files/"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert files["schema"]["properties"] == {"file": {"type": "string", "format": "binary"}}
    limit = next(each for each in listed["get"]["parameters"] if each["name"] == "limit")
    assert limit["schema"]["maximum"] == 100
    # The recipe of POST reads its schema from the spec.
    assert client.post("/greetings/", json={"lang": "et", "text": "Tere"}).status_code == 201
    assert client.post("/greetings/", json={}).status_code == 400
