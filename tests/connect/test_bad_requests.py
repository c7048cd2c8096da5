"""Whatever a client sends is refused in one line, with Connect's code, and breaks nothing.

The codes are those of https://docs.posit.co/connect/api/, part API Error Codes.
"""

import json
import re

import pytest

from tests.connect.support import problem

pytestmark = pytest.mark.local
CONTENT, VARIABLES = "PATCH content/GUID", "PATCH content/GUID/environment"
# Each is refused wherever a body is read.
NO_JSON = {
    "nothing": "",
    "half an object": "{",
    "bytes that are not UTF-8": b'{"title": "\xff\xff\xff"}',
    "UTF-16": '{"title": "text"}'.encode("utf-16"),
    "a byte order mark": '\ufeff{"title": "text"}'.encode(),
    "a lone surrogate": r'{"title": "abc\ud800"}',
    "a lone surrogate as a key": r'{"\udfff": null}',
    "deep nesting": "[" * 50_000,
    "deep nesting that is closed": "[" * 50_000 + "]" * 50_000,
    "deep objects": '{"a":' * 50_000,
    "NaN": '{"load_factor": NaN}',
    "Infinity": '{"load_factor": -Infinity}',
    "a number that is too large": '{"load_factor": 1e999}',
    "a number with too many digits": '{"min_processes": %s}' % ("9" * 5000),
    "a key that comes twice": '{"title": "one", "title": "two"}',
    "a control character": '{"title": "a\0bc"}',
    "text after it": "{} {}",
    "null": "null",
    "a string": '"{}"',
}
READ_BODIES = [
    "POST content",
    "PATCH content/GUID",
    "PUT content/GUID/environment",
    "PATCH content/GUID/environment",
    "PUT content/GUID/vanity",
    "POST content/GUID/deploy",
    "POST content/GUID/build",
]


def send(api, echo, asked, body=None, **options):
    method, path = asked.replace("GUID", echo["guid"]).split()
    return api.request(method, path, content=body, **options)


@pytest.mark.parametrize("asked", READ_BODIES)
@pytest.mark.parametrize("body", NO_JSON)
def test_what_is_not_json_is_refused(api, echo, asked, body):
    refused = send(api, echo, asked, NO_JSON[body])
    assert problem(refused) == (400, 87)
    # Python 3.14 reads lists that are nested so deeply, and finds no variable in them.
    assert re.match("(The body|A variable) is not a JSON ", refused.json()["error"])


