"""What each operation of the API does, and how it refuses bad requests.

Whether its answers have the fields, types and codes of Connect's API document is checked by
`tox run -e reference`; see reference.py.
"""

import contextlib
import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import psutil
import pytest

from shared.connect import store
from shared.connect.api import jobs, vanities
from shared.connect.jobs import BUILD, Job
from tests.connect.support import (
    ask_echo,
    deploy_bundle,
    follow_task,
    make_bundle,
    problem,
    unique,
)


@pytest.fixture
def url(content):
    """The path of a new content item."""
    return f"content/{content['guid']}"


def test_content_is_found_with_what_is_asked_for(api, content, url):
    user, path = api.get("user").json(), unique("included")
    for query, found in (
        ({"name": content["name"], "owner_guid": user["guid"]}, [content]),
        ({"name": content["name"][:-1]}, []),
        ({"owner_guid": "nobody"}, []),
    ):
        assert api.get("content", params=query).json() == found, query
    api.put(f"{url}/vanity", json={"path": path})
    assert (content["title"], content["app_role"]) == (None, "owner")
    included = content | {
        "owner": {key: user[key] for key in ("guid", "username", "first_name", "last_name")},
        "vanity_url": content["content_url"].replace(f"/{url}", f"/{path}"),
    }
    include = {"include": "owner,tags,vanity_url"}  # as posit-sdk-py asks
    assert api.get(url, params=include).json() == included
    assert included in api.get("content", params=include).json()


def test_name_is_optional_and_unique(api):
    first, second = (api.post("content", json=body).json() for body in ({}, {"name": ""}))
    assert len({first["name"], second["name"], ""}) == 3
    taken, url = {"name": first["name"]}, f"content/{second['guid']}"
    assert problem(api.post("content", json=taken)) == (409, 26)  # rstudio/pins-r#289
    assert problem(api.patch(url, json=taken)) == (409, 26)
    for name, then in (("", second["name"]), ("new-name", "new-name"), ("new-name", "new-name")):
        assert api.patch(url, json={"name": name}).json()["name"] == then


def test_content_is_changed_by_what_is_given_alone(api):
    """Also its settings, which Posit Publisher sends for those who have them in its configuration."""
    settings = {"min_processes": 3, "load_factor": 0.5, "default_image_name": "example/image:1"}
    settings |= {"notify_on_share": True, "default_py_environment_management": True}
    created = api.post("content", json=settings).json()
    url = f"content/{created['guid']}"
    assert created | settings == created == api.get(url).json()
    for changes in (
        {"title": "Title", "description": "Text", "access_type": "logged_in"},
        {"title": None, "description": "", "access_type": "all"},
        {"min_processes": 2, "load_factor": 1},
        dict.fromkeys(settings),
        # What is as it is may be said.
        {"owner_guid": created["owner_guid"], "locked": False, "run_as": None},
    ):
        created |= changes
        assert api.patch(url, json=changes).json() == created == api.get(url).json()


def test_bundle_has_its_origin_and_is_downloaded(api, content, url):
    archive = make_bundle()
    origin = {"source": "git", "source_branch": "main", "source_commit": "12"}
    metadata = json.dumps(origin | {"source_commit": 12, "a": "b"})
    form = {"files": {"archive": archive}, "data": {"metadata": metadata}}
    bundle = api.post(f"{url}/bundles", **form).json()
    sums = {f"archive_{name}": hashlib.new(name, archive).hexdigest() for name in ("md5", "sha1")}
    assert bundle["metadata"] == {"source_repo": None} | origin | sums
    assert (bundle["size"], bundle["active"]) == (len(archive), False)
    assert bundle["content_guid"] == content["guid"]
    assert bundle["created_by"] == content["owner_guid"]
    one = f"{url}/bundles/{bundle['id']}"
    assert api.get(one).json() == bundle
    assert api.get(f"{one}/download").content == archive


