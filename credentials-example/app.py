import json

from flask import Flask, abort, request
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
# Connect ends HTTPS in front of the app; this makes Flask trust its X-Forwarded-Proto.
app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)
# Each process has its own db: keep data that changes in a database.
with app.open_resource("greetings.json") as file:
    db = json.load(file)


def get_credentials(req):
    """Returns a dict with the visitor's "user" (a string or None) and "groups" (a list
    of strings) from the request header "RStudio-Connect-Credentials".

    If the administrator has set Authorization.ContentCredentialsUseGUID, they are GUIDs.
    Trust them only behind Connect: elsewhere, anyone can forge the header.
    """
    header = req.headers.get("RStudio-Connect-Credentials") or "{}"
    try:
        # WSGI decodes headers as Latin-1, but Connect sends UTF-8.
        credentials = json.loads(header.encode("latin-1"))
        user, groups = credentials.get("user"), credentials.get("groups")
    except (ValueError, RecursionError, AttributeError):
        abort(400, "The credentials are not a JSON object.")
    groups = [] if groups is None else groups
    if not isinstance(user, str | None):
        abort(400, "The user of the credentials is not a string.")
    if not (isinstance(groups, list) and all(isinstance(name, str) for name in groups)):
        abort(400, "The groups of the credentials are not a list of strings.")
    return {"user": user or None, "groups": groups}


@app.errorhandler(400)
def answer_bad_request(error):
    # The description can be a ValueError, as in abort(400, error).
    message = json.dumps({"message": error.description or error.name}, default=str)
    return app.response_class(message, 400, mimetype="application/json")


@app.route("/hello")
def hello():
    username = get_credentials(request)["user"]
    if username is None:
        return {"message": "Howdy, stranger."}
    return {"message": f"So nice to see you, {username}."}


@app.route("/greetings/")
def greetings():
    return [{"lang": lang, "text": text} for lang, text in sorted(db.items())]


@app.route("/greetings/<lang>")
def greeting(lang):
    return {"lang": lang, "text": db.get(lang)}
