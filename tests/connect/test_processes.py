"""Each content runs in processes of its own, one or several, and starts them again after a crash."""

import os
import re
import select
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection

import psutil
import pytest

from shared.connect.limits import Limits
from shared.connect.server import LocalConnect
from tests.connect.support import (
    ask_echo,
    deploy_bundle,
    echo_source,
    make_bundle,
    read_log,
)

PROCESSES = 2  # of each content; the other files' servers have one
REQUESTS = 12  # to apps, at the same time


@pytest.fixture(scope="module")
def server(environments):
    """A local Connect that runs several processes of each content, with few threads."""
    limits = Limits(requests=REQUESTS, threads=REQUESTS + 1)
    with LocalConnect(environments=environments, processes=PROCESSES, limits=limits) as server:
        yield server


@pytest.fixture
def pids(owner, own_echo):
    """Asks each process once, in turn, for its id."""
    return lambda: [ask_echo(owner, own_echo)["pid"] for _ in range(PROCESSES)]


@pytest.fixture
def send(server, own_echo):
    """Sends a request to the echo app, and does not wait for the answer."""
    connections = []

    def send(path):
        connections.append(HTTPConnection("127.0.0.1", server.port))
        headers = {"Authorization": f"Key {server.api_key}"}
        connections[-1].request("GET", f"/content/{own_echo['guid']}/{path}", headers=headers)
        return connections[-1]

    yield send
    for connection in connections:
        connection.close()


@pytest.fixture
def holding(send, tmp_path):
    """Keeps each process busy with a request; gives their connections."""

    @contextmanager
    def holding(count=PROCESSES):
        with ExitStack() as stack:
            paths = [tmp_path / f"held{number}" for number in range(count)]
            for path in paths:
                os.mkfifo(path)
            connections = [send(f"hold?{path}") for path in paths]
            for path in paths:
                stack.enter_context(path.open("wb"))  # once the app reads
            yield connections

    return holding


def await_requests(server, count):
    """Wait until so many requests to apps are in progress."""
    began = time.monotonic()
    pools = [pool for content in server.store.all() for pool in content.pools.values()]
    while (number := sum(pool.requests for pool in pools)) != count:
        assert time.monotonic() < began + 300, f"{number} requests are in progress."
        time.sleep(0.01)


def test_first_requests_start_each_process_once(server, owner, own_echo, pids):
    """Also when they come at the same time; later ones go to them in turn."""
    with ThreadPoolExecutor(REQUESTS) as pool:
        answers = list(pool.map(lambda _: ask_echo(owner, own_echo), range(REQUESTS)))
    assert pids() + pids() == pids() * 2
    assert {answer["pid"] for answer in answers} == set(pids())
    assert answers[0]["environ"]["wsgi.multiprocess"] == "True"
    jobs = [job.tag for job in server.store.get(own_echo["guid"]).jobs]
    assert jobs == ["python_restore", *["run_python_api"] * PROCESSES]


def test_crash_is_reported_and_the_process_started_again(owner, own_echo, pids):
    before = pids()
    crashed = owner.get(f"{own_echo['content_url']}crash")
    assert crashed.status_code == 502
    log = own_echo["dashboard_url"].replace("#/", "") + "/logs"
    assert f"ended with code 3. Its log: {log}" in crashed.text
    assert "was asked for /crash" in owner.get(log).text  # without a browser, too
    ending = rf"stdout: was asked for /crash\n\S+Z stdout: Process {before[0]} ended with code 3\."
    assert re.search(ending, read_log(owner, own_echo))
    assert "failed:" not in owner.get("/").text  # it runs again
    after = {*pids(), *pids()}
    assert len(after - set(before)) == 1 and set(before) - after == {before[0]}


def test_children_of_a_crashed_process_end_with_it(owner, own_echo):
    """Those with a session of their own on Linux only."""
    queries = ("", "?session") if sys.platform == "linux" else ("",)
    children = [
        psutil.Process(ask_echo(owner, own_echo, f"child{query}")["child"]) for query in queries
    ]
    for _ in range(PROCESSES):
        owner.get(f"{own_echo['content_url']}crash")
    assert psutil.wait_procs(children, timeout=60)[1] == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process knows that it is left")
def test_process_ends_when_its_guard_is_killed(owner, own_echo, pids):
    """Else it would outlive its content, and the server."""
    app = psutil.Process(pids()[0])
    app.parent().kill()
    assert psutil.wait_procs([app], timeout=60)[1] == []
    read_log(owner, own_echo, "was killed by signal 9.")
    assert app.pid not in pids()


