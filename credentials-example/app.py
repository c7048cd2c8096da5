# credentials-example/app.py

import json

from flask import Flask, abort, make_response, request
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
# Behind HTTPS, redirects must stay on https.
app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)

with app.open_resource("greetings.json") as file:
    db = json.load(file)
all_greetings = [{"lang": lang, "text": text} for lang, text in sorted(db.items())]


def get_credentials(req):
    """
    Returns a dict with the "user" and "groups" from the request header
    "RStudio-Connect-Credentials".

    Trust it only behind Connect: anyone who bypasses Connect can forge it.
    """
    credential_header = req.headers.get("RStudio-Connect-Credentials")
    if not credential_header:
        return {}
    try:
        # WSGI decodes headers as Latin-1, but Connect sends UTF-8.
        credentials = json.loads(credential_header.encode("latin-1"))
    except (ValueError, RecursionError):  # not JSON, or nested too deep
        credentials = None
    # Not every JSON value is an object with a user's name.
    if not (
        isinstance(credentials, dict)
        and isinstance(credentials.get("user"), str | None)
    ):
        message = "RStudio-Connect-Credentials is not a JSON object with a user."
        abort(make_response({"message": message}, 400))
    return credentials


@app.route("/hello")
def hello():
    user_metadata = get_credentials(request)
    username = user_metadata.get("user")
    if not username:
        return {"message": "Howdy, stranger."}
    return {"message": f"So nice to see you, {username}."}


@app.route("/greetings/")
def greetings():
    return all_greetings


@app.route("/greetings/<lang>")
def greeting(lang):
    return {"lang": lang, "text": db.get(lang)}
