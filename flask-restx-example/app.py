import json
import re

from flask import Flask, request
from flask_restx import Api, Resource, fields
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
# Connect ends HTTPS in front of the app; this makes Flask trust its X-Forwarded-Proto.
app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)
app.config["RESTX_ERROR_404_HELP"] = False  # a 404 would suggest wrong paths
# Otherwise a date is a 500 (flask-restx#355). To set cls, replace the whole dict.
app.config["RESTX_JSON"] = {"default": lambda value: app.json.default(value)}


@app.before_request
def merge_slashes():
    # To answer an error, Flask-RESTX matches the URL again. It crashes if the path has
    # doubled slashes, as in POST /greetings// (flask-restx#499), or the Host is refused.
    if (error := request.routing_exception) and error.code == 400:
        return app.handle_http_exception(error)
    if error:
        request.environ["PATH_INFO"] = re.sub("/+", "/", request.environ["PATH_INFO"])


class GreetingsApi(Api):
    @property
    def __schema__(self):
        # Otherwise the console works only at the URL of the app's first request.
        spec, path = super().__schema__, self.base_path.rstrip("/") or "/"
        return spec if "error" in spec else {**spec, "basePath": path}


class NullableString(fields.String):
    def schema(self):
        # Otherwise the spec says that text is never null (flask-restx#156).
        return {**super().schema(), "x-nullable": True}


api = GreetingsApi(
    app, version="0.1.0", title="Greetings API", description="A friendly API for humans"
)
# Each process has its own db: keep data that changes in a database.
with app.open_resource("greetings.json") as file:
    db = json.load(file)
ns = api.namespace("greetings", description="Greeting operations")
# ns.response documents answers; ns.marshal_with would filter them, which takes longer.
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
