"""What a copy answers, besides greetings: dates and data frames, lines of the log."""

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


def test_what_is_missing_in_a_data_frame_is_null(cook):
    """flask-restful#269, flask#6114."""
    code = """
@app.route("/rows")
def get_rows():
    columns = {"number": [1 / 3, float("inf")], "text": ["你好", float("nan")]}
    return rows_of(pandas.DataFrame(columns, index=["a", "b"]))
"""
    answer = cook("Send a data frame", code=code).get("/rows")
    number = pytest.approx(1 / 3, rel=1e-14)
    assert answer.json == [{"number": number, "text": "你好"}, {"number": None, "text": None}]


ASK = """
from app import app
client = app.test_client()
client.get({path!r})
client.get("/%0AERROR")
"""


def test_each_answer_is_one_line_of_the_log(cook, example):  # gunicorn#379, flask#2407
    logger = "ns.logger" if example.id == "restx" else "app.logger"
    code = f"\n{logger}.info('shown')\n"
    copy = cook("Log what happens", code=code).copy
    command = [sys.executable, "-c", ASK.format(path=example.list_url)]
    run = subprocess.run(command, cwd=copy, capture_output=True, encoding="utf-8")
    lines = [line.partition("INFO in app: ")[2] for line in run.stderr.splitlines()]
    shown, first, second = filter(None, lines)
    assert (shown, first) == ("shown", f"GET '{example.list_url}': 200 OK")
    assert second.startswith("GET '/\\nERROR': ")
    counts = [run.stderr.count(text) for text in ("shown", first, "Traceback")]
    assert counts == [1, 1, 0], run.stderr
