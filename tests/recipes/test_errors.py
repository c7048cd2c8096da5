"""Errors of a copy that answers them in JSON."""

import pytest

BROWSER = {"Accept": "text/html,*/*;q=0.8"}
ERRORS = "Answer errors in JSON"
BROKEN = """
@app.route("/crash/of/app")
def crash():
    raise RuntimeError("secret")


class Teapot(HTTPException):
    code = 418


CAUSES = {"text": "Half a pair: \\ud800", "error": ValueError("No number: 5")}
CAUSES["object"] = {"limit": {1}}


@app.route("/cause/<name>")
def cause(name):
    if name == "teapot":
        raise Teapot
    abort(400, CAUSES[name])
"""
CRASH = """
@ns.route("/crash")
class Crash(Resource):
    def get(self):
        raise RuntimeError("secret")

    def put(self):
        abort(400, ValueError("No number: 5"))

    def delete(self):
        abort(app.response_class("Own body", 400))

    @ns.expect(greeting, validate=True)
    def patch(self):
        return {}
"""


@pytest.fixture(scope="module")
def errors(cook):
    """A client of a copy that answers errors in JSON, and has routes that fail."""
    return cook(ERRORS, code=BROKEN)


@pytest.mark.parametrize("accept", ["*/*", BROWSER["Accept"]])
def test_errors_are_json_for_everybody(errors, example, accept):
    """werkzeug#2550, flask-api#40."""
    headers = {"Accept": accept}
    for answer in (errors.get("/no/such/page", headers=headers), errors.options("/no/such/page")):
        assert (answer.status_code, list(answer.json)) == (404, ["message"])
    for path in (example.list_url, example.item_url.format(lang="en")):
        answer = errors.patch(path, headers=headers)
        assert (answer.status_code, list(answer.json)) == (405, ["message"])
        assert {"GET", "HEAD", "OPTIONS"} <= set(answer.headers["Allow"].split(", "))
    answer = errors.get("/crash/of/app", headers=headers)
    assert (answer.status_code, answer.mimetype) == (500, "application/json")
    assert "secret" not in answer.text and "RuntimeError" not in answer.text
    # Flask raises a redirect to the list, too.
    answer = errors.get(example.list_url.rstrip("/"), headers=headers, follow_redirects=True)
    assert answer.status_code == 200


def test_exception_or_object_in_abort_is_a_message(errors):
    """expects-json#23, restful#486"""
    messages = {"text": "Half a pair: \ud800", "error": "No number: 5"}
    for name, message in (messages | {"object": {"limit": "{1}"}}).items():
        answer = errors.get(f"/cause/{name}")
        assert (answer.status_code, answer.json) == (400, {"message": message})
    answer = errors.get("/cause/teapot")
    assert (answer.status_code, answer.json) == (418, {"message": "I'm a teapot"})


@pytest.mark.of("restx")
def test_resource_answers_as_the_app(cook):
    client = cook(ERRORS, code=CRASH)
    for headers in ({}, BROWSER):
        answer = client.get("/greetings/crash", headers=headers)
        assert (answer.status_code, answer.mimetype) == (500, "application/json")
        assert "secret" not in answer.text
    responses = client.get("/swagger.json").json["responses"].values()
    assert all(response.get("description") for response in responses)
    answer = client.put("/greetings/crash")
    assert (answer.status_code, answer.json) == (400, {"message": "No number: 5"})
    answer = client.delete("/greetings/crash")
    assert (answer.status_code, answer.text) == (400, "Own body")
    answer = client.patch("/greetings/crash", json={"lang": "et"})
    assert (answer.status_code, list(answer.json["errors"])) == (400, ["text"])
