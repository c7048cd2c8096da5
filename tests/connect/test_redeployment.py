"""A redeployment fails no request, and one that fails leaves what visitors see."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.connect.running.environments import Environments
from tests.connect.support import (
    ask_echo,
    deploy_bundle,
    echo_source,
    follow_task,
    key_client,
    make_bundle,
    read_log,
    start_deployment,
)


def test_no_request_fails_while_a_content_is_redeployed(server, api, own_echo):
    done = threading.Event()

    def visit(_):
        """Ask until the last redeployment is over; return the versions that answered."""
        answers, last = set(), False
        with key_client(server, "admin") as client:
            while not last:
                last = done.is_set()
                answers.add(ask_echo(client, own_echo)["version"])
        return answers

    with ThreadPoolExecutor(20) as pool:
        visits = pool.map(visit, range(20))
        try:
            for version in "23":
                deploy_bundle(api, own_echo, make_bundle({"app.py": echo_source(version)}))
                assert ask_echo(api, own_echo)["version"] == version
        finally:
            done.set()
    assert set.union(*visits) <= set("123")


def deploy_again(api, content, bundle):
    """Deploy a bundle that is there, and wait for the end."""
    started = api.post(f"content/{content['guid']}/deploy", json={"bundle_id": bundle}).json()
    follow_task(api, started["task_id"])


def test_failed_redeployment_reads_as_one(api, owner, own_echo):
    """Until a good one."""
    url = f"content/{own_echo['guid']}"
    old, before = api.get(url).json()["bundle_id"], ask_echo(owner, own_echo)
    new, task = deploy_bundle(api, own_echo, make_bundle({"requirements.txt": "./gone"}))
    message = task["error"]
    assert task["code"] == 1 and task["output"][-1] == message
    assert message.startswith(f"Bundle {new} failed: ")
    assert message.endswith(f". Visitors still see bundle {old}.")
    assert api.get(f"{url}/jobs").json()[0]["exit_code"] == 1
    assert message in owner.get("/").text and message in read_log(owner, own_echo)
    after = ask_echo(owner, own_echo)
    assert (after["version"], after["pid"]) == ("1", before["pid"])
    deploy_bundle(api, own_echo, make_bundle())
    assert "failed:" not in owner.get("/").text


def test_failure_goes_when_the_same_bundle_is_deployed_again_or_runs(api, owner, content):
    """As when a variable was missing."""
    source = echo_source("1").replace('VERSION = "1"', 'VERSION = os.environ["WANTED"]')
    bundle, _ = deploy_bundle(api, content, make_bundle({"app.py": source}))
    for change in ("bundle", "variable"):
        assert owner.get(content["content_url"]).status_code == 502
        assert "KeyError: &#39;WANTED&#39;" in owner.get("/").text
        if change == "bundle":
            deploy_again(api, content, bundle)
        else:
            variables = [{"name": "WANTED", "value": "2"}]
            api.patch(f"content/{content['guid']}/environment", json=variables)
            assert ask_echo(owner, content)["version"] == "2"
        assert "failed:" not in owner.get("/").text


def test_old_bundle_that_is_active_again_keeps_its_process(api, owner, content):
    old, _ = deploy_bundle(api, content, make_bundle())
    deploy_bundle(api, content, make_bundle({"app.py": echo_source("2")}))
    deploy_again(api, content, old)
    first, second = (ask_echo(owner, content) for _ in range(2))
    assert (first["version"], first["pid"]) == ("1", second["pid"])


@pytest.fixture
def slow(monkeypatch):
    """Lets the first build wait until it is set, with `built` at its end, else at its beginning."""
    slow, build, builds = threading.Event(), Environments.build, iter([True])
    slow.started, slow.built = threading.Event(), False

    def build_slowly(*arguments):
        first, built = next(builds, False), None
        if slow.built or not first:
            built = build(*arguments)
        if first:
            slow.started.set()
            assert slow.wait(60)
            arguments[3].mkdir(parents=True, exist_ok=True)  # as a build does that goes on
        return built or build(*arguments)

    monkeypatch.setattr(Environments, "build", build_slowly)
    yield slow
    slow.set()


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


@pytest.mark.parametrize("built", [False, True])
def test_deletion_of_a_bundle_while_it_is_built_ends_the_task(
    server, api, owner, content, slow, built
):
    slow.built = built
    bundle = make_bundle({"requirements.txt": "-r more.txt", "more.txt": ""})
    bundle, task = start_deployment(api, content, bundle, activate=not built)
    assert slow.started.wait(60)
    assert api.delete(f"content/{content['guid']}/bundles/{bundle}").status_code == 204
    slow.set()
    ended = follow_task(api, task)
    assert (ended["code"], ended["error"]) == (1, f"Bundle {bundle} failed: It has been deleted.")
    assert owner.get("/").status_code == 200
    assert list((server.directory / content["guid"]).iterdir()) == []


ERRORS = {
    "No space is left on the server's disk.*": OSError(28, "No space left on device", "/a/path"),
    r"The server failed: KeyError: 'a' \(test_redeployment\.py, line \d+\)": KeyError("a"),
}


@pytest.mark.parametrize(("reason", "error"), ERRORS.items(), ids=ERRORS)
def test_any_exception_ends_the_task(api, content, monkeypatch, reason, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(Environments, "build", fail)
    bundle, task = deploy_bundle(api, content, make_bundle())
    assert task["code"] == 1 and task["error"] == task["output"][-1]
    assert re.fullmatch(rf"Bundle {bundle} failed: {reason}\.", task["error"])


def test_log_of_a_build_has_the_lines_that_publishers_wait_for(api, content):
    """posit-dev/publisher#793 has them; Posit Publisher's deployProgress.ts reads the last."""
    _, task = deploy_bundle(api, content, make_bundle())
    version = api.get(f"content/{content['guid']}").json()["py_version"]
    lines = [
        r"Building (.* application|.* API|Jupyter notebook).*",
        rf"Bundle requested Python version 3\.11\.0; using /.* from Local which has version {version}",
        rf"Completed Python build using Local against Python version: '{version}'",
        r"Launching .*(Quarto|R Markdown|application|API|notebook)",
    ]
    assert re.match(r"(.*\n)*".join(lines), "\n".join(task["output"]))
