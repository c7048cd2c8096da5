"""Each operation of the API answers as Connect's API reference says: keys, types and codes.

See https://docs.posit.co/connect/api/.
"""

import contextlib
import hashlib
import json
import re
import threading

import pytest

from shared.connect import api
from shared.connect.jobs import BUILD, Job
from shared.connect.server import LocalConnect
from tests.connect.support import (
    ask_echo,
    deploy_bundle,
    follow_task,
    key_client,
    make_bundle,
    read_log,
)


class Text:
    """Equals each text that matches a pattern."""

    def __init__(self, pattern):
        self.pattern = pattern

    def __eq__(self, other):
        return isinstance(other, str) and bool(re.fullmatch(self.pattern, other))

    def __repr__(self):
        return f"<{self.pattern}>"


GUID, ID, KEY = Text("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), Text(r"\d+"), Text("[0-9a-f]+")
TIME, VERSION = Text(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), Text(r"3\.\d+\.\d+")
BUILT = {"cluster_name": "Local", "py_environment_management": True, "py_version": VERSION}
# Besides the fields that are the same for all; None: not yet set.
CONTENT = dict.fromkeys(["title", "bundle_id", *BUILT]) | {
    "guid": GUID,
    "id": ID,
    "description": "",
    "access_type": "acl",
    "app_mode": "unknown",
    "app_role": "owner",
    "content_url": Text(r"http://127\.0\.0\.1:\d+/content/[0-9a-f-]+/"),
    "created_time": TIME,
    "dashboard_url": Text(r"http://127\.0\.0\.1:\d+/connect/#/apps/[0-9a-f-]+"),
    "last_deployed_time": TIME,
    "owner_guid": GUID,
}
BUNDLE = dict.fromkeys(BUILT) | {"id": ID, "created_time": TIME, "active": False}
USER = {
    "guid": GUID,
    "username": "admin",
    "user_role": "administrator",
    "email": "",
    "first_name": "",
    "last_name": "",
    "active_time": None,
    "confirmed": True,
    "created_time": TIME,
    "locked": False,
    "updated_time": TIME,
}
JOB = {
    "id": ID,
    "key": KEY,
    "app_id": ID,
    "content_id": ID,
    "variant_id": "0",
    "variant_key": "",
    "start_time": TIME,
    "last_heartbeat_time": TIME,
}


@pytest.fixture
def url(content):
    """The path of a new content item."""
    return f"content/{content['guid']}"


@pytest.fixture(scope="module")
def staffed(environments):
    """A local Connect with two more users, and clients with the keys of all three."""
    users = [("ada", ["editors", "readers"]), ("bob", ["readers"])]
    with (
        LocalConnect(environments=environments, users=users) as server,
        contextlib.ExitStack() as stack,
    ):
        clients = {name: key_client(server, name, "/__api__/v1/") for name in server.users.by_name}
        yield {name: stack.enter_context(client) for name, client in clients.items()}


def problem(response):
    """The status and the code of a refusal, which has a line that says why."""
    told = response.json()
    assert told.keys() == {"code", "error", "payload"} and told["payload"] is None
    assert told["error"] and "\n" not in told["error"]
    return response.status_code, told["code"]


def test_new_content_has_all_fields(publisher, content, url):
    assert content == api.content.CONTENT | CONTENT | {"name": content["name"]}
    assert publisher.get(url).json() == content


def test_content_includes_what_is_asked_for(publisher, content, url):
    query = {"include": "owner,tags,vanity_url", "name": content["name"]}
    owner = {key: USER[key] for key in ("guid", "username", "first_name", "last_name")}
    assert publisher.get(url, params=query).json() == content | {"owner": owner}
    publisher.put(f"{url}/vanity", json={"path": "included"})
    vanity = content["content_url"].replace(f"/{url}", "/included")
    included = content | {"owner": owner, "vanity_url": vanity}
    assert publisher.get("content", params=query).json() == [included]
    assert problem(publisher.get(url, params={"include": "owner,all"})) == (400, 161)


def test_contents_are_found_by_name_and_owner(publisher, content):
    name, owner = content["name"], content["owner_guid"]
    for query, found in (
        ({"name": name}, [content]),
        ({"name": name, "owner_guid": owner}, [content]),
        ({"name": name[:-1]}, []),
        ({"owner_guid": "nobody"}, []),
    ):
        assert publisher.get("content", params=query).json() == found, query


@pytest.mark.local
def test_name_is_optional_and_unique(staffed):
    admin = staffed["admin"]
    chosen = [admin.post("content", json=body).json()["name"] for body in ({}, {"name": ""})]
    assert len(set(chosen)) == 2 and all(chosen)
    first, second = (admin.post("content", json={"name": name}).json() for name in ("one", "two"))
    assert problem(admin.post("content", json={"name": "one"})) == (409, 26)
    assert problem(admin.patch(f"content/{second['guid']}", json={"name": "one"})) == (409, 26)
    for name, kept in {"": "one", "one": "one", "three": "three"}.items():
        assert admin.patch(f"content/{first['guid']}", json={"name": name}).json()["name"] == kept


def test_content_is_changed_by_what_is_given_alone(publisher, content, url):
    changes = {"title": "Title", "description": "Text", "access_type": "logged_in"}
    assert publisher.patch(url, json=changes).json() == content | changes
    more = {"title": None, "access_type": "all"}
    changed = publisher.patch(url, json={**more, "max_processes": None}).json()
    assert changed == content | changes | more == publisher.get(url).json()


# As Posit Publisher sends them, for those who set them in its configuration.
SETTINGS = {
    "connection_timeout": 3600,
    "read_timeout": 0,
    "init_timeout": 60,
    "idle_timeout": 2_592_000,
    "max_processes": 3,
    "min_processes": 1,
    "max_conns_per_process": 20,
    "load_factor": 0.5,
    "memory_request": 0,
    "memory_limit": 9_007_198_180_999_168,
    "cpu_request": 0.5,
    "cpu_limit": 2,
    "amd_gpu_limit": 0,
    "nvidia_gpu_limit": 1,
    "default_r_environment_management": True,
    "default_py_environment_management": False,
    "default_image_name": "example/image:1",
    "metrics_collection_enabled": True,
    "notify_on_share": False,
    "otel_enabled": True,
}


def test_settings_are_kept_and_given_back(staffed):
    created = staffed["admin"].post("content", json=SETTINGS).json()
    url = f"content/{created['guid']}"
    assert created | SETTINGS == created == staffed["admin"].get(url).json()
    changed = staffed["admin"].patch(url, json={"min_processes": 2, "load_factor": 1}).json()
    assert changed == created | {"min_processes": 2, "load_factor": 1}
    nothing = staffed["admin"].patch(url, json=dict.fromkeys(SETTINGS)).json()
    assert nothing == created | dict.fromkeys(SETTINGS) | {"otel_enabled": False}
    # What is as it is may be said.
    same = {"owner_guid": created["owner_guid"], "locked": False, "run_as": None}
    assert staffed["admin"].patch(url, json=same).json() == nothing


def test_content_has_a_number_of_its_own(environments):
    """Apart from that of bundles, so that a first deployment is of bundle 1."""
    with (
        LocalConnect(environments=environments) as server,
        key_client(server, "admin", "/__api__/v1/") as admin,
    ):
        contents = [admin.post("content", json={}).json() for _ in "12"]
        url = f"content/{contents[1]['guid']}/bundles"
        bundles = [admin.post(url, content=make_bundle()).json() for _ in "12"]
        assert [each["id"] for each in contents] == [each["id"] for each in bundles] == ["1", "2"]


def test_bundle_has_all_fields_and_its_origin(publisher, content, url):
    archive = make_bundle()
    told = {"source": "git", "source_branch": "main", "source_commit": "12"}
    form = {"files": {"archive": archive}, "data": {"metadata": json.dumps(told | {"a": "b"})}}
    uploaded = publisher.post(f"{url}/bundles", **form)
    sums = {f"archive_{name}": hashlib.new(name, archive).hexdigest() for name in ("md5", "sha1")}
    expected = {"content_guid": content["guid"], "created_by": content["owner_guid"]}
    expected |= {"size": len(archive), "metadata": {"source_repo": None} | told | sums}
    assert (uploaded.status_code, uploaded.json()) == (200, api.bundles.BUNDLE | BUNDLE | expected)
    one = f"{url}/bundles/{uploaded.json()['id']}"
    assert publisher.get(one).json() == uploaded.json()
    assert publisher.get(f"{one}/download").content == archive


def test_deployed_content_tells_its_bundle(publisher, content, url):
    older = publisher.post(f"{url}/bundles", content=make_bundle()).json()
    newer, _ = deploy_bundle(publisher, content, make_bundle())
    deployed = {**content, **BUILT, "app_mode": "python-api", "bundle_id": newer}
    assert publisher.get(url).json() == deployed | {"last_deployed_time": TIME}
    active, other = publisher.get(f"{url}/bundles").json()
    assert active == other | BUILT | {key: active[key] for key in ("id", "created_time", "active")}
    assert (active["id"], active["active"], other) == (newer, True, older)


def test_bundles_come_newest_first_and_in_pages(publisher, url):
    uploaded = [publisher.post(f"{url}/bundles", content=make_bundle()).json() for _ in range(21)]
    newest = uploaded[::-1]
    queries = ["", "page_number=2", "page_size=2&page_number=2", "page_size=500"]
    pages = [publisher.get(f"{url}/bundles?{query}").json() for query in queries]
    assert pages == [newest[:20], newest[20:], newest[2:4], newest]
    for query in ("page_size=0", "page_size=501", "page_number=x"):
        assert problem(publisher.get(f"{url}/bundles?{query}")) == (400, 25)


def test_bundle_is_deleted_unless_it_is_active(publisher, owner, content, url):
    active, _ = deploy_bundle(publisher, content, make_bundle())
    draft, _ = deploy_bundle(publisher, content, make_bundle(), activate=False)
    assert problem(publisher.delete(f"{url}/bundles/{active}")) == (400, 75)
    assert publisher.delete(f"{url}/bundles/{draft}").status_code == 204
    for method in ("GET", "DELETE"):
        assert problem(publisher.request(method, f"{url}/bundles/{draft}")) == (404, 4)
    assert owner.get(f"{content['content_url']}_bundle{draft}/").status_code == 404
    assert ask_echo(owner, content)["version"] == "1"


def test_deployment_and_build_are_tasks(publisher, url):
    assert problem(publisher.post(f"{url}/deploy", json={})) == (404, 28)
    older, newest = (
        publisher.post(f"{url}/bundles", content=make_bundle()).json()["id"] for _ in "12"
    )
    for operation, status, body, bundle in (
        ("deploy", 202, {"bundle_id": older}, older),
        ("deploy", 202, {"bundle_id": None, "activate": None}, newest),
        ("build", 200, {"bundle_id": older, "activate": True}, older),
        ("build", 200, {}, newest),
    ):
        started = publisher.post(f"{url}/{operation}", json=body)
        assert (started.status_code, started.json()) == (status, {"task_id": KEY})
        task = follow_task(publisher, started.json()["task_id"])
        ended = {"id": KEY, "finished": True, "code": 0, "error": "", "result": None}
        assert task == {**ended, "output": task["output"], "last": len(task["output"])}
        rest = publisher.get(f"tasks/{task['id']}", params={"first": 1}).json()
        assert rest == {**task, "output": task["output"][1:]}
        assert publisher.get(url).json()["bundle_id"] == bundle


@pytest.mark.local
def test_task_is_told_when_it_has_a_new_line():
    """The client asks again at once."""
    task = Job(BUILD, "1")
    threading.Timer(0.1, task.add, ["a line"]).start()
    assert task.report(0, 30)["output"] == ["a line"]


def test_variables_are_changed_or_replaced(publisher, url):
    def send(method, **values):
        body = [{"name": name, "value": value} for name, value in values.items()]
        return publisher.request(method, f"{url}/environment", json=body).json()

    assert send("PATCH", B="1", A="") == ["A", "B"]
    assert send("PATCH", B=None, C="2") == ["A", "C"]
    assert send("PUT", D="3") == ["D"] == publisher.get(f"{url}/environment").json()


def test_vanity_path_is_set_read_and_deleted(publisher, content, url):
    assert problem(publisher.get(f"{url}/vanity")) == (404, 4)
    record = {"content_guid": content["guid"], "path": "/a/b-C_1/", "created_time": TIME}
    for path in ("/a/b-C_1/", "a/b-C_1"):
        assert publisher.put(f"{url}/vanity", json={"path": path}).json() == record
    assert publisher.get(f"{url}/vanity").json() == record
    assert record in publisher.get("vanities").json()
    assert publisher.delete(f"{url}/vanity").status_code == 204
    assert problem(publisher.get(f"{url}/vanity")) == (404, 4)


PATHS = {
    (400, 52): ["/", "/__x", "/connect-demo", "/contents/", "/loginfo/a", "sign-in"],
    (400, 25): ["/a b/", "/a.b/", "/a//b/", "/é/"],
}


@pytest.mark.parametrize(
    ("path", "codes"), [(path, codes) for codes, paths in PATHS.items() for path in paths]
)
def test_vanity_path_is_plain_and_not_one_of_the_server(publisher, url, path, codes):
    assert problem(publisher.put(f"{url}/vanity", json={"path": path})) == codes


def test_vanity_path_is_taken_from_other_content_by_force(publisher, echo, url):
    other = f"content/{echo['guid']}/vanity"
    publisher.put(other, json={"path": "/taken/path/"})
    for path in ("/taken", "/taken/path", "/taken/path/below"):
        assert problem(publisher.put(f"{url}/vanity", json={"path": path})) == (409, 51)
    forced = {"path": "/taken", "force": True}
    assert problem(publisher.put(f"{url}/vanity", json=forced)) == (409, 51)
    forced = {"path": "/taken/path", "force": True}
    assert publisher.put(f"{url}/vanity", json=forced).json()["path"] == "/taken/path/"
    assert problem(publisher.get(other)) == (404, 4)


@pytest.mark.local
def test_users_and_groups_are_listed_in_pages(staffed):
    def page(path):
        return staffed["ada"].get(path).json()

    ada, bob = ({**USER, "username": name, "user_role": "viewer"} for name in ("ada", "bob"))
    assert page("users") == {"results": [ada, USER, bob], "current_page": 1, "total": 3}
    second = {"results": [USER], "current_page": 2, "total": 3}
    assert page("users?page_size=1&page_number=2") == second
    assert page("users?prefix=b") == {"results": [bob], "current_page": 1, "total": 1}
    assert page("user") == page(f"users/{page('user')['guid']}") == ada
    assert problem(staffed["ada"].get("users/nobody")) == (404, 4)
    unowned = {"guid": GUID, "owner_guid": None, "gid": None}
    groups = [{"name": "editors", "member_count": 1}, {"name": "readers", "member_count": 2}]
    groups = [unowned | group for group in groups]
    assert page("groups") == {"results": groups, "current_page": 1, "total": 2}


@pytest.mark.local
def test_viewer_reads_what_is_shared_and_publishes_nothing(staffed):
    admin, ada = staffed["admin"], staffed["ada"]
    shared, private = (
        admin.post("content", json={"access_type": access}).json()
        for access in ("logged_in", "acl")
    )
    seen = {**shared, "app_role": "viewer"}
    assert ada.get("content").json() == [seen]
    assert ada.get(f"content/{shared['guid']}").json() == seen
    assert problem(ada.get(f"content/{private['guid']}")) == (403, 19)
    for method, path in (
        ("POST", "content"),
        ("GET", "vanities"),
        ("PATCH", f"content/{shared['guid']}"),
        ("DELETE", f"content/{shared['guid']}"),
        ("GET", f"content/{shared['guid']}/bundles"),
        ("GET", f"content/{shared['guid']}/jobs"),
    ):
        assert problem(ada.request(method, path, json={})) == (403, 22), path


def test_build_and_process_are_jobs_with_logs(publisher, owner, content, url):
    bundle, _ = deploy_bundle(publisher, content, make_bundle())
    pid = ask_echo(owner, content, "asked")["pid"]
    running, built = publisher.get(f"{url}/jobs").json()
    common = api.jobs.JOB | JOB | {"bundle_id": bundle, "content_guid": content["guid"]}
    process = {"tag": "run_python_api", "pid": str(pid), "status": 0, "exit_code": None}
    assert running == common | process | {"end_time": None}
    build = {"tag": "python_restore", "pid": "0", "status": 2, "exit_code": 0}
    assert built == common | build | {"end_time": TIME}
    assert publisher.get(f"{url}/jobs/{built['key']}").json() == built
    read_log(owner, content, "was asked for /asked")  # it may come later than the answer
    log = publisher.get(f"{url}/jobs/{running['key']}/log").json()["entries"]
    assert {"source": "stdout", "timestamp": TIME, "data": "was asked for /asked"} in log
    last = publisher.get(f"{url}/jobs/{running['key']}/log?maxLogLines=1").json()
    assert last == {"entries": log[-1:]}
    for path in ("x", "x/log"):
        assert problem(publisher.get(f"{url}/jobs/{path}")) == (404, 4)


def test_server_tells_its_pythons(publisher):
    installed = {"cluster_name": "Local", "image_name": "Local", "publishable": True}
    told = publisher.get("server_settings/python").json()
    count = len(told["installations"]) or 1
    python = {"version": VERSION} | installed
    assert told == {"installations": [python] * count, "api_enabled": True}
