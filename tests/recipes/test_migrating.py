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

API = """from flask_api import FlaskAPI
app = FlaskAPI(__name__)
"""
FLASGGER = """from flasgger import Swagger, LazyString, LazyJSONEncoder
app = Flask(__name__)
app.json_encoder = LazyJSONEncoder
app.config["SWAGGER"] = {"title": "Languages"}
swagger = Swagger(app, template={"swaggerUiPrefix": LazyString(lambda: request.script_root)})
"""
RESTX = """from flask_restx import Api
app = Flask(__name__)
api = Api(app, title="Languages")
"""
CREDENTIALS = """app = Flask(__name__)
@app.route("/user")
def user():
    return [get_credentials(request.headers.get("RStudio-Connect-Credentials")).get("user")]
def get_credentials(credential_header):
    return json.loads(credential_header)
"""
VIEW = '''
db = json.load(open("greetings.json"))
@app.route("/list")
def languages():
    """---
    responses: {200: {description: All}}
    """
    return [lang for lang in db]
'''
# Prints what two mounts answer: of a spec the paths, of a page whether its script has `None`.
ASK = """import json, sys
sys.path.insert(0, sys.argv[1])
from app import app
for mount in ("/content/1", "/vanity"):
    environ = {"SCRIPT_NAME": mount, "HTTP_RSTUDIO_CONNECT_CREDENTIALS": sys.argv[3]}
    answer = app.test_client().get(sys.argv[2], environ_overrides=environ)
    found = answer.json if answer.is_json else "= None;" in answer.text
    found = [found["basePath"], *found["paths"]] if isinstance(found, dict) else found
    print(json.dumps(found, ensure_ascii=False))
"""
SPECS = [["/content/1", "/list"], ["/vanity", "/list"]]
SILENT = ['["/content/1"]\n["/content/1"]', "true\ntrue"]  # the faults without a message
JOSÉ = '{"user": "josé"}'.encode().decode("latin-1")
# A program, what it requests, what it prints before the changes, and what it answers after them.
CASES = [
    (CREDENTIALS, "/list", "", "No such file or directory: 'greetings.json'", [["en"]] * 2),
    (API, "/list", "", "cannot import name 'url_decode_stream' from 'werkzeug.urls'", [["en"]] * 2),
    (FLASGGER, "/apispec_1.json", "", "LazyString is not JSON serializable", SPECS),
    (FLASGGER, "/apidocs/", "", SILENT[1], [False, False]),
    (RESTX, "/swagger.json", "", SILENT[0], [["/content/1"], ["/vanity"]]),
    (CREDENTIALS, "/user", "[]", "'list' object has no attribute 'get'", [[None]] * 2),
    (CREDENTIALS, "/user", "x", "Expecting value: line 1 column 1", [[None]] * 2),
    (CREDENTIALS, "/user", JOSÉ, "josÃ©", [["josé"]] * 2),
]


def changed(program):
    """Return a program after the changes of the page's table."""
    for line, change in re.findall(r"^\| .* \| `(.+)` \| (.+) \|$", PAGE, re.MULTILINE):
        place = " *" + re.escape(line).replace(r"\.\.\.", ".*")
        for how, link, code in re.findall(r"(paste|write) (?:\[.+?\]\((.+?)\)|`(.+?)`)", change):
            new = BLOCKS[link] if link else code
            add = "" if how == "write" else r"\n\g<0>"
            program = re.sub(place, new + add, program)
    return program


@pytest.mark.parametrize(("program", "path", "header", "before", "after"), CASES)
def test_program_answers_after_the_changes(tmp_path, program, path, header, before, after):
    def ask(program, directory):
        (tmp_path / "app.py").write_text(program, encoding="utf-8")
        command = [sys.executable, "-c", ASK, tmp_path, path, header]
        return subprocess.run(command, cwd=directory, capture_output=True, encoding="utf-8")

    (tmp_path / "greetings.json").write_text('{"en": "Hello"}', encoding="utf-8")
    program = f"import json\nfrom flask import Flask, request\n{program}{VIEW}"
    old = ask(program, ROOT if "No such file" in before else tmp_path)
    assert before in old.stdout + old.stderr
    assert before in PAGE or before in SILENT
    new = ask(changed(program), ROOT)
    assert [json.loads(line) for line in new.stdout.splitlines()] == after, new.stderr
