"""What a copy answers, besides greetings: dates and data frames, specs, pages, lines of the log."""

import json
import subprocess
import sys

import pytest

DATES = "Send dates, Decimals and unescaped text"
KINDS = """
import datetime as dt
from dataclasses import dataclass

class Level(Enum):
    HIGH = 3

@dataclass
class Person:
    name: str
    born: dt.date

KINDS = {
    "aware": dt.datetime(2026, 11, 26, 8, 30, tzinfo=dt.timezone.utc),
    "decimal": Decimal("0.10000000000000000001"),
    "nested": [{"deep": Decimal("1.50")}],
    "set": {2, 1},
    "enum": Level.HIGH,
    "dataclass": Person("你好", dt.date(2000, 1, 2)),
}
"""
ROUTE = """
@app.route("/kinds")
def kinds():
    return KINDS
"""
RESOURCE = """
@api.route("/kinds")
class Kinds(Resource):
    def get(self):
        return KINDS
"""


def test_dates_and_decimals_are_text_in_iso_8601(cook, example):
    """flask-restplus#608, flask-restx#355, #635."""
    client = cook(DATES, code=KINDS + (RESOURCE if example.id == "restx" else ROUTE))
    answer = client.get("/kinds")
    assert answer.json == {
        "aware": "2026-11-26T08:30:00+00:00",
        "decimal": "0.10000000000000000001",
        "nested": [{"deep": "1.50"}],
        "set": [1, 2],
        "enum": 3,
        "dataclass": {"name": "你好", "born": "2000-01-02"},
    }
    assert "你好" in answer.text
    if example.spec_url:
        # Flasgger's LazyString goes through the same function.
        assert client.get(example.spec_url).status_code == 200


def test_what_is_missing_in_a_data_frame_is_null(cook):
    """flask-restful#269, flask#6114."""
    code = """
@app.route("/rows")
def get_rows():
    nan = float("nan")
    return {"rows": rows_of(pandas.DataFrame({
        "number": [0.1 + 0.2, nan],
        "infinite": [1, float("inf")],
        "text": ["你好", nan],
        "whole": pandas.array([2**60, None], dtype="Int64"),
    }, index=["a", "b"])), "none": rows_of(pandas.DataFrame())}
"""
    text = cook("Send a data frame", code=code).get("/rows").text
    answer = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    first, second = answer["rows"]
    number = pytest.approx(0.3, rel=1e-14)
    assert first == {"number": number, "infinite": 1, "text": "你好", "whole": 2**60}
    assert second == dict.fromkeys(first)
    assert answer["none"] == []


@pytest.mark.of("flasgger")
@pytest.mark.parametrize("turn", [1, -1], ids=["first", "last"])
def test_openapi_3_has_what_other_recipes_add(cook, example, mounts, turn):
    """flasgger#366, #608, #267, #321, #374"""
    titles = ["Describe it in OpenAPI 3", "Change and delete a greeting", "Take and send files"]
    titles += ["Ask for a key", "Search, and answer in pages", "Serve a table of your own"]
    client = cook(*titles[::turn], code='\nLOCKED = ("/nothing",)\n')
    for mount in mounts:
        spec = client.get(example.spec_url, environ_overrides=mount).json
        assert spec["servers"] == [{"url": mount["SCRIPT_NAME"]}]
    # What OpenAPI 3 does not have, or has elsewhere.
    words = ("swagger", "basePath", "definitions", "produces", "consumes", "formData", "x-nullable")
    assert not [word for word in words if f'"{word}"' in json.dumps(spec)]
    assert set(spec["components"]["schemas"]) == {"Greeting", "NewGreeting", "Visit"}
    assert list(spec["components"]["securitySchemes"]) == ["key"]
    listed, item = spec["paths"]["/greetings/"], spec["paths"]["/greetings/{lang}/"]
    greeting = {"$ref": "#/components/schemas/Greeting"}
    assert item["get"]["responses"]["200"]["content"]["application/json"]["schema"] == greeting
    for operation, schema in ((listed["post"], "NewGreeting"), (item["put"], "NewGreeting")):
        content = operation["requestBody"]["content"]["application/json"]
        assert content["schema"] == {"$ref": f"#/components/schemas/{schema}"}
    files = spec["paths"]["/files/"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert files["schema"]["properties"] == {"file": {"type": "string", "format": "binary"}}
    limit = next(each for each in listed["get"]["parameters"] if each["name"] == "limit")
    assert limit["schema"]["maximum"] == 100
    assert client.post("/greetings/", json={"lang": "et", "text": "Tere"}).status_code == 201
    assert client.post("/greetings/", json={}).status_code == 400


ASK = """
from app import app
client = app.test_client()
client.get({path!r})
client.get("/%0AERROR")
"""


def test_each_answer_is_one_line_of_the_log(cook, example):  # gunicorn#379, flask#2407
    logger = "ns.logger" if example.id == "restx" else "app.logger"
    code = f"\n{logger}.debug('hidden')\n{logger}.info('shown')\n"
    copy = cook("Log what happens", code=code).copy
    command = [sys.executable, "-c", ASK.format(path=example.list_url)]
    run = subprocess.run(command, cwd=copy, capture_output=True, encoding="utf-8")
    lines = [line.partition("INFO in app: ")[2] for line in run.stderr.splitlines()]
    shown, first, second = filter(None, lines)
    assert (shown, first) == ("shown", f"GET '{example.list_url}': 200 OK")
    assert second.startswith("GET '/\\nERROR': ")
    counts = [run.stderr.count(text) for text in ("hidden", "shown", first, "Traceback")]
    assert counts == [0, 1, 1, 0], run.stderr
