"""What the README shows about calling deployed content with an API key."""

import json
import re
import subprocess
import sys

import pytest

from shared import contract
from shared.harness.curl import curl
from shared.harness.readme import README, commands


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
    (call,), (patch,) = commands("Call it"), commands("Let others call it")
    assert json.loads(curl(real(call), tmp_path)) == contract.greeting("en")
    assert json.loads(curl(real(patch), tmp_path))["access_type"] == "logged_in"


@pytest.mark.of("restx")
def test_python_sends_a_key(real):
    text = README.read_text(encoding="utf-8").partition("## Call it")[2]
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    command = [sys.executable, "-c", real(code)]
    run = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert (run.stdout, run.stderr) == (f"{contract.greeting('en')}\n", "")
