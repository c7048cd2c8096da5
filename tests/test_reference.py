"""The check of `tox run -e reference` sees what is wrong with an answer, in a small document."""

import flask
import pytest

from tests.connect import reference

GUID = "0b609163-aad5-4bfd-a723-444e446344e3"
NULLABLE = {"3.0.3": {"type": "string", "nullable": True}, "3.1.0": {"type": ["string", "null"]}}
GOOD = {"guid": GUID, "name": None, "size": 1}
ERROR = {"code": 4, "error": "There is no such thing.", "payload": None}


@pytest.fixture(params=NULLABLE, autouse=True)
def document(request, monkeypatch):
    """A document of each version of OpenAPI; it requires nothing, as Posit's."""
    for name in ("OPERATIONS", "STATUSES", "OPTIONAL", "PARTS"):
        monkeypatch.setattr(reference, name, {})
    properties = {"guid": {"type": "string", "format": "uuid"}, "name": NULLABLE[request.param]}
    answers = {
        "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}}
    }
    return {
        "openapi": request.param,
        "info": {"title": "Things", "version": "1"},
        "paths": {"/v1/things/{guid}": {"get": {"responses": answers}}},
        "components": {
            "schemas": {
                "APIError": {"type": "object", "properties": {"code": {"type": "integer"}}},
                "Named": {
                    "type": "object",
                    "properties": properties,
                    "additionalProperties": False,
                },
                "Thing": {
                    "allOf": [
                        {"$ref": "#/components/schemas/Named"},
                        {"type": "object", "properties": {"size": {"type": "integer"}}},
                    ]
                },
            }
        },
    }


def problems(document, body, status=200, path=f"/v1/things/{GUID}", method="GET"):
    """What is wrong with an answer."""
    held = reference.Reference(document)
    with flask.Flask(__name__).test_request_context(f"/__api__{path}", method=method):
        held.hold(None, flask.Response(flask.json.dumps(body), status, mimetype="application/json"))
    return held.problems


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"body": {"guid": GUID, "size": 1}}, "$: 'name' is a required property"),
        ({"body": GOOD | {"nmae": None}}, "$: Additional properties are not allowed ('nmae'"),
        ({"body": GOOD | {"size": "1"}}, "$.size: '1' is not of type 'integer'"),
        ({"body": GOOD | {"size": None}}, "$.size: None"),
        ({"body": GOOD | {"guid": "1"}}, "$.guid: '1' is not a 'uuid'"),
        ({"body": ERROR, "status": 404}, "Unknown response http status: 404"),
        ({"body": GOOD, "method": "POST"}, "the document has no such operation"),
        ({"body": GOOD, "path": "/v1/others"}, "the document has no such operation"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)
def test_answer_that_is_not_as_documented_is_told_in_one_line(document, answer, told):
    (line,) = problems(document, **answer)
    path, status = answer.get("path", f"/v1/things/{GUID}"), answer.get("status", 200)
    method = answer.get("method", "GET")
    assert line.startswith(f"{method} /__api__{path} got {status}: ")
    assert told in line and "\n" not in line


@pytest.mark.parametrize(
    "answer",
    [
        {"body": GOOD},
        {"body": ERROR, "status": 501},
        {"body": ERROR, "status": 501, "path": "/v1/others"},
        {"body": ERROR, "status": 404, "path": "/v1/others"},
    ],
    ids=str,
)
def test_answer_as_documented_and_what_is_not_there_are_good(document, answer):
    assert problems(document, **answer) == []


def test_what_the_document_lacks_is_added(document, monkeypatch):
    monkeypatch.setattr(reference, "OPERATIONS", {"GET /v1/others": "a source"})
    monkeypatch.setattr(reference, "STATUSES", {"* /v1/things/{guid}* 404": "a source"})
    monkeypatch.setattr(reference, "OPTIONAL", {"Thing.name": "a source"})
    added = {"Named.properties.more": ({"type": "boolean"}, "a source")}
    monkeypatch.setattr(reference, "PARTS", added)
    body = {"guid": GUID, "size": 1, "more": True}
    assert problems(document, body) == []
    assert problems(document, body, path="/v1/others") == []
    assert problems(document, {"code": 4}, 404) == []
