import json
from types import SimpleNamespace
from urllib.parse import parse_qsl

import flask.globals
import werkzeug.urls
from flask import abort, request
from werkzeug.datastructures import MultiDict
from werkzeug.middleware.proxy_fix import ProxyFix


def url_decode_stream(stream):
    form = stream.read().decode(errors="replace")
    return MultiDict(parse_qsl(form, keep_blank_values=True))


# Flask-API 3.1 imports two names that Flask and Werkzeug have removed (flask-api#168).
flask.globals._request_ctx_stack = SimpleNamespace(top=flask.globals.request_ctx)
werkzeug.urls.url_decode_stream = url_decode_stream

from flask_api import FlaskAPI
from flask_api.exceptions import NotAcceptable

app = FlaskAPI(__name__)
# Connect ends HTTPS in front of the app; this makes Flask trust its X-Forwarded-Proto.
app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)
# Each process has its own db: keep data that changes in a database.
with app.open_resource("greetings.json") as file:
    db = json.load(file)


@app.before_request
def negotiate():
    # Flask-API checks Accept only while it renders; a bad one is then a 500.
    try:
        request.accepted_renderer
    except NotAcceptable:
        abort(406)


@app.after_request
def add_headers(response):
    # A cache must not give a browser's HTML to a program that wants JSON.
    response.headers.add("Vary", "Accept")
    # The page's jQuery 1.8 would run a script hidden in a cookie.
    response.headers.add("Content-Security-Policy", "script-src 'self'")
    return response


@app.route("/")
def greetings():
    return [{"lang": lang, "text": text} for lang, text in sorted(db.items())]


@app.route("/<lang>")
def greeting(lang):
    return {"lang": lang, "text": db.get(lang)}
