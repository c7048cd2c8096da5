import json
from types import SimpleNamespace
from urllib.parse import parse_qsl

import flask.globals
import werkzeug.urls
from flask import request
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


class Response(FlaskAPI.response_class):
    def __init__(self, content=None, *args, **kwargs):
        rendered = content == "" or isinstance(content, self.api_return_types)
        if rendered:
            # Flask-API refuses parameters of a type, and an empty Accept (flask-api#69).
            accept = request.headers.get("Accept", "").lower().replace(" ", "")
            types = [item.split(";") for item in accept.split(",")]
            types = [name for name, *parameters in types if "q=0" not in parameters]
            request.environ["HTTP_ACCEPT"] = ",".join(types) if accept else "*/*"
        try:
            super().__init__(content, *args, **kwargs)
        except NotAcceptable as error:
            # Flask-API looks at Accept while it renders, where errors are a 500.
            super().__init__(error.detail, 406, mimetype="text/plain")
        if rendered:
            # A cache must not give a browser's HTML to a program that wants JSON.
            self.headers.add("Vary", "Accept")
            # The page's jQuery 1.8 would run a script hidden in a cookie.
            self.headers.add("Content-Security-Policy", "script-src 'self'")


app = FlaskAPI(__name__)
app.response_class = Response
app.config["DEFAULT_PARSERS"] = app.request_class.parser_classes  # imported once
app.config["DEFAULT_RENDERERS"] = app.request_class.renderer_classes
# Connect ends HTTPS in front of the app; this makes Flask trust its X-Forwarded-Proto.
app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)
# Each process has its own db: keep data that changes in a database.
with app.open_resource("greetings.json") as file:
    db = json.load(file)


@app.route("/")
def greetings():
    return [{"lang": lang, "text": text} for lang, text in sorted(db.items())]


@app.route("/<lang>")
def greeting(lang):
    return {"lang": lang, "text": db.get(lang)}
