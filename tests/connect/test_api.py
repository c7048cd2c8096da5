"""Each operation of the API answers as Connect's API reference says: keys, types and codes.

See https://docs.posit.co/connect/api/.
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

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

pytestmark = pytest.mark.local


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
UNSET = (
    *("connection_timeout", "read_timeout", "init_timeout", "idle_timeout", "min_processes"),
    *("max_processes", "max_conns_per_process", "load_factor", "memory_request", "memory_limit"),
    *("cpu_request", "cpu_limit", "amd_gpu_limit", "nvidia_gpu_limit", "service_account_name"),
    *("default_image_name", "default_environment_guid", "environment_guid", "image_name"),
    *("default_r_environment_management", "default_py_environment_management", "run_as"),
    *("r_version", "r_environment_management", "quarto_version", "node_version", "title"),
    *("metrics_collection_enabled", "notify_on_share", "public_content_status", "bundle_id"),
    *("cluster_name", "py_version", "py_environment_management"),
)
CONTENT = dict.fromkeys(UNSET) | {
    "guid": GUID,
    "id": ID,
    "name": "new",
    "description": "",
    "access_type": "acl",
    "app_mode": "unknown",
    "app_role": "owner",
    "content_category": "",
    "content_url": Text(r"http://127\.0\.0\.1:\d+/content/[0-9a-f-]+/"),
    "created_time": TIME,
    "dashboard_url": Text(r"http://127\.0\.0\.1:\d+/connect/#/apps/[0-9a-f-]+"),
    "last_deployed_time": TIME,
    "locked": False,
    "locked_message": "",
    "otel_enabled": False,
    "owner_guid": GUID,
    "parameterized": False,
    "run_as_current_user": False,
}
ORIGIN = dict.fromkeys(("source", "source_repo", "source_branch", "source_commit"))
BUNDLE = {
    "id": ID,
    "content_guid": GUID,
    "created_by": GUID,
    "created_time": TIME,
    "active": False,
    "cluster_name": None,
    "environment_guid": None,
    "image_name": None,
    "py_environment_management": None,
    "py_version": None,
    "quarto_version": None,
    "r_environment_management": None,
    "r_version": None,
}
BUILT = {"cluster_name": "Local", "py_environment_management": True, "py_version": VERSION}
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
JOB_UNSET = ("ppid", "remote_id", "queued_time", "queue_name", "error", "hostname", "cluster")
JOB = dict.fromkeys((*JOB_UNSET, "image", "run_as", "skip_reason")) | {
    "id": ID,
    "key": KEY,
    "pid": ID,
    "app_id": ID,
    "content_id": ID,
    "content_guid": GUID,
    "variant_id": "0",
    "variant_key": "",
    "bundle_id": ID,
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


def test_new_content_has_all_fields(publisher):
    created = publisher.post("content", json={"name": "new"})
    assert (created.status_code, created.json()) == (200, CONTENT)
    read = publisher.get(f"content/{created.json()['guid']}").json()
    assert publisher.delete(f"content/{read['guid']}").status_code == 204
    assert read == created.json()


def test_deployed_content_tells_its_bundle(publisher, content, url):
    bundle, _ = deploy_bundle(publisher, content, make_bundle())
    deployed = {**content, **BUILT, "app_mode": "python-api", "bundle_id": bundle}
    assert publisher.get(url).json() == {**deployed, "last_deployed_time": TIME}


def test_content_includes_what_is_asked_for(publisher, content, url):
    everything = {"include": "owner,tags,vanity_url,bookmarked,schedule"}
    owner = {key: USER[key] for key in ("guid", "username", "first_name", "last_name")}
    more = {"owner": owner, "bookmarked": False, "schedules": []}
    assert publisher.get(url, params=everything).json() == content | more
    publisher.put(f"{url}/vanity", json={"path": "included"})
    query = {"include": "vanity_url", "name": content["name"]}
    vanity = content["content_url"].replace(f"/{url}", "/included")
    assert publisher.get("content", params=query).json() == [content | {"vanity_url": vanity}]
    assert problem(publisher.get(url, params={"include": "owner,all"})) == (400, 161)


def test_contents_are_found_by_name_and_owner(publisher, content):
    name, owner = content["name"], content["owner_guid"]
    queries = [{"name": name}, {"name": name, "owner_guid": owner}, {"name": name[:-1]}]
    found = [publisher.get("content", params=query).json() for query in queries]
    assert found == [[content], [content], []]
    assert content in publisher.get("content", params={"owner_guid": owner}).json()
    assert publisher.get("content", params={"owner_guid": "nobody"}).json() == []


def test_name_is_optional_and_unique_per_owner(staffed):
    admin = staffed["admin"]
    chosen = [admin.post("content", json=body).json()["name"] for body in ({}, {"name": ""})]
    assert len(set(chosen)) == 2 and all(chosen)
    first, second = (admin.post("content", json={"name": name}).json() for name in ("one", "two"))
    assert problem(admin.post("content", json={"name": "one"})) == (409, 26)
    assert problem(admin.patch(f"content/{second['guid']}", json={"name": "one"})) == (409, 26)
    for name, kept in {"": "one", "one": "one", "three": "three"}.items():
        assert admin.patch(f"content/{first['guid']}", json={"name": name}).json()["name"] == kept


def test_name_is_taken_once_by_two_at_the_same_time(server, publisher, monkeypatch):
    both, add_key = threading.Barrier(2), server.users.add_key

    def add_key_slowly(owner):
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)  # for a second request that has found the name free
        return add_key(owner)

    monkeypatch.setattr(server.users, "add_key", add_key_slowly)
    with ThreadPoolExecutor(2) as pool:
        created = list(pool.map(lambda _: publisher.post("content", json={"name": "two"}), "ab"))
    for content in publisher.get("content", params={"name": "two"}).json():
        publisher.delete(f"content/{content['guid']}")
    assert sorted(response.status_code for response in created) == [200, 409]


def test_content_is_changed_by_what_is_given_alone(publisher, content, url):
    changes = {"title": "Title", "description": "Text", "access_type": "logged_in"}
    assert publisher.patch(url, json=changes).json() == content | changes
    publisher.patch(url, json={"access_type": "all"})
    unset = {"title": None, "max_processes": None, "locked": False}
    assert publisher.patch(url, json=unset).json() == content | {
        **changes,
        "title": None,
        "access_type": "all",
    }
    assert problem(publisher.patch(url, json={"max_processes": 2})) == (501, 1)


def test_bundle_has_all_fields_and_its_origin(publisher, content, url):
    archive = make_bundle()
    told = {"source": "git", "source_branch": "main", "source_commit": 12, "other": "dropped"}
    form = {"files": {"archive": archive}, "data": {"metadata": json.dumps(told)}}
    uploaded = publisher.post(f"{url}/bundles", **form)
    sums = {f"archive_{name}": hashlib.new(name, archive).hexdigest() for name in ("md5", "sha1")}
    origin = ORIGIN | {"source": "git", "source_branch": "main", "source_commit": "12"} | sums
    expected = BUNDLE | {"content_guid": content["guid"], "created_by": content["owner_guid"]}
    expected |= {"size": len(archive), "metadata": origin}
    assert (uploaded.status_code, uploaded.json()) == (200, expected)
    one = f"{url}/bundles/{uploaded.json()['id']}"
    assert publisher.get(one).json() == uploaded.json()
    assert publisher.get(f"{one}/download").content == archive
    follow_task(publisher, publisher.post(f"{url}/deploy", json={}).json()["task_id"])
    assert publisher.get(one).json() == {**uploaded.json(), **BUILT, "active": True}


def test_upload_is_compared_with_its_checksum(publisher, url):
    archive = make_bundle()
    sums = [base64.b64encode(hashlib.md5(data).digest()).decode() for data in (archive, b"")]
    right, wrong = (
        publisher.post(f"{url}/bundles", content=archive, headers={"X-Content-Checksum": text})
        for text in sums
    )
    assert right.status_code == 200 and problem(wrong) == (400, 104)
    assert publisher.get(f"{url}/bundles").json() == [right.json()]


def test_bundles_come_newest_first_and_in_pages(publisher, url):
    uploaded = [publisher.post(f"{url}/bundles", content=make_bundle()).json() for _ in range(21)]
    newest = uploaded[::-1]
    queries = ["", "?page_number=2", "?page_size=2&page_number=2", "?page_size=500&asc_order=false"]
    pages = [publisher.get(f"{url}/bundles{query}").json() for query in queries]
    assert pages == [newest[:20], newest[20:], newest[2:4], uploaded]
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
    assert problem(publisher.post(f"{url}/deploy", json={})) == (400, 28)
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
        assert publisher.get(url).json()["bundle_id"] == bundle


def test_failed_task_says_why(publisher, content):
    _, task = deploy_bundle(
        publisher, content, make_bundle({"requirements.txt": "no-such-package-0q"})
    )
    assert (task["code"], task["result"]) == (1, None)
    assert "no-such-package-0q" in task["error"]
    rest = publisher.get(f"tasks/{task['id']}", params={"first": 1}).json()
    assert rest["output"] == task["output"][1:] and rest["last"] == task["last"] > 1


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
    for method in ("PATCH", "PUT"):
        unnamed = publisher.request(method, f"{url}/environment", json=[{"value": "1"}])
        twice = publisher.request(method, f"{url}/environment", json=[{"name": "A"}] * 2)
        assert (problem(unnamed), problem(twice)) == ((400, 266), (400, 149))


def test_vanity_path_is_set_read_and_deleted(publisher, content, url):
    assert problem(publisher.get(f"{url}/vanity")) == (404, 4)
    record = {"content_guid": content["guid"], "path": "/a/b-C_1/", "created_time": TIME}
    for path in ("/a/b-C_1/", "a/b-C_1"):
        assert publisher.put(f"{url}/vanity", json={"path": path}).json() == record
    assert publisher.get(f"{url}/vanity").json() == record
    assert record in publisher.get("vanities").json()
    assert publisher.delete(f"{url}/vanity").status_code == 204
    assert problem(publisher.get(f"{url}/vanity")) == (404, 4)


@pytest.mark.parametrize(
    "path", ["/", "/__x", "/connect-demo", "/contents/", "/loginfo/a", "sign-in"]
)
def test_vanity_path_of_the_server_is_forbidden(publisher, url, path):
    assert problem(publisher.put(f"{url}/vanity", json={"path": path})) == (400, 52)


@pytest.mark.parametrize("path", ["/a b/", "/a.b/", "/a//b/", "/é/"])
def test_vanity_path_has_plain_characters(publisher, url, path):
    assert problem(publisher.put(f"{url}/vanity", json={"path": path})) == (400, 25)


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
    assert problem(staffed["ada"].get("users?sort=username")) == (501, 1)
    unowned = {"guid": GUID, "owner_guid": None, "gid": None}
    groups = [{"name": "editors", "member_count": 1}, {"name": "readers", "member_count": 2}]
    editors, readers = (unowned | group for group in groups)
    assert page("groups") == {"results": [editors, readers], "current_page": 1, "total": 2}
    backwards = {"results": [readers], "current_page": 1, "total": 2}
    assert page("groups?page_size=1&asc_order=false") == backwards
    assert page("groups?prefix=ed")["results"] == [editors]


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
    common = {**JOB, "bundle_id": bundle, "content_guid": content["guid"]}
    running, built = publisher.get(f"{url}/jobs").json()
    started = {"tag": "run_python_api", "pid": str(pid), "status": 0}
    assert running == {**common, **started, "end_time": None, "exit_code": None}
    ended = {"tag": "python_restore", "status": 2}
    assert built == {**common, **ended, "end_time": TIME, "exit_code": 0}
    assert publisher.get(f"{url}/jobs/{built['key']}").json() == built
    read_log(owner, content, "was asked for /asked")  # it may come later than the answer
    log = publisher.get(f"{url}/jobs/{running['key']}/log").json()["entries"]
    assert {"source": "stdout", "timestamp": TIME, "data": "was asked for /asked"} in log
    last = publisher.get(f"{url}/jobs/{running['key']}/log?maxLogLines=1").json()
    assert last == {"entries": log[-1:]}
    for path in ("x", "x/log"):
        assert problem(publisher.get(f"{url}/jobs/{path}")) == (404, 4)


def test_server_tells_its_settings(publisher):
    installed = {"cluster_name": "Local", "image_name": "Local", "publishable": True}
    told = publisher.get("server_settings/python").json()
    version = {"version": VERSION}
    assert told == {
        "installations": [version | installed] * len(told["installations"]),
        "api_enabled": True,
    }
    assert told["installations"]


NINES = "9" * 5000
BAD_REQUESTS = [
    ("POST", "content", "{", (400, 87), "not JSON"),
    ("POST", "content", "[" * 50_000, (400, 87), "not JSON"),
    ("POST", "content", "[]", (400, 87), "not a JSON object"),
    ("POST", "content", '{"name": "a b"}', (400, 5), "name is not 3 to 64"),
    ("POST", "content", '{"name": 5}', (400, 87), "name is not a text"),
    ("POST", "content", '{"name": "echo"}', (409, 26), "in use"),
    ("POST", "content", '{"name": "free", "title": 5}', (400, 87), "title is not a text"),
    ("POST", "content", '{"name": "free", "access_type": "some"}', (400, 117), "access_type"),
    ("POST", "content", '{"name": "free", "run_as": "root"}', (501, 1), "run_as"),
    ("PATCH", "content/{guid}", '{"title": "\\ud800"}', (400, 87), "not JSON"),
    ("PATCH", "content/{guid}/environment", "{}", (400, 87), "not a JSON array"),
    ("PATCH", "content/{guid}/environment", "[1]", (400, 87), "variable"),
    (
        "PATCH",
        "content/{guid}/environment",
        '[{"name": "A=B", "value": "1"}]',
        (400, 25),
        "variable",
    ),
    ("PATCH", "content/{guid}/environment", '[{"name": "A", "value": 1}]', (400, 87), "not a text"),
    ("POST", "content/{guid}/deploy", '{"bundle_id": []}', (400, 87), "bundle_id is not a text"),
    ("POST", "content/{guid}/deploy", '{"bundle_id": "x"}', (404, 4), "no such bundle"),
    ("POST", "content/{guid}/deploy", f'{{"bundle_id": "{NINES}"}}', (404, 4), "no such bundle"),
    ("POST", "content/{guid}/deploy", '{"activate": "yes"}', (400, 87), "activate"),
    ("GET", "content/{guid}/bundles/x/download", "", (404, 4), "no such bundle"),
    ("GET", "content/0-0", "", (404, 4), "no content"),
    ("GET", "tasks/nothing", "", (404, 141), "no task"),
]


@pytest.mark.parametrize(("method", "path", "body", "codes", "told"), BAD_REQUESTS)
def test_bad_request_is_refused_in_one_line(publisher, echo, method, path, body, codes, told):
    response = publisher.request(method, path.format(guid=echo["guid"]), content=body)
    assert problem(response) == codes
    assert told in response.json()["error"] and len(response.json()["error"]) < 300
    assert publisher.get(f"content/{echo['guid']}").json()["title"] is None
    assert publisher.get("content", params={"name": "free"}).json() == []


@pytest.mark.parametrize("path", ["tags", "content/{guid}/permissions", "users/{guid}/lock"])
def test_other_operation_is_not_implemented(publisher, content, path):
    refused = publisher.post(path.format(guid=content["guid"]), json={})
    assert problem(refused) == (501, 1)
    assert refused.json()["error"].startswith("Not implemented here: POST /__api__/v1/")
