# flask-restx-example/app.py

import json

from flask import Flask
from flask_restx import Api, Resource, fields
from flask_restx.swagger import Swagger
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
# Behind HTTPS, redirects must stay on https.
app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)
# The console folds the operations away by default.
app.config["SWAGGER_UI_DOC_EXPANSION"] = "list"


class GreetingsApi(Api):
    @property
    def __schema__(self):
        # Rebuilt for every request: Api caches the first request's mount path.
        return Swagger(self).as_dict()

    def error_router(self, original_handler, error):
        # Api matches the URL again here, which raises for doubled slashes.
        return self.handle_error(error)


class NullableString(fields.String):
    def schema(self):
        # The text of an unknown language is null.
        return {**super().schema(), "x-nullable": True}


api = GreetingsApi(
    app, version="0.1.0", title="Greetings API", description="A friendly API for humans"
)
with app.open_resource("greetings.json") as file:
    db = json.load(file)
all_greetings = [{"lang": lang, "text": text} for lang, text in sorted(db.items())]
ns = api.namespace("greetings", description="Greeting operations")
greeting = api.model(
    "Greeting",
    {
        "text": NullableString(required=True, description="Text of the Greeting"),
        "lang": fields.String(required=True, description="Language of the Greeting"),
    },
)


# Documented, not marshalled: marshalling copies every entry for every request.
@ns.route("/")
class GreetingList(Resource):
    @ns.doc("list_greetings")
    @ns.response(200, "Success", [greeting])
    def get(self):
        return all_greetings


@ns.route("/<string:lang>")
@ns.param("lang", "The language identifier")
class Greeting(Resource):
    @ns.doc("get_greeting")
    @ns.response(200, "Success", greeting)
    def get(self, lang):
        return {"lang": lang, "text": db.get(lang)}