REFUSED = [
    ("POST content", "[]", 400, 87, "not a JSON object"),
    ("POST content", {"name": "a b"}, 400, 5, "name is not 3 to 64"),
    ("POST content", {"name": "ab"}, 400, 5, "name is not 3 to 64"),
    ("POST content", {"name": "a" * 65}, 400, 5, "name is not 3 to 64"),
    ("POST content", {"name": "abc\n"}, 400, 5, "name is not 3 to 64"),
    ("POST content", {"name": 5}, 400, 87, "name is not a string"),
    ("POST content", {"access_type": "some"}, 400, 117, "is not acl, logged_in, all"),
    (CONTENT, {"title": "ab"}, 400, 122, "title is not 3 to 1024 characters"),
    (CONTENT, {"title": "a" * 1025}, 400, 122, "title is not 3 to 1024 characters"),
    (CONTENT, {"title": ["abc"]}, 400, 87, "title is not a string"),
    (CONTENT, {"description": "a" * 4097}, 400, 123, "description is over 4096"),
    (CONTENT, {"connection_timeout": -1}, 400, 151, "connection_timeout is not a number from 0"),
    (CONTENT, {"read_timeout": 2_592_001}, 400, 151, "from 0 to 2592000"),
    (CONTENT, {"init_timeout": "60"}, 400, 87, "init_timeout is not a whole number"),
    (CONTENT, {"idle_timeout": 1.5}, 400, 87, "idle_timeout is not a whole number"),
    (CONTENT, {"min_processes": -1}, 400, 191, "min_processes is not a number from 0"),
    (CONTENT, {"min_processes": True}, 400, 87, "min_processes is not a whole number"),
    (CONTENT, {"min_processes": 10**30}, 400, 191, "min_processes"),
    (CONTENT, {"max_processes": -1}, 400, 192, "max_processes"),
    (CONTENT, {"max_processes": 0}, 400, 272, "max_processes is 0"),
    (CONTENT, {"min_processes": 4, "max_processes": 3}, 400, 114, "over max_processes, which is 3"),
    (CONTENT, {"max_conns_per_process": 0}, 400, 239, "max_conns_per_process"),
    (CONTENT, {"load_factor": 1.01}, 400, 150, "load_factor is not a number from 0 to 1"),
    (CONTENT, {"load_factor": -0.1}, 400, 150, "load_factor"),
    (CONTENT, {"load_factor": "1"}, 400, 87, "load_factor is not a number"),
    (CONTENT, {"memory_request": 9_007_198_180_999_169}, 400, 181, "memory_request"),
    (CONTENT, {"memory_limit": -1}, 400, 183, "memory_limit"),
    (CONTENT, {"memory_request": 2, "memory_limit": 1}, 400, 185, "over memory_limit"),
    (CONTENT, {"cpu_request": -1}, 400, 186, "cpu_request"),
    (CONTENT, {"cpu_limit": -0.5}, 400, 188, "cpu_limit"),
    (CONTENT, {"cpu_request": 1.5, "cpu_limit": 1}, 400, 190, "over cpu_limit"),
    (CONTENT, {"amd_gpu_limit": -1}, 400, 196, "amd_gpu_limit"),
    (CONTENT, {"nvidia_gpu_limit": 0.5}, 400, 87, "nvidia_gpu_limit is not a whole number"),
    (CONTENT, {"default_image_name": "a b"}, 400, 193, "default_image_name"),
    (CONTENT, {"default_image_name": ""}, 400, 193, "default_image_name"),
    (CONTENT, {"notify_on_share": "yes"}, 400, 87, "notify_on_share is not true or false"),
    (CONTENT, {"run_as_current_user": True}, 400, 54, "does not run as its visitor"),
    (CONTENT, {"service_account_name": "a"}, 400, 195, "no service accounts"),
    (CONTENT, {"run_as": "root"}, 501, 1, "Not implemented here: run_as."),
    (CONTENT, {"locked": True}, 501, 1, "Not implemented here: locked."),
    (CONTENT, {"owner_guid": "0-0"}, 501, 1, "Not implemented here: owner_guid."),
    (CONTENT, {"min_process": 1}, 501, 1, "Not implemented here: min_process."),
    (CONTENT, {"a\nb": 1}, 501, 1, r"Not implemented here: a\nb."),
    (VARIABLES, {}, 400, 87, "not a JSON array"),
    (VARIABLES, [1], 400, 87, "not a JSON object"),
    (VARIABLES, [{"value": "1"}], 400, 266, "no name"),
    (VARIABLES, [{"name": "", "value": "1"}], 400, 266, "no name"),
    (VARIABLES, [{"name": 1, "value": "1"}], 400, 87, "name is not a string"),
    (VARIABLES, [{"name": "A", "value": 1}], 400, 87, "value is not a string"),
    (VARIABLES, [{"name": "A=B", "value": "1"}], 400, 25, "has '=' or NUL: A=B."),
    (VARIABLES, [{"name": "=", "value": None}], 400, 25, "has '=' or NUL: =."),
    (VARIABLES, [{"name": "A\0", "value": "1"}], 400, 25, r"has '=' or NUL: A\x00."),
    (VARIABLES, [{"name": "A", "value": "1\0"}], 400, 25, "The value of A has NUL"),
    (VARIABLES, [{"name": "A", "value": "é" * 65535}], 400, 25, "A is over 128 KiB"),
    (VARIABLES, [{"name": "A", "value": "1"}] * 2, 409, 149, "A comes twice"),
    ("PUT content/GUID/environment", [{"name": "A=", "value": ""}], 400, 25, "has '=' or NUL"),
    ("PUT content/GUID/vanity", {}, 400, 52, "reserved"),
    ("PUT content/GUID/vanity", {"path": "a\nb"}, 400, 25, r"a\nb"),
    ("PUT content/GUID/vanity", {"path": 1}, 400, 87, "path is not a string"),
    ("POST content/GUID/deploy", {"bundle_id": 5}, 400, 87, "bundle_id is not a string"),
    ("POST content/GUID/deploy", {"bundle_id": "x"}, 404, 4, "no such bundle"),
    ("POST content/GUID/deploy", {"activate": "yes"}, 400, 87, "activate is not true or false"),
    ("GET content/GUID/bundles/x/download", None, 404, 4, "no such bundle"),
    ("GET content/GUID/bundles?page_number=%ff", None, 400, 25, "page_number is not a number"),
    ("GET content/GUID/bundles?page_size=" + "9" * 5000, None, 400, 25, "page_size"),
    ("GET content/GUID?include=%00", None, 400, 161, "include takes only"),
    ("GET content/0-0", None, 404, 4, "no content"),
    ("GET content/%ff%00", None, 404, 4, "no content"),
    ("GET content/" + "a" * 10_000, None, 404, 4, "no content"),
    ("GET tasks/nothing", None, 404, 141, "no task"),
    ("GET tasks/nothing?wait=NaN", None, 404, 141, "no task"),
    # Connect has them.
    ("POST tags", None, 501, 1, "Not implemented here: POST /__api__/v1/tags."),
    ("GET content/GUID/permissions", None, 501, 1, "Not implemented here: GET /__api__/v1/content"),
    ("GET ../tokens", None, 501, 1, "Not implemented here: GET /__api__/tokens."),
    # It has not: posit-dev/with-connect.
    ("GET nothing", None, 404, 2, "There is no operation GET /__api__/v1/nothing."),
    ("GET ../nothing", None, 404, 2, "There is no operation GET /__api__/nothing."),
    ("GET ../", None, 404, 2, "There is no operation GET /__api__/."),
    ("POST user", None, 404, 2, "There is no operation POST /__api__/v1/user."),
    ("GET content/GUID/nothing", None, 404, 2, "There is no operation GET /__api__/v1/content/"),
    ("GET a%0Db%ff", None, 404, 2, r"There is no operation GET /__api__/v1/a\rb�."),
]


