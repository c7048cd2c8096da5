"""A redeployment fails no request, and one that fails leaves what visitors see."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest

from shared import contract
from shared.catalogue import EXAMPLES
from tests.connect.support import (
    ask_echo,
    deploy_bundle,
    echo_source,
    example_bundle,
    follow_task,
    make_bundle,
    read_log,
)

pytestmark = pytest.mark.local


def test_no_request_fails_while_a_content_is_redeployed(server, publisher, deep):
    """20 visitors and 2 redeployments; in the deep run 200 and 5."""
    visitors, redeployments = (200, 5) if deep else (20, 2)
    items = {}
    for example in EXAMPLES:
        items[example] = publisher.post("content", json={"name": f"load-{example.id}"}).json()
        deploy_bundle(publisher, items[example], example_bundle(example))
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
                bundle, task = deploy_bundle(publisher, redeployed, example_bundle(EXAMPLES[-1]))
                listed = publisher.get(f"{redeployed['content_url']}greetings/")
                results.append((task["code"], listed.json()))
        finally:
            done.set()
    active = publisher.get(f"content/{redeployed['guid']}").json()["bundle_id"]
    for item in items.values():
        publisher.delete(f"content/{item['guid']}")
    assert [visit.result() for visit in visits] == [[]] * visitors
    assert results == [(0, contract.greetings())] * redeployments and active == bundle


def test_failed_redeployment_reads_as_one(publisher, owner, own_echo):
    """Until a good one."""
    url = f"content/{own_echo['guid']}"
    old, before = publisher.get(url).json()["bundle_id"], ask_echo(owner, own_echo)
    bad = make_bundle({"requirements.txt": "no-such-package-0q\n"})
    new, task = deploy_bundle(publisher, own_echo, bad)
    told = (
        f"Bundle {new} failed: no-such-package-0q was not found in the package registry. "
        f"Visitors still see bundle {old}."
    )
    assert task["code"] == 1 and task["output"][-1] == task["error"] == told
    assert publisher.get(f"{url}/jobs").json()[0]["exit_code"] == 1
    assert told in owner.get("/").text and told in read_log(owner, own_echo)
    after = ask_echo(owner, own_echo)
    assert (after["version"], after["pid"]) == ("1", before["pid"])
    deploy_bundle(publisher, own_echo, make_bundle())
    assert "failed:" not in owner.get("/").text


def test_failure_goes_when_the_same_bundle_runs(publisher, owner, content):
    """As when a variable was missing."""
    source = echo_source("1").replace('VERSION = "1"', 'VERSION = os.environ["WANTED"]')
    deploy_bundle(publisher, content, make_bundle({"app.py": source}))
    assert owner.get(content["content_url"]).status_code == 502
    assert "KeyError: &#39;WANTED&#39;" in owner.get("/").text
    url = f"content/{content['guid']}/environment"
    publisher.patch(url, json=[{"name": "WANTED", "value": "2"}])
    assert ask_echo(owner, content)["version"] == "2"
    assert "failed:" not in owner.get("/").text


def test_failure_goes_when_the_same_bundle_is_deployed_again(publisher, owner, content):
    bundle, _ = deploy_bundle(publisher, content, make_bundle(entrypoint="gone"))
    assert owner.get(content["content_url"]).status_code == 502
    assert "failed:" in owner.get("/").text
    url, deploy = f"content/{content['guid']}/deploy", {"bundle_id": bundle}
    follow_task(publisher, publisher.post(url, json=deploy).json()["task_id"])
    assert "failed:" not in owner.get("/").text
