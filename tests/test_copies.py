"""What readers change in a copy works as the package's documentation says."""

import pytest
from werkzeug.test import Client

from shared.harness.thread import load


@pytest.fixture
def edited(copy):
    """Adds code to app.py in a copy, at the end or before some text; returns a client of it."""

    def edited(code, before=None):
        text = (copy / "app.py").read_text(encoding="utf-8")
        text = text.replace(before, code + before, 1) if before else text + code
        (copy / "app.py").write_text(text, encoding="utf-8")
        return Client(load(copy))

    return edited


def test_greeting_that_a_route_adds_is_in_the_list(example, edited):
    client = edited("""
@app.route("/add/<lang>", methods=["POST"])
def add(lang):
    db[lang] = "Tere"
    return "", 204
""")
    assert client.post("/add/et").status_code == 204
    added = {"lang": "et", "text": "Tere"}
    assert client.get(example.item_url.format(lang="et")).json == added
    assert added in client.get(example.list_url).json


ERROR_HANDLERS = """
from flask import abort

class Sold(Exception):
    pass

@app.errorhandler(Sold)
def answer_sold(error):
    return {"own": "sold"}, 409

@app.route("/sold/out")
def sell():
    raise Sold

@app.route("/gone/by")
def go():
    abort(410)
"""


def test_error_handlers_of_the_app_answer(edited):
    codes = "".join(
        f"\n@app.errorhandler({code})\ndef answer_{code}(error):\n    return {{'own': {code}}}, {code}\n"
        for code in (404, 405, 410)
    )
    client = edited(ERROR_HANDLERS + codes)
    answers = {
        "sold": client.get("/sold/out"),
        404: client.get("/no/such/page"),
        405: client.post("/gone/by"),
        410: client.get("/gone/by"),
    }
    assert {own: answer.json for own, answer in answers.items()} == {
        own: {"own": own} for own in answers
    }


def test_error_without_a_handler_is_flasks(edited):
    client = edited(ERROR_HANDLERS)
    for path, code in {"/no/such/page": 404, "/gone/by": 410}.items():
        answer = client.get(path, headers={"Accept": "text/html"})
        assert (answer.status_code, answer.mimetype) == (code, "text/html")


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
def test_second_api_on_a_blueprint_has_its_own_errors(edited):
    code = """
from flask import Blueprint

class Broken(Exception):
    pass

blueprint = Blueprint("v1", __name__, url_prefix="/v1")
second = Api(blueprint)

@second.errorhandler(Broken)
def answer_broken(error):
    return {"message": "broken"}, 418

@second.route("/break")
class Break(Resource):
    def get(self):
        raise Broken

app.register_blueprint(blueprint)

"""
    client = edited(code, before="api = GreetingsApi(")
    answer = client.get("/v1/break")
    assert (answer.status_code, answer.json["message"]) == (418, "broken")
    assert client.get("/v1/swagger.json").json["basePath"] == "/v1"
    assert client.get("/greetings/en").json["text"] == "Hello"


@pytest.mark.of("restx")
def test_model_documents_and_marshal_with_filters(edited):
    """As a comment in app.py says."""
    client = edited("""
@ns.route("/more")
class More(Resource):
    @ns.response(200, "Success", greeting)
    def get(self):
        return {"lang": "en", "text": "Hello", "more": 1}

    @ns.marshal_with(greeting)
    def post(self):
        return {"lang": "en", "text": "Hello", "more": 1}
""")
    assert "more" in client.get("/greetings/more").json
    assert "more" not in client.post("/greetings/more").json


@pytest.mark.of("api")
def test_headers_of_a_route_stay(edited):
    client = edited("""
@app.route("/own/headers")
def own_headers():
    return {}, 200, {"Vary": "Cookie", "Content-Security-Policy": "img-src 'self'"}
""")
    headers = client.get("/own/headers").headers
    assert headers.getlist("Vary") == ["Cookie", "Accept"]
    policies = headers.getlist("Content-Security-Policy")
    assert policies == ["img-src 'self'", "script-src 'self'"]


@pytest.mark.of("credentials")
def test_only_members_of_a_group_pass(edited):
    """However the header is malformed."""
    client = edited("""
@app.route("/analysts")
def analysts():
    if "analysts" not in get_credentials(request)["groups"]:
        abort(403)
    return {"message": "Welcome."}
""")
    codes = {
        None: 403,
        "{}": 403,
        '{"user": "ann"}': 403,
        '{"user": "ann", "groups": null}': 403,
        '{"user": "ann", "groups": ["not-analysts"]}': 403,
        '{"user": "ann", "groups": "not-analysts"}': 400,
        '{"user": "ann", "groups": {"analysts": 1}}': 400,
        '{"user": "ann", "groups": ["analysts"]}': 200,
        '{"groups": ["analysts"]}': 200,
    }
    for header, code in codes.items():
        headers = {} if header is None else {"RStudio-Connect-Credentials": header}
        assert client.get("/analysts", headers=headers).status_code == code, header
