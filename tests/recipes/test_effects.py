"""What recipes do beyond what their pages show: with bad input, at mounts, in two processes."""

import json
import os
import shlex
import subprocess
import sys

import httpx
import pytest
from werkzeug.test import Client

from shared import contract
from shared.harness.readme import commands
from shared.harness.recipes import SHARED, apply, recipes_for
from shared.harness.thread import MOUNTS, load, serving

TWO_MOUNTS = [{"SCRIPT_NAME": MOUNTS[name]} for name in ("content", "vanity")]


@pytest.fixture
def cook(example, copy, tmp_path, monkeypatch):
    """Applies a recipe to the copy and adds code at its end; returns a client of it."""

    def cook(title, code="", **variables):
        wanted = apply([recipes_for(example)[title]], copy)
        for name, value in {**wanted, **variables}.items():
            monkeypatch.setenv(name, str(tmp_path / "data") if value.startswith("/") else value)
        with (copy / "app.py").open("a", encoding="utf-8") as file:
            file.write(code)
        return Client(load(copy))

    return cook


@pytest.fixture
def files(cook, copy, tmp_path):
    """An HTTP client of a copy that takes files, and the directory where they go."""
    cook("Take and send files")
    app = load(copy)
    base = "http://127.0.0.1:{}/files"
    with serving(app) as port, httpx.Client(base_url=base.format(port), timeout=60) as client:
        yield client, tmp_path / "data"


def upload(client, name, content=b"Hello"):
    return client.post("/", files={"file": (name, content)})


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("all.bin", "all.bin"),
        ("../../app.py", "app.py"),
        ("/etc/my passwd", "etc_my_passwd"),
        ("Grüße.txt", "Grue.txt"),
        (f"{'long' * 100}.csv", f"{'long' * 24}.csv"),
    ],
)
def test_file_comes_back_byte_for_byte(files, name, stored):
    """flask-restplus#576, #159, flasgger#131, swagger-ui#1605."""
    client, directory = files
    content = bytes(range(256)) * 4000  # more than the 500 kB of a form's other fields
    answer = upload(client, name, content)
    assert (answer.status_code, answer.json()) == (201, {"name": stored})
    whole = client.get(stored)
    assert whole.content == content
    assert whole.headers["Content-Disposition"].startswith("attachment")
    head = client.head(stored)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(content)))
    part = client.get(stored, headers={"Range": "bytes=65-66"})
    assert (part.status_code, part.content) == (206, b"AB")
    again = client.get(stored, headers={"If-None-Match": whole.headers["ETag"]})
    assert again.status_code == 304
    assert [path.name for path in directory.iterdir()] == [stored]


def test_file_without_a_name_is_not_stored(files):
    client, directory = files
    answers = {name: upload(client, name) for name in ("你好", "..", "/", "\\", ".", "___", "")}
    answers["no form"] = client.post("/")
    answers["JSON"] = client.post("/", json={"file": "x"})
    answers["a text"] = client.post("/", data={"file": "x"})
    answers["another field"] = client.post("/", files={"other": ("x", b"x")})
    for what, answer in answers.items():
        assert (answer.status_code, "file" in answer.text) == (400, True), what
        assert "message" in answer.json(), what
    assert list(directory.iterdir()) == []


def test_file_that_is_there_stays(files):
    client, directory = files
    for content, code in [(b"", 201), (b"new", 409), (b"new", 409)]:
        assert upload(client, "empty.txt", content).status_code == code
    assert client.get("empty.txt").content == b""
    (directory.parent / "secret").touch()
    for path in ("other.txt", "%2e%2e", "..%2fsecret", "%2e%2e/secret", "%00", "a%0ab"):
        assert client.get(path).status_code == 404, path


@pytest.mark.having("spec_url")
def test_console_has_a_button_for_the_file(cook, example):  # flask-restplus#127
    paths = cook("Take and send files").get(example.spec_url).json["paths"]
    operation = paths["/files/"]["post"]
    assert operation["consumes"] == ["multipart/form-data"]
    (file,) = operation["parameters"]
    assert (file["name"], file["in"], file["type"]) == ("file", "formData", "file")
    assert paths["/files/{name}"]["get"]["produces"] == ["application/octet-stream"]