def test_bundles_come_newest_first_and_in_pages(api, url):
    uploaded = [api.post(f"{url}/bundles", content=make_bundle()).json() for _ in range(21)]
    newest = uploaded[::-1]
    queries = ["", "page_number=2", "page_size=2&page_number=2", "page_size=500"]
    pages = [api.get(f"{url}/bundles?{query}").json() for query in queries]
    assert pages == [newest[:20], newest[20:], newest[2:4], newest]


def test_bundle_that_is_not_active_is_deleted_whole(server, api, owner, content, url):
    active, _ = deploy_bundle(api, content, make_bundle())
    draft, _ = deploy_bundle(api, content, make_bundle(), activate=False)
    process = psutil.Process(ask_echo(owner, content, f"_bundle{draft}/")["pid"])
    files = server.directory / content["guid"] / draft
    assert problem(api.delete(f"{url}/bundles/{active}")) == (400, 75) and files.exists()
    assert api.delete(f"{url}/bundles/{draft}").status_code == 204 and not files.exists()
    assert not process.is_running()
    for method in ("GET", "DELETE"):
        assert problem(api.request(method, f"{url}/bundles/{draft}")) == (404, 4)
    assert owner.get(f"{content['content_url']}_bundle{draft}/").status_code == 404
    assert ask_echo(owner, content)["version"] == "1"


def test_deployment_and_build_are_tasks(api, url):
    assert problem(api.post(f"{url}/deploy", json={})) == (404, 28)
    older, newest = (api.post(f"{url}/bundles", content=make_bundle()).json()["id"] for _ in "12")
    for operation, body, bundle in (
        ("deploy", {"bundle_id": older}, older),
        ("build", {"bundle_id": None, "activate": None}, newest),
        ("build", {"bundle_id": older, "activate": True}, older),
        ("deploy", {}, newest),
    ):
        started = api.post(f"{url}/{operation}", json=body).json()
        task = follow_task(api, started["task_id"])
        assert (task["id"], task["code"], task["error"]) == (started["task_id"], 0, "")
        assert task["last"] == len(task["output"]) > 0
        rest = api.get(f"tasks/{task['id']}", params={"first": 1}).json()
        assert rest == {**task, "output": task["output"][1:]}
        content, active = api.get(url).json(), api.get(f"{url}/bundles/{bundle}").json()
        assert (content["bundle_id"], active["active"]) == (bundle, True)
        assert content["py_version"] == active["py_version"] is not None