@pytest.mark.parametrize(("asked", "body", "status", "code", "told"), REFUSED)
def test_bad_request_is_refused_in_one_line(api, echo, asked, body, status, code, told):
    text = body if isinstance(body, str | None) else json.dumps(body)
    response = send(api, echo, asked, text)
    assert problem(response) == (status, code)
    assert told in response.json()["error"]


def test_refused_changes_change_nothing(api, content):
    url = f"content/{content['guid']}"
    api.patch(url, json={"max_processes": 3})
    before = api.get(url).json()
    for body in ({"title": "New", "min_processes": 4}, {"name": "new", "locked": True}):
        assert api.patch(url, json=body).status_code in (400, 501)
        assert api.get(url).json() == before
    variables = [{"name": "A", "value": "1"}, {"name": "B=", "value": "1"}]
    assert api.patch(f"{url}/environment", json=variables).status_code == 400
    assert api.get(f"{url}/environment").json() == []


def test_server_settings_refuse_a_wrong_key_and_want_none(stranger):
    """posit-dev/connectapi, tests/integrated."""
    for key, status in (("Key wrong", 401), ("Bearer x", 200), ("", 200)):
        headers = {"Authorization": key}
        told = stranger.get("/__api__/server_settings", headers=headers)
        assert told.status_code == status, key
        if status == 401:
            assert problem(told) == (401, 30)


def test_unknown_operation_needs_no_key(stranger):
    assert problem(stranger.get("/__api__/v1/nothing")) == (404, 2)
    assert problem(stranger.get("/__api__/v1/tags")) == (401, 24)
    assert stranger.get("/__ping__").status_code == 200  # posit-dev/with-connect


@pytest.mark.parametrize("path", ["/connect/apps/%ff%00/logs", "/%00", "/\u00e9", "/" + "a" * 9999])
def test_page_that_is_not_there_is_one_line(stranger, path):
    response = stranger.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert len(response.text.splitlines()) == 1
