"""A table of the reader's own: typed in the spec, in pages, quick with many rows."""

import json

import pytest

from shared.harness.thread import CannotImport, load

TITLE = "Serve a table of your own"
HEADER = "id,day,city,visitors,rating"


@pytest.fixture
def table(cook):
    """A function that puts lines in place of the recipe's CSV file, and returns a client."""

    def table(*lines, encoding="utf-8"):
        client = cook(TITLE)
        (client.copy / "visits.csv").write_text("\n".join(lines), encoding=encoding)
        client.application = load(client.copy)
        return client

    return table


def test_what_is_missing_or_no_number_is_null(table):
    rows = ["1,2026-11-26,NA,120.0,NaN", "2,,,,inf", "3,NaT,  Õ ,9007199254740993,1e999"]
    client = table(HEADER, *rows, encoding="utf-8-sig")
    text = client.get("/visits/").text
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name)) == [
        {"id": 1, "day": "2026-11-26", "city": "NA", "visitors": 120, "rating": None},
        {"id": 2, "day": None, "city": None, "visitors": None, "rating": None},
        {"id": 3, "day": None, "city": "Õ", "visitors": 9007199254740993, "rating": None},
    ]


def test_bad_table_stops_the_app_at_its_start(table):
    with pytest.raises(CannotImport, match="visits.csv has no column id"):
        table("id;day;city")
    for line in ("x,2026-11-26,Tartu,1,1", "1,26.11.2026,Tartu,1,1", "1,,,,1_000"):
        with pytest.raises(CannotImport, match="visits.csv, line 2: "):
            table(HEADER, line)
    with pytest.raises(CannotImport, match="two rows have the same id"):
        table(HEADER, "1,,,,", "1,,,,")


def test_list_is_filtered_and_comes_in_pages_of_100_at_most(table):
    rows = (f"{n},2026-11-26,{'Tartu' if n % 3 else 'Õru'},{n}," for n in range(1, 301))
    client = table(HEADER, *rows)
    ids = {
        "": range(1, 101),
        "page=3": range(201, 301),
        "page=4": [],
        "city=Õru&limit=3": [3, 6, 9],
        "visitors=7&city=Tartu": [7],
        "rating=&limit=1": [1],
    }
    for query, expected in ids.items():
        answer = client.get(f"/visits/?{query}")
        assert [row["id"] for row in answer.json] == list(expected), query
    for query in ("limit=101", "limit=1_0", "page=0", "day=x"):
        answer = client.get(f"/visits/?{query}")
        assert (answer.status_code, list(answer.json)) == (400, ["message"]), query
        assert query.partition("=")[0] in answer.json["message"]
    assert client.get("/visits/300").json["visitors"] == 300
    for unknown in ("301", "x", "1.5", "nan"):
        answer = client.get(f"/visits/{unknown}")
        assert (answer.status_code, list(answer.json)) == (404, ["message"]), unknown


@pytest.mark.having("spec_url")
def test_spec_names_the_type_of_each_column(cook, example):
    spec = cook(TITLE).get(example.spec_url).json
    types = {"id": "integer", "day": "string", "city": "string"}
    types |= {"visitors": "integer", "rating": "number"}
    cells = spec["definitions"]["Visit"]["properties"]
    assert {name: cell["type"] for name, cell in cells.items()} == types
    assert all(cell["x-nullable"] for cell in cells.values())
    listed, item = spec["paths"]["/visits/"]["get"], spec["paths"]["/visits/{id}"]["get"]
    parameters = {parameter["name"]: parameter for parameter in listed["parameters"]}
    types |= {"page": "integer", "limit": "integer"}
    assert {name: parameter["type"] for name, parameter in parameters.items()} == types
    assert parameters["limit"]["maximum"] == 100
    assert cells["day"]["format"] == parameters["day"]["format"] == "date"
    row = {"$ref": "#/definitions/Visit"}
    assert listed["responses"]["200"]["schema"] == {"type": "array", "items": row}
    assert item["responses"]["200"]["schema"] == row