def test_time_of_the_last_deployment_changes(api, url, content, monkeypatch):
    later = datetime(2099, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    monkeypatch.setattr(store, "now", lambda: later)
    deploy_bundle(api, content, make_bundle(), activate=False)
    assert api.get(url).json()["last_deployed_time"] == content["last_deployed_time"]
    deploy_bundle(api, content, make_bundle())
    assert api.get(url).json()["last_deployed_time"] == "2099-01-02T03:04:05Z"


def test_task_is_told_when_it_has_a_new_line_within_a_limit(server, api, content, monkeypatch):
    """Else a client keeps a thread of the server for as long as it likes."""
    task = Job(BUILD, "1")
    threading.Timer(0.1, task.add, ["a line"]).start()
    assert task.report(0, 30)["output"] == ["a line"]
    server.store.get(content["guid"]).jobs.append(task)
    monkeypatch.setattr(jobs, "WAIT_SECONDS", 0)
    report = api.get(f"tasks/{task.key}", params={"wait": 10**9, "first": 1}).json()
    assert (report["finished"], report["output"]) == (False, [])


def test_variables_are_changed_or_replaced(api, url):
    def send(method, **values):
        body = [{"name": name, "value": value} for name, value in values.items()]
        return api.request(method, f"{url}/environment", json=body).json()

    assert send("PATCH", B="1", A="") == ["A", "B"]
    assert send("PATCH", B=None, C="2") == ["A", "C"]
    assert send("PUT", D="3") == ["D"] == api.get(f"{url}/environment").json()


def test_vanity_path_is_set_taken_by_force_and_deleted(api, content, echo, url):
    other, above = f"content/{echo['guid']}/vanity", unique("taken")
    path = f"{above}/b-C_1"  # rstudio/rsconnect#349: the first slash may be missing
    forced = {"path": path, "force": True}
    api.put(other, json={"path": path})
    for refused in ({"path": path}, {"path": f"{path}/below"}, forced | {"path": above}):
        assert problem(api.put(f"{url}/vanity", json=refused)) == (409, 51)
    record = api.put(f"{url}/vanity", json=forced).json()
    assert (record["content_guid"], record["path"]) == (content["guid"], f"/{path}/")
    assert problem(api.get(other)) == (404, 4)
    assert api.get(f"{url}/vanity").json() == record
    assert record in api.get("vanities").json()
    assert api.delete(f"{url}/vanity").status_code == 204
    assert problem(api.get(f"{url}/vanity")) == (404, 4)


def meeting(function):
    """Let two threads that call a function wait for each other in it, if they can."""
    barrier = threading.Barrier(2)

    def call(*arguments):
        result = function(*arguments)
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait(0.3)
        return result

    return call


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("POST", "content", "name"),
        ("PATCH", "content/GUID", "name"),
        ("PUT", "content/GUID/vanity", "path"),
    ],
)
def test_names_and_paths_are_unique_also_at_once(api, monkeypatch, method, path, field):
    """posit-dev/posit-sdk-py's integration tests; Connect's API reference."""
    guids = [api.post("content", json={}).json()["guid"] for _ in range(12)]
    monkeypatch.setattr(store.Store, "_check_name", meeting(store.Store._check_name))
    monkeypatch.setattr(vanities, "now", meeting(vanities.now))
    name = unique("same")

    def send(guid):
        return api.request(method, path.replace("GUID", guid), json={field: name}).status_code

    with ThreadPoolExecutor() as pool:
        assert sorted(pool.map(send, guids)) == [200] + [409] * 11


def test_users_and_groups_are_listed_in_pages(server, api, viewer):
    def page(path):
        return viewer.get(f"/__api__/v1/{path}").json()

    ada, admin, jose = page("users")["results"]
    users = [(user["username"], user["user_role"]) for user in (ada, admin, jose)]
    assert users == [("ada", "viewer"), ("admin", "administrator"), ("josé", "viewer")]
    assert (page("user"), page(f"users/{ada['guid']}")) == (jose, ada)
    second = {"results": [admin], "current_page": 2, "total": 3}
    assert page("users?page_size=1&page_number=2") == second
    assert page("users?prefix=J") == {"results": [jose], "current_page": 1, "total": 1}
    assert problem(viewer.get("/__api__/v1/users/nobody")) == (404, 4)
    groups = page("groups")["results"]
    counts = [(group["name"], group["member_count"]) for group in groups]
    assert counts == [("lecteurs", 1), ("équipe", 1)]


def test_build_and_process_are_jobs_with_logs(api, owner, content, url):
    bundle, _ = deploy_bundle(api, content, make_bundle())
    pid = ask_echo(owner, content)["pid"]
    running, built = api.get(f"{url}/jobs").json()
    keys = ("tag", "status", "exit_code", "bundle_id", "pid", "end_time")
    process = ("run_python_api", 0, None, bundle, str(pid), None)
    assert tuple(running[key] for key in keys) == process
    build = ("python_restore", 2, 0, bundle)
    assert tuple(built[key] for key in keys[:4]) == build and built["end_time"]
    assert api.get(f"{url}/jobs/{built['key']}").json() == built
    log = f"{url}/jobs/{built['key']}/log"
    entries, last = (api.get(log + query).json()["entries"] for query in ("", "?maxLogLines=1"))
    assert last == entries[-1:] != entries
    assert problem(api.get(f"{url}/jobs/x/log")) == (404, 4)
