import json

from flasgger import LazyJSONEncoder, LazyString, Swagger
from flask import Flask, request
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
# LazyString needs Flasgger's JSON provider; put settings of app.json below it.
app.json = LazyJSONEncoder(app)
# Connect ends HTTPS in front of the app; this makes Flask trust its X-Forwarded-Proto.
app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)
app.config["SWAGGER"] = {
    "title": "Greetings API",
    "description": "A friendly API for humans",
    "version": "0.1.0",
    # Connect has several URLs for one app; each request has its own (flasgger#607).
    "basePath": LazyString(lambda: request.script_root or "/"),
    # Otherwise the page links to /tos, which does not exist.
    "termsOfService": "",
    # Otherwise the page's script fails: None is not defined.
    "auth": {},
}
# Each process has its own db: keep data that changes in a database.
with app.open_resource("greetings.json") as file:
    db = json.load(file)
swagger = Swagger(app)


@app.route("/greetings/")
def list_greetings():
    """List all known greetings
    ---
    tags:
      - greetings
    operationId: list_greetings
    produces:
      - application/json
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
    return [{"lang": lang, "text": text} for lang, text in sorted(db.items())]


@app.route("/greetings/<lang>/")
def get_greeting(lang):
    """Get the greeting of a language
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
    return {"lang": lang, "text": db.get(lang)}
