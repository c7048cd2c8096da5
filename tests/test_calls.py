"""What the pages show about calling content with an API key, and about deploying from CI."""

import json
import re
import shutil
import subprocess
import sys
import uuid

import httpx
import pytest

from shared import contract
from shared.harness.curl import curl
from shared.harness.readme import DEPLOYING, README, commands


@pytest.fixture
def real(place, server):
    """Puts the server, the content and the key in the place of the README's."""
    names = {
        "https://connect.example.com": server.url,
        "GUID": place["content"].rpartition("/")[2],
        "YOUR-API-KEY": server.key,
    }
    return lambda text: re.sub("|".join(names), lambda match: names[match[0]], text)


@pytest.mark.one_mount
@pytest.mark.of("restx")
def test_curl_sends_a_key_and_opens_content(real, tmp_path):
    (call,), (patch, *_) = commands("Call it"), commands("Let others call it")
    assert json.loads(curl(real(call), tmp_path)) == contract.greeting("en")
    assert json.loads(curl(real(patch), tmp_path))["access_type"] == "logged_in"


@pytest.mark.of("restx")
def test_python_sends_a_key(real):
    text = README.read_text(encoding="utf-8").partition("## Call it")[2]
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    command = [sys.executable, "-c", real(code)]
    run = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert (run.stdout, run.stderr) == (f"{contract.greeting('en')}\n", "")


@pytest.mark.of("restx")
def test_ci_deploys_with_four_requests(example, server, tmp_path):
    api, key, *requests, wait = commands("From other CI", DEPLOYING)
    name = f"ci-{uuid.uuid4().hex[:8]}"  # others may use the server, too
    names = {"my-api": name, "$CONNECT_SERVER": server.url, "$CONNECT_API_KEY": server.key}

    def here(command):
        return re.sub("|".join(map(re.escape, names)), lambda match: names[match[0]], command)

    def answer(command):
        return json.loads(curl(here(command), tmp_path))

    names |= {"$API": here(api)[5:-1], "$KEY": here(key)[5:-1]}
    shutil.copytree(example.path, tmp_path / name)
    create, archive, upload, build = requests
    names["GUID"] = guid = answer(create)["guid"]
    try:
        subprocess.run(["sh", "-c", here(archive)], cwd=tmp_path, check=True)
        names["BUNDLE"] = answer(upload)["id"]
        names["TASK"] = answer(build)["task_id"]
        while not (task := answer(wait))["finished"]:
            pass
        assert task["code"] == 0, task
        find = re.search("with `(curl .+name=.+?)`", DEPLOYING.read_text(encoding="utf-8"))[1]
        assert [item["guid"] for item in answer(find)] == [guid]
        url = f"{server.url}/content/{guid}{example.list_url}"
        assert httpx.get(url, headers=server.headers, timeout=60).json() == contract.greetings()
        assert [answer(command) for command in commands("Restart it", DEPLOYING)] == [["RESTART"]]
    finally:
        httpx.delete(f"{server.url}/__api__/v1/content/{guid}", headers=server.headers)
