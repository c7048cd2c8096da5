"""Programs with the guide's lines fail as MIGRATING.md says, and answer after its changes."""

import json
import re
import subprocess
import sys

import pytest

from shared.catalogue import ROOT

PAGE = (ROOT / "MIGRATING.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^## (.+)\n\n.+\n\n```python\n((?:.*\n)*?)```$", PAGE, re.MULTILINE)
BLOCKS = {f"#{title.lower().replace(' ', '-')}": code for title, code in SECTIONS}

# By the headings of the page's table.
PROGRAMS = {
    "Flask-API": """
from flask_api import FlaskAPI
app = FlaskAPI(__name__)
""",
    "Flasgger": """
from flask import Flask, request
from flasgger import Swagger, LazyString, LazyJSONEncoder
app = Flask(__name__)
app.json_encoder = LazyJSONEncoder
app.config["SWAGGER"] = {"title": "Languages"}
swagger = Swagger(
    app,
    template={
        "swaggerUiPrefix": LazyString(lambda: request.environ.get("SCRIPT_NAME", ""))
    },
)
""",
    "Flask-RESTX": """
from flask import Flask
from flask_restx import Api
app = Flask(__name__)
api = Api(app, title="Languages")
""",
    "Credentials": """
from flask import Flask, request
app = Flask(__name__)
def get_credentials(req):
    credential_header = req.headers.get("RStudio-Connect-Credentials")
    if not credential_header:
        return {}
    return json.loads(credential_header)
@app.route("/user")
def user():
    return [get_credentials(request).get("user")]
""",
}
VIEW = '''
db = json.load(open("greetings.json"))
@app.route("/languages")
def languages():
    """Languages
    ---
    responses: {200: {description: All languages}}
    """
    return [lang for lang in db]
'''
# Prints what two mounts answer to a path and a header: the paths of a spec, and of a console,
# whether its script fails at `None`.
ASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from app import app
for mount in ("/content/1", "/vanity"):
    environ = {"SCRIPT_NAME": mount, "HTTP_RSTUDIO_CONNECT_CREDENTIALS": sys.argv[3]}
    answer = app.test_client().get(sys.argv[2], environ_overrides=environ)
    found = answer.json if answer.is_json else "= None;" in answer.text
    found = [found["basePath"], *found["paths"]] if sys.argv[2].endswith(".json") else found
    print(json.dumps(found, ensure_ascii=False))
"""
# Errors without a message: the second URL has the spec of the first, and one of a browser.
SILENT = ['["/content/1"]\n["/content/1"]', "true\ntrue"]
SPECS = [["/content/1", "/languages"], ["/vanity", "/languages"]]
JOSÉ = '{"user": "josé"}'.encode().decode("latin-1")
# A program, what it requests, what it shows before the changes, and what it answers after them.
CASES = [
    ("Credentials", "/languages", "", "No such file or directory: 'greetings.json'", [["en"]] * 2),
    ("Flask-API", "/languages", "", "cannot import name 'url_decode_stream'", [["en"]] * 2),
    ("Flasgger", "/apispec_1.json", "", "LazyString is not JSON serializable", SPECS),
    ("Flasgger", "/apidocs/", "", SILENT[1], [False] * 2),
    ("Flask-RESTX", "/swagger.json", "", SILENT[0], [p[:1] for p in SPECS]),
    ("Credentials", "/user", "[]", "'list' object has no attribute 'get'", [[None]] * 2),
    ("Credentials", "/user", "x", "Expecting value: line 1 column 1", [[None]] * 2),
    ("Credentials", "/user", JOSÉ, "josÃ©", [["josé"]] * 2),
]


def changed(program, name):
    """Return a program after the changes of the page's rows for all programs and for its kind."""
    kind = ""
    for row in re.findall(r"^\| (.*) \|$", PAGE, re.MULTILINE):
        message, line, change, *_ = [*map(str.strip, row.split("|")), "", ""]
        kind = message.strip("*") if message.startswith("**") else kind
        line = line.strip("`").partition("{")[0]
        if not line or kind not in ("All", name) or line not in program:
            continue
        start = rf"^ *{re.escape(line)}"
        if paste := re.search(r"paste (?:\[.+?\]\((#.+?)\)|`(.+?)`)", change):
            code = BLOCKS[paste[1]] if paste[1] else f"{paste[2]}\n"
            place = f"{start}\n" if "in its place" in change else f"(?={start})"
            program = re.sub(place, lambda _, code=code: code, program, flags=re.MULTILINE)
        if write := re.search("write `(.+?)`", change):
            program = program.replace(line, write[1])
        if change.startswith("remove"):
            program = re.sub(rf"{start}.*?^    }},\n", "", program, flags=re.MULTILINE | re.DOTALL)
    return program


@pytest.mark.parametrize(
    ("name", "path", "header", "before", "after"), CASES, ids=[f"{c[0]}-{c[3]}" for c in CASES]
)
def test_program_of_the_guide_answers_after_the_changes(
    tmp_path, name, path, header, before, after
):
    def ask(program, directory):
        (tmp_path / "app.py").write_text(program, encoding="utf-8")
        command = [sys.executable, "-c", ASK, tmp_path, path, header]
        return subprocess.run(command, cwd=directory, capture_output=True, encoding="utf-8")

    (tmp_path / "greetings.json").write_text('{"en": "Hello"}', encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    directory = tmp_path / "elsewhere" if "No such file" in before else tmp_path
    program = f"import json{PROGRAMS[name]}{VIEW}"
    old = ask(program, directory)
    assert before in old.stdout + old.stderr
    assert before in PAGE or before in SILENT
    new = ask(changed(program, name), tmp_path / "elsewhere")
    assert [json.loads(line) for line in new.stdout.splitlines()] == after, new.stderr
