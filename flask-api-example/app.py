# flask-api-example/app.py

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qsl

import flask.globals
import werkzeug.urls
from flask import abort, request
from werkzeug.datastructures import MultiDict

# Flask-API 3.1 imports two names that Flask 2.3 and Werkzeug 3 removed.
flask.globals._request_ctx_stack = SimpleNamespace(top=flask.globals.request_ctx)
werkzeug.urls.url_decode_stream = lambda stream: MultiDict(
    parse_qsl(stream.read().decode(errors="replace"), keep_blank_values=True)
)

from flask_api import FlaskAPI
from flask_api.exceptions import NotAcceptable
from flask_api.renderers import BrowsableAPIRenderer

app = FlaskAPI(__name__)
# Flask-API's own page links to a foreign host.
BrowsableAPIRenderer.template = "console.html"
# Beside this file, in UTF-8, whatever the working directory and the platform.
path = Path(__file__).with_name("greetings.json")
try:
    db = json.loads(path.read_text(encoding="utf-8"))
    all_greetings = [{"lang": lang, "text": text} for lang, text in sorted(db.items())]
except (OSError, ValueError, AttributeError) as error:
    sys.exit(f"{path} is not a JSON object of greetings: {error}")


@app.before_request
def negotiate():
    # Flask-API would find out while it answers, too late for more than a 500.
    try:
        request.accepted_renderer
    except NotAcceptable:
        abort(406)


@app.after_request
def add_headers(response):
    # Caches must not give one client's HTML to another that wants JSON.
    response.headers.add("Vary", "Accept")
    # The console's old jQuery would run markup that it finds in a cookie.
    response.headers["Content-Security-Policy"] = "script-src 'self'"
    return response


@app.route("/", methods=["GET"])
def greetings():
    return all_greetings


@app.route("/<string:lang>", methods=["GET"])
def greeting(lang="en"):
    return {"lang": lang, "text": db.get(lang)}
