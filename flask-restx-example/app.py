import json

from flask import Flask
from flask_restx import Api, Resource, Swagger, fields
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
# Connect ends HTTPS in front of the app; this makes Flask trust its X-Forwarded-Proto.
app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)
# Otherwise a POST to a URL with doubled slashes crashes (flask-restx#499).
app.url_map.merge_slashes = False
# Show the operations without a click.
app.config["SWAGGER_UI_DOC_EXPANSION"] = "list"


class GreetingsApi(Api):
    @property
    def __schema__(self):
        # Api keeps the URLs of the first request, but Connect has several for one app.
        return Swagger(self).as_dict()


class NullableString(fields.String):
    def schema(self):
        # The text of an unknown language is null, which String cannot say (flask-restx#156).
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
