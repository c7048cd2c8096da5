"""What readers change in a copy works as the package's documentation says.

A comment such as `flask-restx#499` names the report that a test comes from.
"""

import logging

import pytest
from werkzeug.test import Client

from shared.harness.thread import load


@pytest.fixture
def edited(copy):
    """Adds code at the end of app.py in a copy; returns a client of it."""

    def edited(code):
        with (copy / "app.py").open("a", encoding="utf-8") as file:
            file.write(code)
        return Client(load(copy))

    return edited


def test_error_handlers_of_the_app_answer(edited):
    client = edited("""
class Sold(Exception):
    pass

@app.errorhandler(Sold)
@app.errorhandler(404)
@app.errorhandler(405)
def answer_error(error):
    return {"own": type(error).__name__}, 400

@app.route("/sold/out")
def sell():
    raise Sold
""")
    answers = [client.get("/sold/out"), client.get("/no/such/page"), client.post("/sold/out")]
    names = [answer.json["own"] for answer in answers]
    assert names == ["Sold", "NotFound", "MethodNotAllowed"]


def test_route_takes_a_form(edited):
    client = edited("""
from flask import request

@app.route("/form/of", methods=["POST"])
def read_form():
    return request.form.to_dict(flat=False)
""")
    form = {"lang": ["pt", "fr"], "text": ["Olá & bom dia"], "note": [""]}
    assert client.post("/form/of", data=form).json == form
    odd = {"data": b"text=\xff", "content_type": "application/x-www-form-urlencoded"}
    assert client.post("/form/of", **odd).status_code == 200


@pytest.mark.of("restx")
def test_resource_writes_dates_and_decimals_as_the_app(edited):
    """flask-restx#355, flask-restplus#608"""
    client = edited("""
import datetime, decimal

@ns.route("/of/values")
class Values(Resource):
    def get(self):
        return {"day": datetime.date(2026, 1, 2), "more": [decimal.Decimal("1.50")]}

class IsoProvider(type(app.json)):
    def default(self, value):
        return value.isoformat() if hasattr(value, "isoformat") else super().default(value)

app.json = IsoProvider(app)
""")
    assert client.get("/greetings/of/values").json == {"day": "2026-01-02", "more": ["1.50"]}


@pytest.mark.of("restx")
def test_routes_below_a_prefix_that_ends_in_a_slash_answer(edited):
    """flask-restplus#70"""
    client = edited("""
from flask import Blueprint

second = Api(Blueprint("v1", __name__, url_prefix="/v1/"))
farewells = api.namespace("farewells", path="/farewells/")
things = second.namespace("things")

@farewells.route("/")
@things.route("/")
class Things(Resource):
    def get(self):
        return ["thing"]

app.register_blueprint(second.blueprint)
""")
    for url in ("/farewells/", "/v1/things/"):
        assert client.get(url, follow_redirects=True).json == ["thing"]
        # An exception out of the app fails this test (flask-restx#499).
        for path in (url, f"{url}/", url.replace("/", "//")):
            for method in ("GET", "POST", "BREW"):
                environ = {"REQUEST_METHOD": method, "PATH_INFO": path}
                answer = client.open("/", environ_overrides=environ)
                assert answer.status_code in ((200, 308) if method == "GET" else (404, 405)), path
        assert client.post(f"{url}/").json["message"].startswith("The method is not allowed")


@pytest.mark.of("restx")
def test_host_that_is_not_trusted_is_refused(edited):
    client = edited("""
from flask import Blueprint

app.config["TRUSTED_HOSTS"] = ["connect.test"]
second = Api(Blueprint("v1", __name__))
app.register_blueprint(second.blueprint)

@app.errorhandler(400)
def answer_400(error):
    return {"own": 400}, 400
""")
    for host in ("evil.test", f"{'a' * 64}.test"):
        answer = client.get("/greetings/en", headers={"Host": host})
        assert (answer.status_code, answer.json) == (400, {"own": 400})
    assert client.get("/greetings/en", headers={"Host": "connect.test"}).status_code == 200


@pytest.mark.of("restx")
def test_view_sees_the_path_that_was_asked(edited):
    client = edited("""
@app.route("/files/<path:name>")
def files(name):
    return [name, request.environ["PATH_INFO"]]
""")
    assert client.get("/files/a//b").json == ["a//b", "/files/a//b"]


