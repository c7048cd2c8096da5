# flask-restx-example/app.py

import json
import sys
from pathlib import Path

from flask import Flask
from flask_restx import Api, Resource, fields
from flask_restx.swagger import Swagger
from werkzeug.exceptions import HTTPException

app = Flask(__name__)
# The console would fold the operations away, and the spec would offer a header,
# X-Fields, of which most values are answered by a 400.
app.config.update(SWAGGER_UI_DOC_EXPANSION="list", RESTX_MASK_SWAGGER=False)


class GreetingsApi(Api):
    @property
    def __schema__(self):
        # Made anew: Api keeps the first request's mount for all later ones.
        return Swagger(self).as_dict()

    def _should_use_fr_error_handler(self):
        # Api's own fails on a Host that is none, and on slashes to be merged.
        try:
            return super()._should_use_fr_error_handler()
        except HTTPException:
            return False


class NullableString(fields.String):
    def schema(self):
        # The spec says that the text of an unknown language is null.
        return {**super().schema(), "x-nullable": True}


api = GreetingsApi(
    app, version="0.1.0", title="Greetings API", description="A friendly API for humans"
)
# Beside this file, in UTF-8, whatever the working directory and the platform.
path = Path(__file__).with_name("greetings.json")
try:
    db = json.loads(path.read_text(encoding="utf-8"))
    all_greetings = [{"lang": lang, "text": text} for lang, text in sorted(db.items())]
except (OSError, ValueError, AttributeError) as error:
    sys.exit(f"{path} is not a JSON object of greetings: {error}")
ns = api.namespace("greetings", description="Greeting operations")
greeting = api.model(
    "Greeting",
    {
        "text": NullableString(required=True, description="Text of the Greeting"),
        "lang": fields.String(required=True, description="Language of the Greeting"),
    },
)


@ns.route("/")
class GreetingList(Resource):
    @ns.doc("list_greetings")
    @ns.marshal_list_with(greeting)
    def get(self):
        return all_greetings


@ns.route("/<string:lang>")
@ns.param("lang", "The language identifier")
class Greeting(Resource):
    @ns.doc("get_greeting")
    @ns.marshal_with(greeting)
    def get(self, lang):
        return {"lang": lang, "text": db.get(lang)}
