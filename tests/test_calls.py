"""What the README shows about calling deployed content with an API key."""

import json
import re
import shlex
import subprocess
import sys

import pytest

from shared import contract
from shared.harness.readme import README, commands

CONTENT = "https://connect.example.com/content/GUID"


@pytest.fixture
def real(place, publication):
    """Puts the URL and the key of the deployed example in the place of the README's."""
    names = {CONTENT: place["content"], "YOUR-API-KEY": publication.key}
    return lambda text: re.sub("|".join(names), lambda match: names[match[0]], text)


@pytest.mark.of("restx")
def test_curl_sends_a_key(real):
    (command,) = commands("Call it, and who may")
    run = subprocess.run(shlex.split(real(command)), capture_output=True, check=True)
    assert contract.parse(run.stdout) == contract.greeting("en")


@pytest.mark.of("restx")
def test_python_sends_a_key(real):
    text = README.read_text(encoding="utf-8").partition("## Call it")[2]
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    command = [sys.executable, "-c", real(code)]
    run = subprocess.run(command, capture_output=True, check=True, encoding="utf-8")
    assert json.loads(run.stdout.replace("'", '"')) == contract.greeting("en")
