# flask-api-example/app.py

import json
from types import SimpleNamespace

import flask.globals
import werkzeug.urls
from flask import abort, request
from werkzeug.formparser import FormDataParser
from werkzeug.middleware.proxy_fix import ProxyFix

# Flask-API 3.1 imports two names that Flask 2.3 and Werkzeug 3 removed.
flask.globals._request_ctx_stack = SimpleNamespace(top=flask.globals.request_ctx)
werkzeug.urls.url_decode_stream = lambda stream: FormDataParser().parse(
    stream, "application/x-www-form-urlencoded", None
)[1]

from flask_api import FlaskAPI
from flask_api.exceptions import NotAcceptable

app = FlaskAPI(__name__)
# Behind HTTPS, the links and forms of the page must stay on https.
app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)

with app.open_resource("greetings.json") as file:
    db = json.load(file)
all_greetings = [{"lang": lang, "text": text} for lang, text in sorted(db.items())]


@app.before_request
def negotiate():
    # Flask-API checks Accept while it renders, too late for more than a 500.
    try:
        request.accepted_renderer
    except NotAcceptable:
        abort(406)


@app.after_request
def add_headers(response):
    # A cache must not serve one client's HTML to another that wants JSON.
    response.headers.add("Vary", "Accept")
    # The page's old jQuery runs markup from a cookie as a script.
    response.headers.add("Content-Security-Policy", "script-src 'self'")
    return response


@app.route("/", methods=["GET"])
def greetings():
    return all_greetings


@app.route("/<string:lang>", methods=["GET"])
def greeting(lang):
    return {"lang": lang, "text": db.get(lang)}
