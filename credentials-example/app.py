# credentials-example/app.py

import json
import sys
from pathlib import Path

from flask import Flask, abort, make_response, request

app = Flask(__name__)
# Beside this file, in UTF-8, whatever the working directory and the platform.
path = Path(__file__).with_name("greetings.json")
try:
    db = json.loads(path.read_text(encoding="utf-8"))
    all_greetings = [{"lang": lang, "text": text} for lang, text in sorted(db.items())]
except (OSError, ValueError, AttributeError) as error:
    sys.exit(f"{path} is not a JSON object of greetings: {error}")


def get_credentials(req):
    """
    Returns a dict containing "user" and "groups" information populated by
    the incoming request header "RStudio-Connect-Credentials".

    Trust it only behind Connect, which replaces what a client sends: whoever
    reaches this app directly can write the header.
    """
    credential_header = req.headers.get("RStudio-Connect-Credentials")
    if not credential_header:
        return {}
    try:
        # WSGI hands UTF-8 bytes over as Latin-1: "josé" would be "josÃ©".
        credentials = json.loads(credential_header.encode("latin-1"))
        if isinstance(credentials.get("user"), (str, type(None))):
            return credentials
    except (ValueError, AttributeError, RecursionError):
        pass  # not JSON, not an object, nested too deep
    message = "RStudio-Connect-Credentials is not a JSON object with a user."
    abort(make_response({"message": message}, 400))


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
