"""A redeployment fails no request, and a crash is reported and repaired."""

import json
import os
import re
import select
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import psutil
import pytest

from shared import contract
from shared.catalogue import EXAMPLES
from shared.connect import apps, contents
from tests.connect.support import ask, deploy, example_bundle, make_bundle, read_log
from tests.connect.support import echo as echo_of

DEEP = False
pytestmark = pytest.mark.local


def test_replaced_app_answers_the_request_in_progress(publisher, visitor, own_echo, tmp_path):
    os.mkfifo(tmp_path / "hold")
    old, answers = psutil.Process(ask(visitor, own_echo)["pid"]), []
    url = f"hold?{tmp_path}/hold"
    asking = threading.Thread(target=lambda: answers.append(ask(visitor, own_echo, url)))
    asking.start()
    with open(tmp_path / "hold", "wb"):  # opens as soon as the app reads
        deploy(publisher, own_echo, make_bundle({"app.py": echo_of("2")}))
        assert ask(visitor, own_echo)["version"] == "2"
        assert old.is_running()
    asking.join()
    assert [answer["version"] for answer in answers] == ["1"]
    assert psutil.wait_procs([old], timeout=10)[1] == []


def test_no_request_fails_while_a_content_is_redeployed(server, publisher):
    """20 visitors and 2 redeployments; in the deep run 200 and 5."""
    visitors, redeployments = (200, 5) if DEEP else (20, 2)
    items = {}
    for example in EXAMPLES:
        items[example] = publisher.post("content", json={"name": f"load-{example.id}"}).json()
        deploy(publisher, items[example], example_bundle(example))
    done = threading.Event()

    def visit(number):
        """Ask until the last redeployment is over; return the wrong answers."""
        example = EXAMPLES[number % len(EXAMPLES)]
        lang = sorted(contract.GREETINGS)[number % len(contract.GREETINGS)]
        path = f"/content/{items[example]['guid']}{example.item_url.format(lang=lang)}"
        # httpx with 200 connections is slower than the server.
        connection, wrong, last = HTTPConnection("127.0.0.1", server.port), [], False
        while not last:
            last = done.is_set()
            connection.request("GET", path, headers=dict(publisher.headers))
            response = connection.getresponse()
            told = (response.status, response.read())
            if told[0] != 200 or json.loads(told[1]) != contract.greeting(lang):
                wrong.append((example.id, told))
        connection.close()
        return wrong

    redeployed, results = items[EXAMPLES[-1]], []
    with ThreadPoolExecutor(visitors) as pool:
        visits = [pool.submit(visit, number) for number in range(visitors)]
        try:
            for _ in range(redeployments):
                bundle, task = deploy(publisher, redeployed, example_bundle(EXAMPLES[-1]))
                listed = publisher.get(f"{redeployed['content_url']}greetings/")
                results.append((task["code"], listed.json()))
        finally:
            done.set()
    active = publisher.get(f"content/{redeployed['guid']}").json()["bundle_id"]
    for item in items.values():
        publisher.delete(f"content/{item['guid']}")
    assert [visit.result() for visit in visits] == [[]] * visitors
    assert results == [(0, contract.greetings())] * redeployments and active == bundle


def test_crashed_app_is_reported_and_started_again(visitor, own_echo):
    before = ask(visitor, own_echo)
    crashed = visitor.get(f"{own_echo['content_url']}crash")
    assert crashed.status_code == 502
    assert f"ended with code 3. Its log: {own_echo['dashboard_url']}/logs" in crashed.text
    log = read_log(visitor, own_echo)
    assert re.search(r"stdout: was asked for /crash\n\S+Z \w+: Process \d+ ended with code 3", log)
    after = ask(visitor, own_echo)
    assert after["pid"] != before["pid"]
    os.kill(after["pid"], signal.SIGKILL)
    psutil.wait_procs([p for p in psutil.process_iter() if p.pid == after["pid"]], timeout=10)
    codes = {visitor.get(own_echo["content_url"]).status_code for _ in range(2)}
    assert codes <= {200, 502} and ask(visitor, own_echo)["pid"] != after["pid"]


def test_children_of_a_crashed_app_end_with_it(visitor, own_echo):
    """Those with a session of their own on Linux only."""
    queries = ("", "?session") if sys.platform == "linux" else ("",)
    children = [psutil.Process(ask(visitor, own_echo, f"child{q}")["child"]) for q in queries]
    visitor.get(f"{own_echo['content_url']}crash")
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_import_that_hangs_is_reported_as_such(publisher, visitor, content, monkeypatch):
    monkeypatch.setattr(apps, "START_SECONDS", 0.5)
    hanging = "import threading\nprint('the last line')\nthreading.Event().wait()\n"
    deploy(publisher, content, make_bundle({"app.py": hanging}))
    running = set(psutil.Process().children(recursive=True))
    response = visitor.get(content["content_url"])
    assert response.status_code == 502
    assert "did not start within 0.5 seconds" in response.text
    assert set(psutil.Process().children(recursive=True)) <= running


def test_requests_that_hang_block_nobody_else(server, publisher, visitor, echo, own_echo, tmp_path):
    """Beyond what one app can take they get a 503, and the API and other content still answer."""
    os.mkfifo(tmp_path / "hold")
    ask(visitor, own_echo)
    path = f"/content/{own_echo['guid']}/hold?{tmp_path}/hold"
    connections = [HTTPConnection("127.0.0.1", server.port) for _ in range(contents.REQUESTS + 1)]
    for connection in connections:
        connection.request("GET", path, headers=dict(publisher.headers))
    answered, _, _ = select.select([connection.sock for connection in connections], [], [], 30)
    assert len(answered) == 1
    assert visitor.get(own_echo["content_url"]).status_code == 503
    assert publisher.get("user").status_code == 200
    assert ask(visitor, echo)["version"] == "1"
    # A new version is not blocked, either.
    old = server.contents.get(own_echo["guid"]).active
    deploy(publisher, own_echo, make_bundle({"app.py": echo_of("2")}))
    assert ask(visitor, own_echo)["version"] == "2"
    old.stop()
    for connection in connections:
        assert connection.getresponse().status in (502, 503)
        connection.close()


def test_deleted_content_is_gone(server, publisher, visitor, own_echo):
    app = psutil.Process(ask(visitor, own_echo)["pid"])
    assert publisher.delete(f"content/{own_echo['guid']}").status_code == 204
    assert not app.is_running()
    assert visitor.get(own_echo["content_url"]).status_code == 404
    assert publisher.get(f"content/{own_echo['guid']}").status_code == 404
    assert not (server.directory / own_echo["guid"]).exists()
