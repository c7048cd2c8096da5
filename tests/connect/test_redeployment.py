"""A redeployment fails no request, and one that fails leaves what visitors see."""

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import psutil
import pytest

from shared import contract
from shared.catalogue import EXAMPLES
from shared.connect.running.environments import Environments
from tests.connect.support import (
    ask_echo,
    deploy_bundle,
    echo_source,
    example_bundle,
    follow_task,
    make_bundle,
    read_log,
)


def test_no_request_fails_while_a_content_is_redeployed(server, api, deep):
    """20 visitors and 2 redeployments; in the deep run 200 and 5."""
    visitors, redeployments = (200, 5) if deep else (20, 2)
    items = {}
    for example in EXAMPLES:
        items[example] = api.post("content", json={"name": f"load-{example.id}"}).json()
        deploy_bundle(api, items[example], example_bundle(example))
    done = threading.Event()

    def visit(number):
        """Ask until the last redeployment is over; return the wrong answers."""
        example = EXAMPLES[number % len(EXAMPLES)]
        lang = sorted(contract.GREETINGS)[number % len(contract.GREETINGS)]
        path = f"/content/{items[example]['guid']}{example.item_url.format(lang=lang)}"
        headers = {"Authorization": f"Key {server.api_key}"}
        # httpx with 200 connections is slower than the server.
        connection, wrong, last = HTTPConnection("127.0.0.1", server.port), [], False
        while not last:
            last = done.is_set()
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            answer = (response.status, response.read())
            if answer[0] != 200 or json.loads(answer[1]) != contract.greeting(lang):
                wrong.append((example.id, answer))
        connection.close()
        return wrong

    redeployed, results = items[EXAMPLES[-1]], []
    with ThreadPoolExecutor(visitors) as pool:
        visits = [pool.submit(visit, number) for number in range(visitors)]
        try:
            for _ in range(redeployments):
                bundle, task = deploy_bundle(api, redeployed, example_bundle(EXAMPLES[-1]))
                listed = api.get(f"{redeployed['content_url']}greetings/")
                results.append((task["code"], listed.json()))
        finally:
            done.set()
    active = api.get(f"content/{redeployed['guid']}").json()["bundle_id"]
    for item in items.values():
        api.delete(f"content/{item['guid']}")
    assert [visit.result() for visit in visits] == [[]] * visitors
    assert results == [(0, contract.greetings())] * redeployments and active == bundle


def test_failed_redeployment_reads_as_one(api, owner, own_echo):
    """Until a good one."""
    url = f"content/{own_echo['guid']}"
    old, before = api.get(url).json()["bundle_id"], ask_echo(owner, own_echo)
    bad = make_bundle({"requirements.txt": "no-such-package-0q\n"})
    new, task = deploy_bundle(api, own_echo, bad)
    message = task["error"]
    assert task["code"] == 1 and task["output"][-1] == message
    assert message.startswith(f"Bundle {new} failed: ")
    assert message.endswith(
        f"(No matching distribution found for no-such-package-0q). Visitors still see bundle {old}."
    )
    assert api.get(f"{url}/jobs").json()[0]["exit_code"] == 1
    assert message in owner.get("/").text and message in read_log(owner, own_echo)
    after = ask_echo(owner, own_echo)
    assert (after["version"], after["pid"]) == ("1", before["pid"])
    deploy_bundle(api, own_echo, make_bundle())
    assert "failed:" not in owner.get("/").text


def test_failure_goes_when_the_same_bundle_runs(api, owner, content):
    """As when a variable was missing."""
    source = echo_source("1").replace('VERSION = "1"', 'VERSION = os.environ["WANTED"]')
    deploy_bundle(api, content, make_bundle({"app.py": source}))
    assert owner.get(content["content_url"]).status_code == 502
    assert "KeyError: &#39;WANTED&#39;" in owner.get("/").text
    url = f"content/{content['guid']}/environment"
    api.patch(url, json=[{"name": "WANTED", "value": "2"}])
    assert ask_echo(owner, content)["version"] == "2"
    assert "failed:" not in owner.get("/").text


def test_failure_goes_when_the_same_bundle_is_deployed_again(api, owner, content):
    bundle, _ = deploy_bundle(api, content, make_bundle(entrypoint="gone"))
    assert owner.get(content["content_url"]).status_code == 502
    assert "failed:" in owner.get("/").text
    url, deploy = f"content/{content['guid']}/deploy", {"bundle_id": bundle}
    follow_task(api, api.post(url, json=deploy).json()["task_id"])
    assert "failed:" not in owner.get("/").text


def test_old_bundle_that_is_active_again_keeps_its_process(api, owner, content):
    old, _ = deploy_bundle(api, content, make_bundle())
    deploy_bundle(api, content, make_bundle({"app.py": echo_source("2")}))
    url, deploy = f"content/{content['guid']}/deploy", {"bundle_id": old}
    follow_task(api, api.post(url, json=deploy).json()["task_id"])
    first, second = (ask_echo(owner, content) for _ in range(2))
    assert (first["version"], first["pid"]) == ("1", second["pid"])


