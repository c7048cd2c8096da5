import json
from types import SimpleNamespace
from urllib.parse import parse_qsl

import flask.globals
import werkzeug.urls
from flask import request
from werkzeug.datastructures import MIMEAccept, MultiDict
from werkzeug.middleware.proxy_fix import ProxyFix

# Flask-API 3.1 imports two names that Flask and Werkzeug have removed (flask-api#168).
flask.globals._request_ctx_stack = SimpleNamespace(top=flask.globals.request_ctx)
werkzeug.urls.url_decode_stream = lambda stream: MultiDict(
    parse_qsl(stream.read().decode(errors="replace"), keep_blank_values=True)
)

from flask_api import FlaskAPI, exceptions, mediatypes


class Negotiation(FlaskAPI.request_class.negotiator_class):
    def select_renderer(self, renderers):
        # Flask-API ignores q, and refuses parameters and an empty Accept (flask-api#69).
        types = [(name.partition(";")[0], q) for name, q in request.accept_mimetypes]
        accept = MIMEAccept(types or [("*/*", 1)])
        best = max(renderers, key=lambda renderer: accept.quality(renderer.media_type))
        if not accept.quality(best.media_type):
            raise exceptions.NotAcceptable
        return best, mediatypes.MediaType(best.media_type)


class Response(FlaskAPI.response_class):
    def __init__(self, content=None, *args, **kwargs):
        try:
            super().__init__(content, *args, **kwargs)
        except exceptions.NotAcceptable as error:
            # Flask-API looks at Accept while it renders, where errors are a 500.
            super().__init__(error.detail, 406, mimetype="text/plain")
        if content == "" or isinstance(content, self.api_return_types):
            # A cache must not give a browser's HTML to a program that wants JSON.
            self.headers.add("Vary", "Accept")
            # The page's jQuery 1.8 would run a script hidden in a cookie.
            self.headers.add("Content-Security-Policy", "script-src 'self'")


app = FlaskAPI(__name__)
app.request_class.negotiator_class = Negotiation
app.response_class = Response
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