@pytest.mark.having("spec_url")
@pytest.mark.parametrize("key", ["a-long-random-text", ""])
def test_only_the_right_key_opens(cook, key):
    client = cook("Ask for a key", GREETINGS_KEY=key)
    refused = [None, "", "wrong", "A-LONG-RANDOM-TEXT", "a-long-random-text2", "clé"]
    headers = [{"X-API-Key": text} for text in refused if text is not None]
    headers += [{}, {"Authorization": "Key a-long-random-text"}]
    for sent in headers:
        answer = client.get("/locked", headers=sent)
        assert (answer.status_code, list(answer.json)) == (401, ["message"]), sent
        assert "WWW-Authenticate" not in answer.headers  # a browser would ask for a password
    right = client.get("/locked", headers={"X-API-Key": "a-long-random-text"})
    assert right.status_code == (200 if key else 401)


@pytest.mark.having("spec_url")
def test_console_sends_the_key_with_the_locked_operation(cook, example):
    """flask-restplus#495, #501; flasgger#624, #84, #47."""
    spec = cook("Ask for a key").get(example.spec_url).json
    header = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    assert spec["securityDefinitions"] == {"key": header}
    assert spec["paths"]["/locked"]["get"]["security"] == [{"key": []}]
    assert "security" not in spec["paths"][example.list_url]["get"]


@pytest.mark.of("restx")
def test_own_page_and_console_stay_below_the_mount(cook):  # flask-restx#452, #523, #526
    client = cook("Put a page of your own at /")
    for mount in TWO_MOUNTS:
        page = client.get("/", environ_overrides=mount)
        assert (page.status_code, page.mimetype) == (200, "text/html")
        assert "Greetings</h1>" in page.text and 'href="docs/"' in page.text
        console = client.get("/docs/", environ_overrides=mount).text
        assert f'url: "{mount["SCRIPT_NAME"]}/swagger.json"' in console
        spec = client.get("/swagger.json", environ_overrides=mount).json
        assert spec["basePath"] == mount["SCRIPT_NAME"]
    assert client.get("/greetings/").json == contract.greetings()
    assert client.post("/").status_code == 405


@pytest.mark.of("flasgger")
def test_openapi_3_names_the_mount_as_server(cook, example):  # flasgger#366
    client = cook("Describe it in OpenAPI 3")
    for mount in [{}, *TWO_MOUNTS]:
        spec = client.get(example.spec_url, environ_overrides=mount).json
        assert spec["openapi"] == "3.0.3"
        assert spec["servers"] == [{"url": mount.get("SCRIPT_NAME", "/")}]
        # What OpenAPI 3 does not have.
        text = json.dumps(spec)
        assert not [word for word in ("basePath", "definitions", "produces") if word in text]
    reference = {"$ref": "#/components/schemas/Greeting"}
    answer = spec["paths"]["/greetings/{lang}/"]["get"]["responses"]["200"]
    assert answer["content"]["application/json"]["schema"] == reference
    assert list(spec["components"]["schemas"]) == ["Greeting"]


@pytest.mark.of("flasgger")
def test_openapi_3_goes_with_a_post(cook, example):
    cook("Add a greeting by POST")
    client = cook("Describe it in OpenAPI 3")
    spec = client.get(example.spec_url).json
    assert {"Greeting", "NewGreeting"} <= set(spec["components"]["schemas"])
    assert client.post("/greetings/", json={"lang": "et", "text": "Tere"}).status_code == 201
    assert client.post("/greetings/", json={}).status_code == 400


KINDS = """
import datetime as dt
import uuid

KINDS = {
    "date": dt.date(2026, 11, 26),
    "naive": dt.datetime(2026, 11, 26, 8, 30),
    "aware": dt.datetime(2026, 11, 26, 8, 30, tzinfo=dt.timezone.utc),
    "time": dt.time(8, 30),
    "decimal": Decimal("0.10000000000000000001"),
    "uuid": uuid.UUID(int=1),
    "nested": [{"deep": Decimal("1.50")}],
    "none": None,
    "text": "你好",
}
"""


def test_dates_and_decimals_are_text_in_iso_8601(cook, example):
    """flask-restplus#608, flask-restx#355, #635."""
    route = """
@app.route("/kinds")
def kinds():
    return KINDS
"""
    if example.id == "restx":
        route = """
@api.route("/kinds")
class Kinds(Resource):
    def get(self):
        return KINDS
"""
    client = cook("Send dates, Decimals and unescaped text", KINDS + route)
    answer = client.get("/kinds")
    assert answer.json == {
        "date": "2026-11-26",
        "naive": "2026-11-26T08:30:00",
        "aware": "2026-11-26T08:30:00+00:00",
        "time": "08:30:00",
        "decimal": "0.10000000000000000001",
        "uuid": "00000000-0000-0000-0000-000000000001",
        "nested": [{"deep": "1.50"}],
        "none": None,
        "text": "你好",
    }
    assert "你好" in answer.text
    listed = client.get(example.list_url)
    assert listed.json == contract.greetings()
    assert "Ꮟ" in listed.text
    if example.spec_url:
        # Flasgger's LazyString goes through the same function.
        spec = client.get(example.spec_url, environ_overrides=TWO_MOUNTS[0]).json
        assert spec["basePath"] == MOUNTS["content"]


