"""A baseline of the benchmark: the contract in plain Flask."""

import json
from pathlib import Path

from flask import Flask

app = Flask(__name__)
path = Path(__file__).with_name("greetings.json")
db = json.loads(path.read_text(encoding="utf-8"))
all_greetings = [{"lang": lang, "text": text} for lang, text in sorted(db.items())]


@app.route("/greetings/")
def greetings():
    return all_greetings


@app.route("/greetings/<lang>")
def greeting(lang):
    return {"lang": lang, "text": db.get(lang)}
