"""Whatever a client sends is refused in one line, with Connect's code, and breaks nothing.

The codes are those of https://docs.posit.co/connect/api/, part API Error Codes.
"""

import json

import pytest

from shared.connect.api import reading
from tests.connect.support import problem

CONTENT, VARIABLES = "PATCH content/GUID", "PATCH content/GUID/environment"
PERMISSIONS = "POST content/GUID/permissions"
PERMISSION = {"principal_guid": "OWNER", "principal_type": "user", "role": "viewer"}
# Each is refused wherever a body is read.
NO_JSON = {
    "nothing": "",
    "bytes that are not UTF-8": b'{"title": "\xff\xff\xff"}',
    "a byte order mark": '\ufeff{"title": "text"}'.encode(),
    "a lone surrogate": r'{"title": "abc\ud800"}',
    "deep nesting": '{"a":' * 50_000,
    "NaN": '{"load_factor": NaN}',
    "a number that is too large": '{"load_factor": 1e999}',
    "a number with too many digits": '{"min_processes": %s}' % ("9" * 5000),
    "a key that comes twice": '{"title": "one", "title": "two"}',
    "null": "null",
}
READ_BODIES = ["POST content", VARIABLES, PERMISSIONS, "PUT content/GUID/vanity"]
READ_BODIES += ["POST content/GUID/deploy"]


def send(api, echo, operation, body):
    method, path = operation.replace("GUID", echo["guid"]).split()
    return api.request(method, path, content=body)


CASES = [(body, "PATCH content/GUID") for body in NO_JSON.values()]
CASES += [("{", operation) for operation in READ_BODIES]


@pytest.mark.parametrize(("body", "operation"), CASES, ids=[*NO_JSON, *READ_BODIES])
def test_what_is_not_json_is_refused(api, echo, body, operation):
    refused = send(api, echo, operation, body)
    assert problem(refused) == (400, 87)
    assert "is not a JSON " in refused.json()["error"]


