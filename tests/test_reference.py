"""The check of `tox run -e reference` sees what is wrong with an answer, in a small document."""

import flask
import pytest

from tests.connect import reference

PATH = "/v1/things/{name}"
ERROR = {"code": 4, "error": "There is no such thing.", "payload": None}


@pytest.fixture
def problems(monkeypatch):
    """What is wrong with an answer; as Posit's, the document requires nothing."""
    for name in ("OPERATIONS", "STATUSES", "OPTIONAL", "PARTS"):
        monkeypatch.setattr(reference, name, {})

    def problems(body, status=200, path="/v1/things/1", method="GET"):
        properties = {"name": {"type": "string"}, "size": {"type": "integer", "nullable": True}}
        answer = {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}
        document = {
            "openapi": "3.0.3",
            "info": {"title": "Things", "version": "1"},
            "paths": {PATH: {"get": {"responses": {"200": {"content": answer}}}}},
            "components": {
                "schemas": {
                    "APIError": {"type": "object", "properties": {"code": {"type": "integer"}}},
                    "Thing": {"type": "object", "properties": properties},
                }
            },
        }
        held = reference.Reference(document)
        answer = flask.Response(flask.json.dumps(body), status, mimetype="application/json")
        with flask.Flask(__name__).test_request_context(f"/__api__{path}", method=method):
            held.hold(None, answer)
        return held.problems

    return problems


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"body": {"name": "1"}}, "$: 'size' is a required property"),
        ({"body": {"name": "1", "size": 1, "sizes": 1}}, "$: Additional properties"),
        ({"body": {"name": 1, "size": None}}, "$.name: 1 is not of type 'string'"),
        ({"body": ERROR, "status": 404}, "Unknown response http status: 404"),
        ({"body": ERROR, "method": "POST"}, "the document has no such operation"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_answer_that_is_not_as_documented_is_one_line(problems, answer, problem):
    [line] = problems(**answer)
    assert problem in line and "\n" not in line


def test_answer_as_documented_and_what_is_not_there_are_good(problems):
    assert problems({"name": "1", "size": None}) == []
    assert problems(ERROR, 501) == []
