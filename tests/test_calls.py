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
from shared.harness.readme import DEPLOYING, README, commands, filled

pytestmark = pytest.mark.of("restx")


def test_curl_and_python_send_a_key_and_open_content(place, server, tmp_path):
    names = {"https://connect.example.com": server.url, "YOUR-API-KEY": server.key}
    names["GUID"] = place["content"].rpartition("/")[2]
    (call,), (patch, *_) = commands("Call it"), commands("Let others call it")
    greeting = contract.greeting("en")
    assert json.loads(curl(filled(call, names), tmp_path)) == greeting
    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]
    command = [sys.executable, "-c", filled(code, names)]
    run = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert (run.stdout, run.stderr) == (f"{greeting}\n", "")
    assert json.loads(curl(filled(patch, names), tmp_path))["access_type"] == "logged_in"


def test_ci_deploys_with_four_requests(example, server, tmp_path):
    api, key, create, archive, upload, build, wait = commands("From other CI", DEPLOYING)
    name = f"ci-{uuid.uuid4().hex[:8]}"  # others may use the server, too
    names = {"my-api": name, "$CONNECT_SERVER": server.url, "$CONNECT_API_KEY": server.key}
    names |= {"$API": filled(api, names)[5:-1], "$KEY": filled(key, names)[5:-1]}

    def answer(command):
        return json.loads(curl(filled(command, names), tmp_path))

    shutil.copytree(example.path, tmp_path / name)
    names["GUID"] = guid = answer(create)["guid"]
    try:
        subprocess.run(["sh", "-c", filled(archive, names)], cwd=tmp_path, check=True)
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