@pytest.mark.parametrize("what", ["bundle", "content"])
def test_process_ends_with_its_bundle_or_content(api, owner, own_echo, what):
    draft, _ = deploy_bundle(api, own_echo, make_bundle(), activate=False)
    path = f"_bundle{draft}/" if what == "bundle" else ""
    process = psutil.Process(ask_echo(owner, own_echo, path)["pid"])
    url = f"content/{own_echo['guid']}"
    deleted = api.delete(f"{url}/bundles/{draft}" if what == "bundle" else url)
    assert deleted.status_code == 204
    assert not process.is_running()


@pytest.fixture
def slow(monkeypatch):
    """Lets the first build wait until it is set, with `built` at its end, else at its beginning.

    Then it raises what its `error` is, if any.
    """
    slow, build, builds = threading.Event(), Environments.build, iter([True])
    slow.started, slow.built, slow.error = threading.Event(), False, None

    def build_slowly(*arguments):
        first, built = next(builds, False), None
        if slow.built or not first:
            built = build(*arguments)
        if first:
            slow.started.set()
            assert slow.wait(60)
            if slow.error:
                raise slow.error
        return built or build(*arguments)

    monkeypatch.setattr(Environments, "build", build_slowly)
    yield slow
    slow.set()


def start_deployment(api, content, bundle, **options):
    """Upload a bundle and start its deployment; return its id, and the id of the task."""
    url = f"content/{content['guid']}"
    uploaded = api.post(f"{url}/bundles", content=bundle).json()["id"]
    started = api.post(f"{url}/deploy", json={"bundle_id": uploaded, **options})
    return uploaded, started.json()["task_id"]


def test_bundle_that_was_deployed_last_is_shown(api, owner, content, slow):
    """Whichever builds faster."""
    older, task = start_deployment(api, content, make_bundle())
    assert slow.started.wait(60)
    newer, _ = deploy_bundle(api, content, make_bundle({"app.py": echo_source("2")}))
    draft, _ = deploy_bundle(api, content, make_bundle(), activate=False)
    slow.set()
    ended = follow_task(api, task)
    message = f"Bundle {older} is built; one that was deployed after it is active."
    assert ended["code"] == 0 and ended["output"][-1] == message
    assert api.get(f"content/{content['guid']}").json()["bundle_id"] == newer
    assert ask_echo(owner, content)["version"] == "2"


def test_failed_bundle_leaves_the_one_before_it(api, owner, content, slow):
    older, task = start_deployment(api, content, make_bundle())
    assert slow.started.wait(60)
    deploy_bundle(api, content, make_bundle({"requirements.txt": "./gone"}))
    slow.set()
    assert follow_task(api, task)["code"] == 0
    assert api.get(f"content/{content['guid']}").json()["bundle_id"] == older


@pytest.mark.parametrize("what", ["bundle", "content"])
@pytest.mark.parametrize("built", [False, True])
def test_deletion_while_it_is_built_ends_the_task(server, api, owner, content, slow, what, built):
    slow.built = built
    bundle = make_bundle({"requirements.txt": "-r more.txt", "more.txt": ""})
    bundle, task = start_deployment(api, content, bundle)
    assert slow.started.wait(60)
    job, url = server.store.task(task), f"content/{content['guid']}"
    deleted = api.delete(url if what == "content" else f"{url}/bundles/{bundle}")
    assert deleted.status_code == 204
    slow.set()
    ended = job.report(10**6, 60)  # waits for its end
    assert (ended["code"], ended["error"]) == (1, f"Bundle {bundle} failed: It has been deleted.")
    assert api.get(f"tasks/{task}").status_code == (404 if what == "content" else 200)
    assert api.get(url).status_code == (404 if what == "content" else 200)
    assert owner.get("/").status_code == 200
    assert not list(server.directory.rglob(f"{content['guid']}/{bundle}"))
    assert (server.directory / content["guid"]).exists() is (what == "bundle")


ERRORS = {
    "ValueError: embedded null byte": ValueError("embedded null byte"),
    "No space left on device": OSError(28, "No space left on device", "/a/path"),
    "AssertionError": AssertionError(),
}


@pytest.mark.parametrize(("reason", "error"), ERRORS.items(), ids=ERRORS)
def test_any_exception_ends_the_task(api, content, slow, reason, error):
    slow.error = error
    slow.set()
    bundle, task = deploy_bundle(api, content, make_bundle())
    assert task["code"] == 1
    assert task["error"] == task["output"][-1] == f"Bundle {bundle} failed: {reason}."


def test_log_of_a_build_has_the_lines_that_publishers_wait_for(api, content):
    """posit-dev/publisher#793 has them; Posit Publisher's deployProgress.ts reads the last."""
    _, task = deploy_bundle(api, content, make_bundle())
    version = api.get(f"content/{content['guid']}").json()["py_version"]
    wanted = [
        r"Building (.* application|.* API|Jupyter notebook).*",
        rf"Bundle requested Python version 3\.11\.0; using /.* from Local which has version {version}",
        rf"Completed Python build using Local against Python version: '{version}'",
        r"Launching .*(Quarto|R Markdown|application|API|notebook)",
    ]
    found = [
        next(i for i, line in enumerate(task["output"]) if re.match(each, line)) for each in wanted
    ]
    assert found == sorted(found) and found[0] == 0
