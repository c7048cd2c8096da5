# flask-flasgger-example/app.py

import json
import sys
from pathlib import Path

from flasgger import LazyJSONEncoder, LazyString, Swagger
from flask import Flask, jsonify, request

app = Flask(__name__)
# A JSON provider since Flask 2.3: without it, LazyString breaks the spec.
app.json = LazyJSONEncoder(app)
app.config["SWAGGER"] = {
    "title": "Greetings API",
    "description": "A friendly API for humans",
    "version": "0.1.0",
    # Where Connect mounts the app, which may be at more than one path.
    "basePath": LazyString(lambda: request.script_root or "/"),
    # Flasgger's defaults are a link to /tos, which is not there, and None,
    # which is an error in the console's script.
    "termsOfService": "",
    "auth": {},
}
# Beside this file, in UTF-8, whatever the working directory and the platform.
path = Path(__file__).with_name("greetings.json")
try:
    db = json.loads(path.read_text(encoding="utf-8"))
    all_greetings = [{"lang": lang, "text": text} for lang, text in sorted(db.items())]
except (OSError, ValueError, AttributeError) as error:
    sys.exit(f"{path} is not a JSON object of greetings: {error}")
swagger = Swagger(app)


@app.errorhandler(UnicodeDecodeError)
def bad_request(error):
    # The console's page reads the query, and fails on bytes that are not UTF-8.
    return {"message": "The query is not UTF-8."}, 400


@app.route("/greetings/")
def list_greetings():
    """Example endpoint return all known greetings
    This is using docstring for specifications
    ---
    tags:
      - greetings
    operationId: list_greetings
    produces:
      - application/json
    schemes: ['http', 'https']
    deprecated: false
    definitions:
      Greeting:
        type: object
        required: [lang, text]
        properties:
          lang:
            type: string
          text:
            type: string
            x-nullable: true
    responses:
      200:
        description: All known greetings
        schema:
          type: array
          items:
            $ref: '#/definitions/Greeting'
        examples:
          application/json:
            - lang: en
              text: Hello
            - lang: sw
              text: هَبَارِ
    """
    return jsonify(all_greetings)


@app.route("/greetings/<lang>/")
def get_greeting(lang):
    """Example endpoint return a greeting by language
    This is using docstring for specifications
    ---
    tags:
      - greetings
    parameters:
      - name: lang
        in: path
        type: string
        required: true
        default: en
        description: A greeting in which language?
    operationId: get_greetings
    produces:
      - application/json
    schemes: ['http', 'https']
    deprecated: false
    responses:
      200:
        description: The greeting for the given language
        schema:
          $ref: '#/definitions/Greeting'
        examples:
          application/json:
            lang: en
            text: Hello
    """
    return jsonify({"lang": lang, "text": db.get(lang)})