@pytest.mark.of("restx")
def test_dates_and_decimals_pass_models(cook):
    client = cook(
        "Send dates, Decimals and unescaped text",
        KINDS
        + """
model = api.model("Kinds", {
    "date": fields.Date, "aware": fields.DateTime, "decimal": fields.Raw, "none": fields.Date,
})

@api.route("/kinds")
class Kinds(Resource):
    @api.marshal_with(model)
    def get(self):
        return KINDS
""",
    )
    assert client.get("/kinds").json == {
        "date": "2026-11-26",
        "aware": "2026-11-26T08:30:00+00:00",
        "decimal": "0.10000000000000000001",
        "none": None,
    }
    assert client.get("/swagger.json").status_code == 200


def test_what_is_missing_in_a_data_frame_is_null(cook):
    """flask-restful#269, flask#6114."""
    client = cook(
        "Send a data frame",
        """
@app.route("/rows")
def get_rows():
    nan = float("nan")
    return {"rows": rows_of(pandas.DataFrame({
        "number": [0.1 + 0.2, nan, float("inf")],
        "tiny": [1e-12, 2.5, -1.0],
        "day": pandas.to_datetime(["2026-11-26T08:30", None, "1969-01-01T00:00"]),
        "text": ["你好", None, nan],
        "whole": pandas.array([2**60, None, 1], dtype="Int64"),
    }, index=["a", "b", "c"])), "none": rows_of(pandas.DataFrame())}
""",
    )
    text = client.get("/rows").text
    answer = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    first, second, third = answer["rows"]
    assert first == {
        "number": pytest.approx(0.3, rel=1e-14),
        "tiny": 1e-12,
        "day": "2026-11-26T08:30:00.000",
        "text": "你好",
        "whole": 2**60,
    }
    assert second == {"number": None, "tiny": 2.5, "day": None, "text": None, "whole": None}
    assert (third["number"], third["day"], third["text"]) == (None, "1969-01-01T00:00:00.000", None)
    assert answer["none"] == []


ASK = """
from app import app
client = app.test_client()
client.get({path!r})
client.get("/%0AERROR")
"""


def test_each_answer_is_one_line_of_the_log(cook, copy, example):  # gunicorn#379, flask#2407
    logger = "ns.logger" if example.id == "restx" else "app.logger"
    cook("Log what happens", f"\n{logger}.debug('hidden')\n{logger}.info('shown')\n")
    run = subprocess.run(
        [sys.executable, "-c", ASK.format(path=example.list_url)],
        cwd=copy,
        capture_output=True,
        encoding="utf-8",
    )
    assert run.stdout == ""
    lines = [line.partition("INFO in app: ")[2] for line in run.stderr.splitlines()]
    shown, first, second = filter(None, lines)
    assert (shown, first) == ("shown", f"GET '{example.list_url}': 200 OK")
    assert second.startswith("GET '/\\nERROR': ")
    counts = [run.stderr.count(text) for text in ("hidden", "shown", first, "Traceback")]
    assert counts == [0, 1, 1, 0], run.stderr


def test_two_processes_share_a_session(cook, copy):
    first = cook("Keep a session")
    second = Client(load(copy))
    assert first.get("/count").json == {"count": 1}
    cookie = first.get_cookie("greetings-session")
    assert cookie.http_only
    second.set_cookie("greetings-session", cookie.value)
    assert second.get("/count").json == {"count": 2}
    # What other content on the host sets, under Flask's own name.
    second.set_cookie("session", "other")
    assert second.get("/count").json == {"count": 3}


def test_session_of_another_key_counts_for_nothing(cook, copy, monkeypatch):
    client = cook("Keep a session")
    client.get("/count")
    value = client.get_cookie("greetings-session").value
    monkeypatch.setenv("GREETINGS_SECRET", "another")
    other = Client(load(copy))
    for cookie in (value, f"{value}x", value[1:], "", "é"):
        other.set_cookie("greetings-session", cookie)
        assert other.get("/count").json == {"count": 1}, cookie