@pytest.mark.of("restx")
def test_spec_that_cannot_be_made_leaves_its_cause_in_the_log(edited, copy, caplog, monkeypatch):
    """flask-restx#605; input is validated nevertheless, as in stock Flask-RESTX."""
    text = (copy / "app.py").read_text(encoding="utf-8")
    start, end = text.index("class GreetingsApi"), text.index("class NullableString")
    (copy / "ours.py").write_text(f"from flask_restx import Api\n\n{text[start:end]}", "utf-8")
    text = text[:start] + "from ours import GreetingsApi\n" + text[end:]
    (copy / "app.py").write_text(text, "utf-8")
    monkeypatch.syspath_prepend(copy)
    client = edited("""
@ns.route("/of/bad")
class Page(Resource):
    @ns.response(200, "Success", "No such model")
    @ns.expect(greeting, validate=True)
    def post(self):
        return {}
""")
    answer = client.get("/swagger.json")
    assert (answer.status_code, answer.json) == (500, {"error": "Unable to render schema"})
    (record,) = caplog.records
    assert (record.levelno, record.exc_info[0]) == (logging.ERROR, ValueError)
    for text, code in {"Hello": 200, 5: 400, None: 400}.items():
        greeting = {"lang": "en", "text": text}
        assert client.post("/greetings/of/bad", json=greeting).status_code == code


@pytest.mark.of("api")
def test_headers_and_page_of_a_view_stay_and_an_empty_page_runs_no_script(edited):
    client = edited("""
@app.route("/own/headers")
def own_headers():
    return {}, 200, {"Vary": "Cookie", "Content-Security-Policy": "img-src 'self'"}

@app.route("/own/page")
def own_page():
    return "<script>alert(1)</script>"

@app.route("/own/nothing")
def own_nothing():
    return "", 204
""")
    headers = client.get("/own/headers").headers
    assert headers.getlist("Vary") == ["Cookie", "Accept"]
    policies = headers.getlist("Content-Security-Policy")
    assert policies == ["img-src 'self'", "script-src 'self'"]
    answer = client.get("/own/page", headers={"Accept": "image/png"})
    assert answer.status_code == 200
    assert not {"Content-Security-Policy", "Vary"} & set(answer.headers.keys())
    page = client.get("/own/nothing", headers={"Accept": "text/html"})
    assert "<script" in page.text
    assert page.headers["Content-Security-Policy"] == "script-src 'self'"


@pytest.mark.of("api")
def test_view_has_renderers_of_its_own(edited):
    client = edited("""
from flask_api.decorators import set_renderers
from flask_api.renderers import BaseRenderer

class CSVRenderer(BaseRenderer):
    media_type = "text/csv"

    def render(self, data, media_type, **options):
        return ",".join(data)

@app.route("/own/csv")
@set_renderers(CSVRenderer)
def own_csv():
    return ["a", "b"]
""")
    for accept, code in {"text/csv; charset=utf-8": 200, "*/*": 200, "text/html": 406}.items():
        answer = client.get("/own/csv", headers={"Accept": accept})
        assert answer.status_code == code
        if code == 200:
            assert (answer.text, answer.headers["Content-Type"]) == ("a,b", "text/csv")


@pytest.mark.of("api")
def test_request_class_of_a_copy_negotiates_too(edited):
    client = edited("""
from flask_api.request import APIRequest

class OwnRequest(APIRequest):
    pass

app.request_class = OwnRequest
""")
    accept = {"Accept": "application/json; charset=utf-8, text/html;q=0"}
    assert client.get("/", headers=accept).headers["Content-Type"] == "application/json"


@pytest.mark.of("credentials")
def test_exception_or_object_in_abort_is_a_message(edited):
    """expects-json#23, restful#486"""
    client = edited("""
@app.route("/error")
def refuse():
    abort(400, ValueError("No number: 5"))

@app.route("/object")
def refuse_with_object():
    abort(400, {"limit": {1}})

@app.route("/nothing")
def refuse_without_message():
    abort(400, "")
""")
    messages = {"error": "No number: 5", "object": {"limit": "{1}"}, "nothing": "Bad Request"}
    for path, message in messages.items():
        answer = client.get(path)
        assert (answer.status_code, answer.json) == (400, {"message": message})