def test_variables_of_an_app_reach_its_own_python_only(api, owner, content):
    """Not the guard, which is the server's Python."""
    url, path = f"content/{content['guid']}/environment", {"name": "PYTHONPATH", "value": "."}
    assert api.patch(url, json=[path]).is_success
    source = (
        "def app(environ, start_response):\n    start_response('204 No Content', [])\n    return []"
    )
    files = {"app.py": source, "subprocess.py": "raise SystemExit('of the bundle')"}
    deploy_bundle(api, content, make_bundle(files))
    assert owner.get(content["content_url"]).status_code == 204


def test_import_that_hangs_delays_no_redeployment(api, owner, own_echo, send, tmp_path):
    os.mkfifo(tmp_path / "importing")
    hanging = f"import threading\nopen('{tmp_path}/importing', 'w').close()\n"
    hanging += "threading.Event().wait()\n"
    deploy_bundle(api, own_echo, make_bundle({"app.py": hanging}))
    waiting = send("")
    (tmp_path / "importing").read_bytes()
    deploy_bundle(api, own_echo, make_bundle({"app.py": echo_source("2")}))
    assert ask_echo(owner, own_echo)["version"] == "2"
    api.delete(f"content/{own_echo['guid']}")
    assert waiting.getresponse().status == 502


def test_process_that_hangs_gets_no_more_requests(server, owner, own_echo, pids, holding):
    """While there is another one, also when its visitor has left."""
    running = pids()
    with holding(1) as (connection,):
        connection.close()
        assert pids() == running[1:] * PROCESSES
    await_requests(server, 0)
    assert sorted(pids()) == sorted(running)


def test_process_answers_one_request_at_a_time(server, owner, own_echo, send, holding):
    """Those that wait leave a thread for the API."""
    with holding() as held:
        waiting = [send("waits") for _ in range(REQUESTS - PROCESSES)]
        await_requests(server, REQUESTS)
        refused = owner.get(own_echo["content_url"])
        message = f"{REQUESTS} requests to apps are in progress.\n"
        assert (refused.status_code, refused.text) == (503, message)
        assert owner.get("/__api__/v1/user").status_code == 200
        assert select.select([each.sock for each in waiting], [], [], 0)[0] == []
    assert {each.getresponse().status for each in (*held, *waiting)} == {200}


def test_request_that_ended_or_whose_visitor_left_takes_no_place(server, send, tmp_path):
    """As soon as the app has answered, or sends more."""
    for ending in ("", "crash", "answer?[]"):
        send(ending).getresponse().read()
    for path in ("hold", "stream"):
        os.mkfifo(tmp_path / path)
        connection = send(f"{path}?{tmp_path / path}")
        with (tmp_path / path).open("wb") as file:  # once the app reads
            connection.close()
            file.write(b"more")
        await_requests(server, 0)


def test_replaced_processes_answer_the_requests_in_progress(api, owner, own_echo, pids, holding):
    old = list(map(psutil.Process, pids()))
    with holding() as held:
        deploy_bundle(api, own_echo, make_bundle({"app.py": echo_source("2")}))
        assert ask_echo(owner, own_echo)["version"] == "2"
        assert all(process.is_running() for process in old)
    answers = [connection.getresponse() for connection in held]
    assert [b'"version": "1"' in answer.read() for answer in answers] == [True] * PROCESSES
    assert psutil.wait_procs(old, timeout=60)[1] == []


def test_request_during_a_deletion_leaves_no_process(server, owner, own_echo):
    server.store.get(own_echo["guid"]).pool.stop()
    pid = ask_echo(owner, own_echo)["pid"]
    read_log(owner, own_echo, f"Process {pid} was stopped by the server.")


def test_deleted_content_is_gone(server, api, owner, own_echo, pids):
    running = list(map(psutil.Process, pids()))
    log = f"/connect/apps/{own_echo['guid']}/logs"
    assert owner.get(log).status_code == 200
    assert api.delete(f"content/{own_echo['guid']}").status_code == 204
    assert not any(process.is_running() for process in running)
    for url in (own_echo["content_url"], f"/__api__/v1/content/{own_echo['guid']}", log):
        assert owner.get(url).status_code == 404
    assert not (server.directory / own_echo["guid"]).exists()