ORIGIN = "https://www.example.com"


def test_preflight_passes_at_a_mount(cook, example):  # flask-cors#308, flask-restplus#440
    client = cook("Answer pages of other sites (CORS)")
    wanted = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "X-API-Key"}
    paths = (example.list_url, example.item_url.format(lang="en"), "/no/such/page")
    for origin in (ORIGIN, "https://www.example.com.evil.test", "null", "http://www.example.com"):
        allowed = origin if origin == ORIGIN else None
        for path in paths:
            for mount in TWO_MOUNTS:
                options = {"headers": {"Origin": origin, **wanted}, "environ_overrides": mount}
                preflight = client.options(path, **options)
                answer = client.get(path, **options)
                for headers in (preflight.headers, answer.headers):
                    assert headers.get("Access-Control-Allow-Origin") == allowed, path
                assert "Access-Control-Allow-Credentials" not in answer.headers
                if path != paths[-1]:
                    assert preflight.status_code == 200
                if allowed:
                    assert preflight.headers["Access-Control-Allow-Headers"] == "X-API-Key"


def run_tests(copy):
    (command,) = commands("Test your copy", SHARED)
    command = command.replace(".venv/bin/python", shlex.quote(sys.executable))
    kept = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    return subprocess.run(
        shlex.split(command), cwd=copy, env=kept, capture_output=True, encoding="utf-8"
    )


def files_of(copy):
    return {p for p in copy.rglob("*") if p.is_file() and p.parent.name != "__pycache__"}


def test_tests_of_a_copy_pass_and_leave_nothing_to_upload(cook, copy):
    cook("Test your copy")
    before = files_of(copy)
    run = run_tests(copy)
    assert run.returncode == 0 and "2 passed" in run.stdout, run.stdout
    assert files_of(copy) == before


def test_tests_of_a_copy_pass_with_other_data_and_names(cook, copy):
    cook("Test your copy")
    text = json.dumps({"de-CH": "Grüezi", "en": "Hi", "100": ""})
    (copy / "greetings.json").write_text(text, encoding="utf-8")
    with (copy / "app.py").open("a", encoding="utf-8") as file:
        file.write("\n\nservice = app\ndel app\n")
    (copy / "app.py").rename(copy / "server.py")
    test = (copy / "test_app.py").read_text(encoding="utf-8")
    test = test.replace("from app import app, db", "from server import service as app, db")
    (copy / "test_app.py").unlink()
    (copy / "tests").mkdir()
    (copy / "tests" / "test_app.py").write_text(test, encoding="utf-8")
    run = run_tests(copy)
    assert run.returncode == 0 and "2 passed" in run.stdout, run.stdout


def test_tests_of_a_copy_fail_when_it_breaks(cook, copy):
    cook("Test your copy")
    app = (copy / "app.py").read_text(encoding="utf-8")
    for old, new in [("json.load(file)", "{'b': 'B', 'a': 'A'}"), ("sorted(", "list(")]:
        app = app.replace(old, new)
    app = app.replace("db.get(lang)", "'Hello'")
    (copy / "app.py").write_text(app, encoding="utf-8")
    run = run_tests(copy)
    assert run.returncode == 1 and "2 failed" in run.stdout, run.stdout


@pytest.mark.of("credentials")
def test_only_members_of_the_group_change_greetings(cook):
    client = cook("Let the members of one group change greetings")
    added = {"lang": "et", "text": "Tere"}
    codes = {
        None: 403,
        "{}": 403,
        '{"user": "ann", "groups": null}': 403,
        '{"user": "ann", "groups": ["not-analysts"]}': 403,
        '{"user": "ann", "groups": "analysts"}': 400,
        "[]": 400,
    }
    for header, code in codes.items():
        headers = {} if header is None else {"RStudio-Connect-Credentials": header}
        answer = client.post("/greetings/", json=added, headers=headers)
        assert (answer.status_code, list(answer.json)) == (code, ["message"]), header
        for method in ("PUT", "DELETE", "PATCH"):
            answer = client.open("/greetings/en", method=method, headers=headers)
            assert answer.status_code == code, header
    assert client.get("/greetings/").json == contract.greetings()
    assert client.options("/greetings/").status_code == 200
    member = {"RStudio-Connect-Credentials": '{"user": "ann", "groups": ["b", "analysts"]}'}
    assert client.post("/greetings/", json=added, headers=member).status_code == 201
    assert added in client.get("/greetings/").json