REFUSED = [
    ("POST content", {"name": "a b"}, 400, 5, "name is not 3 to 64"),
    ("POST content", {"access_type": "some"}, 400, 117, "is not acl, logged_in or all"),
    (CONTENT, {"title": "ab"}, 400, 122, "title is not 3 to 1024 characters"),
    (CONTENT, {"description": "a" * 4097}, 400, 123, "description is not 0 to 4096"),
    (CONTENT, {"init_timeout": "60"}, 400, 87, "init_timeout is not a whole number"),
    (CONTENT, {"min_processes": True}, 400, 87, "min_processes is not a whole number"),
    (CONTENT, {"run_as": "root"}, 501, 1, "Not implemented here: run_as."),
    # posit-dev/publisher#1061
    ("POST content", {"acces_type": "all"}, 400, 121, "There is no field acces_type here."),
    (CONTENT, {"a\nb": 1}, 400, 121, r"There is no field a\nb here."),
    ("POST content/GUID/deploy", {"bundleId": "7"}, 400, 121, "no field bundleId"),
    ("PUT content/GUID/vanity", {"path": "a", "forced": True}, 400, 121, "no field forced"),
    (VARIABLES, [{"name": "A", "Value": "1"}], 400, 121, "no field Value"),
    (PERMISSIONS, {"principal": "a"}, 400, 121, "no field principal"),
    (PERMISSIONS, PERMISSION | {"role": None}, 400, 23, "role is not viewer or owner"),
    (PERMISSIONS, PERMISSION | {"principal_type": "robot"}, 400, 152, "type is not user or group"),
    (PERMISSIONS, PERMISSION | {"principal_guid": "nobody"}, 400, 261, "There is no user"),
    (PERMISSIONS, PERMISSION | {"principal_type": "group"}, 400, 262, "There is no group"),
    (PERMISSIONS, PERMISSION, 400, 34, "admin owns this content"),
    ("GET content/GUID/permissions/1", None, 404, 4, "no such permission"),
    ("POST content/GUID/bundles?url=http://a/", None, 501, 1, "a bundle from a URL"),
    ("GET content/GUID/bundles?asc_order=nonsense", None, 501, 1, "asc_order"),
    ("GET users?user_role=publisher", None, 501, 1, "user_role"),
    ("GET content?include=owner,%00", None, 501, 1, r"include=\x00"),
    (VARIABLES, {}, 400, 87, "not a JSON array"),
    (VARIABLES, [1], 400, 87, "A part of the body is not a JSON object"),
    (VARIABLES, [{"value": "1"}], 400, 266, "no name"),
    (VARIABLES, [{"name": "A=B", "value": "1"}], 400, 25, "A=B has '=' in its name"),
    (VARIABLES, [{"name": "A\0", "value": "1"}], 400, 25, r"A\x00 has '='"),
    (VARIABLES, [{"name": "A", "value": "1\0"}], 400, 25, "or NUL in its name or value"),
    (VARIABLES, [{"name": "A", "value": "é" * 65535}], 400, 25, "A is over 128 KiB"),
    (VARIABLES, [{"name": "A", "value": "1"}] * 2, 409, 149, "A comes twice"),
    ("PUT content/GUID/vanity", {"path": "a\nb"}, 400, 25, r"a\nb has more than letters"),
    ("PUT content/GUID/vanity", {"path": "a//b"}, 400, 25, "a//b has more than letters"),
    ("PUT content/GUID/vanity", {"path": "/"}, 400, 52, "reserved"),
    ("PUT content/GUID/vanity", {"path": "connect-demo"}, 400, 52, "reserved"),
    ("PUT content/GUID/vanity", {"path": "/sign-in"}, 400, 52, "reserved"),
    ("POST content/GUID/deploy", {"bundle_id": "x"}, 404, 4, "no such bundle"),
    ("GET content/GUID/bundles/x/download", None, 404, 4, "no such bundle"),
    ("GET content/GUID/bundles?page_size=" + "9" * 5000, None, 400, 25, "page_size"),
    ("GET content/0-0", None, 404, 4, "no content"),
    ("GET tasks/nothing", None, 404, 141, "no task"),
    # Connect has them.
    ("GET content/GUID/tags", None, 501, 1, "Not implemented here: GET /__api__/v1/content"),
    ("GET ../tokens", None, 501, 1, "Not implemented here: GET /__api__/tokens."),
    # It has not: posit-dev/with-connect.
    ("POST user", None, 404, 2, "There is no operation POST /__api__/v1/user."),
    ("GET a%0Db%ff", None, 404, 2, r"There is no operation GET /__api__/v1/a\rb�."),
]


@pytest.mark.parametrize(("operation", "body", "status", "code", "message"), REFUSED)
def test_bad_request_is_refused_in_one_line(api, echo, operation, body, status, code, message):
    text = json.dumps(body).replace("OWNER", echo["owner_guid"])
    response = send(api, echo, operation, text)
    assert problem(response) == (status, code)
    assert message in response.json()["error"]


def test_refused_changes_change_nothing(api, content):
    url = f"content/{content['guid']}"
    assert api.patch(url, json={"title": "New", "locked": True}).status_code == 501
    assert api.get(url).json() == content
    variables = [{"name": "A", "value": "1"}, {"name": "B=", "value": "1"}]
    assert api.patch(f"{url}/environment", json=variables).status_code == 400
    assert api.get(f"{url}/environment").json() == []


def test_body_over_the_limit_is_refused(api, echo, monkeypatch):
    monkeypatch.setattr(reading, "MAX_JSON", 100)
    assert problem(send(api, echo, CONTENT, '{"title": "%s"}' % ("a" * 100))) == (413, 2)


def test_some_operations_need_no_key(stranger):
    """posit-dev/connectapi, tests/integrated; posit-dev/with-connect."""
    assert stranger.get("/__api__/server_settings").status_code == 200
    assert problem(stranger.get("/__api__/v1/nothing")) == (404, 2)
    assert problem(stranger.get("/__api__/v1/tags")) == (401, 24)
    # rsconnect bootstrap
    assert problem(stranger.post("/__api__/v1/experimental/bootstrap")) == (501, 1)
    assert stranger.get("/__ping__").status_code == 200  # posit-dev/with-connect


@pytest.mark.parametrize("path", ["/connect/apps/%ff%00/logs", "/\u00e9", "/" + "a" * 9999])
def test_page_that_is_not_there_is_one_line(stranger, path):
    response = stranger.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert len(response.text.splitlines()) == 1
