"""The check of `tox run -e reference` sees what is wrong with an answer, in a small document."""

import flask

from tests.connect import reference

THING = {"name": {"type": "string"}, "size": {"type": "integer", "nullable": True}}
ANSWER = {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}
# As Posit's, it requires nothing.
DOCUMENT = {
    "openapi": "3.0.3",
    "info": {"title": "Things", "version": "1"},
    "paths": {"/v1/things/{name}": {"get": {"responses": {"200": {"content": ANSWER}}}}},
    "components": {"schemas": {"Thing": {"type": "object", "properties": THING}}},
}
ERROR = {"code": 4, "error": "There is no such thing.", "payload": None}
ANSWERS = [
    ("GET", 200, {"name": "1", "size": None}, None),
    ("GET", 501, ERROR, None),
    ("GET", 200, {"name": "1"}, "$: 'size' is a required property"),
    ("GET", 200, {"name": "1", "size": 1, "sizes": 1}, "$: Additional properties"),
    ("GET", 200, {"name": 1, "size": None}, "$.name: 1 is not of type 'string'"),
    ("GET", 404, ERROR, "Unknown response http status: 404"),
    ("POST", 200, ERROR, "the document has no such operation"),
]


def test_each_answer_that_is_not_as_documented_is_one_line(monkeypatch):
    for name in ("OPERATIONS", "STATUSES", "OPTIONAL", "PARTS"):
        monkeypatch.setattr(reference, name, {})
    held = reference.Reference(DOCUMENT)
    for method, status, body, problem in ANSWERS:
        held.problems.clear()
        answer = flask.Response(flask.json.dumps(body), status, mimetype="application/json")
        with flask.Flask(__name__).test_request_context("/__api__/v1/things/1", method=method):
            held.hold(None, answer)
        if problem is None:
            assert held.problems == []
        else:
            [line] = held.problems
            assert problem in line and "\n" not in line
