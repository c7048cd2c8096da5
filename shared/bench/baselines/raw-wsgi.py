"""A baseline of the benchmark: the contract in raw WSGI and json.dumps."""

import json
from pathlib import Path

path = Path(__file__).with_name("greetings.json")
db = json.loads(path.read_text(encoding="utf-8"))
all_greetings = [{"lang": lang, "text": text} for lang, text in sorted(db.items())]


def app(environ, start_response):
    lang = environ["PATH_INFO"][len("/greetings/") :].encode("latin-1").decode()
    value = {"lang": lang, "text": db.get(lang)} if lang else all_greetings
    body = json.dumps(value).encode()
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
    ]
    start_response("200 OK", headers)
    return [body]
