import json
import re

from flask import Flask, request
from flask_restx import Api, Resource, Swagger, fields
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
# Connect ends HTTPS in front of the app; this makes Flask trust its X-Forwarded-Proto.
app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)
app.config["SWAGGER_UI_DOC_EXPANSION"] = "list"  # shows operations without a click
app.config["RESTX_ERROR_404_HELP"] = False  # its guesses lack Connect's path
# Otherwise dates and Decimals are errors: Api ignores app.json (flask-restx#355).
app.config["RESTX_JSON"] = {"default": lambda value: app.json.default(value)}


@app.before_request
def merge_slashes():
    # Api routes a 405 again, and crashes at doubled slashes (flask-restx#499).
    if request.routing_exception:
        request.environ["PATH_INFO"] = re.sub("/+", "/", request.environ["PATH_INFO"])


class GreetingsApi(Api):
    @property
    def __schema__(self):
        # Api keeps the URLs of the first request, but Connect has several for one app.
        try:
            return Swagger(self).as_dict()
        except Exception:
            app.logger.exception("Unable to render schema")
            return {"error": "Unable to render schema"}


class NullableString(fields.String):
    def schema(self):
        # Documents null, as String cannot (flask-restx#156); input with it is refused.
        return {**super().schema(), "x-nullable": True}


api = GreetingsApi(
    app, version="0.1.0", title="Greetings API", description="A friendly API for humans"
)
# Each process has its own db: keep data that changes in a database.
with app.open_resource("greetings.json") as file:
    db = json.load(file)
ns = api.namespace("greetings", description="Greeting operations")
# The model documents an answer and does not filter it, which ns.marshal_with does.
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
    @ns.response(200, "Success", [greeting])
    def get(self):
        """List all greetings"""
        return [{"lang": lang, "text": text} for lang, text in sorted(db.items())]


@ns.route("/<string:lang>")
@ns.param("lang", "The language identifier")
class Greeting(Resource):
    @ns.doc("get_greeting")
    @ns.response(200, "Success", greeting)
    def get(self, lang):
        """Get the greeting of a language"""
        return {"lang": lang, "text": db.get(lang)}
