"""A baseline of the benchmark: the guide's Flask-API code, with a repair to import it."""

# ruff: noqa
# flask-api-example/app.py

import json

# The repair: two names that Flask-API 3.1 imports and Flask and Werkzeug removed.
import types
import flask.globals
import werkzeug.urls

flask.globals._request_ctx_stack = types.SimpleNamespace(top=flask.globals.request_ctx)
werkzeug.urls.url_decode_stream = None

from flask_api import FlaskAPI

app = FlaskAPI(__name__)
db = json.load(open("greetings.json"))


@app.route("/", methods=["GET"])
def greetings():
    return [{"lang": lang, "text": text} for lang, text in sorted(db.items())]


@app.route("/<string:lang>", methods=["GET"])
def greeting(lang="en"):
    return {"lang": lang, "text": db.get(lang)}
