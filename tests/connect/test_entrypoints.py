"""What an entrypoint may name, and how an app that does not start is reported."""

import pytest

from tests.connect.support import ECHO, ask_echo, deploy_bundle, make_bundle, read_log

pytestmark = pytest.mark.local

FILES = {
    "echo_app.py": ECHO,
    "main.py": "from echo_app import app as echo\n",
    "package/main.py": "from echo_app import app as application\n",
    "created.py": "from echo_app import app as echo\n\n\ndef create_app():\n    return echo\n",
    "made.py": "from echo_app import app as echo\n\n\ndef make_app():\n    return echo\n",
    "both.py": "from echo_app import app\n\n\ndef create_app():\n    raise AssertionError\n",
    "none.py": "",
    "exits.py": "import os\nprint('printed')\nos._exit(7)\n",
    "says.py": "import sys\nprint('SystemExit: <b>no database', file=sys.stderr)\nsys.exit(1)\n",
}
ENTRYPOINTS = [
    "app:app",
    "app",
    "app.py",
    "main:echo",
    "main.py:echo",
    "package.main",
    "created",
    "made.py",
    "both",
]


@pytest.mark.parametrize("entrypoint", ENTRYPOINTS)
def test_entrypoint_leads_to_the_app(publisher, owner, content, entrypoint):
    deploy_bundle(publisher, content, make_bundle(FILES, entrypoint=entrypoint))
    assert ask_echo(owner, content)["version"] == "1"


FAILURES = {
    "app:nope": "AttributeError: module 'app' has no attribute 'nope'",
    "gone": "ModuleNotFoundError: No module named 'gone'",
    "none": "AttributeError: none has none of app, application, create_app, make_app",
    "exits": "ended with code 7",
    "says": "SystemExit: <b>no database",
}


@pytest.mark.parametrize(("entrypoint", "reason"), FAILURES.items(), ids=FAILURES)
def test_app_that_does_not_start_is_reported(publisher, owner, content, entrypoint, reason):
    bundle, task = deploy_bundle(publisher, content, make_bundle(FILES, entrypoint=entrypoint))
    assert task["code"] == 0  # as Connect, which starts it with the first request
    response = owner.get(content["content_url"])
    assert response.status_code == 502
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert reason in response.text and response.text.count("\n") == 1
    assert reason in read_log(owner, content)
    told = f"Bundle {bundle} failed: The app did not start: {reason}."
    escaped = told.replace("'", "&#39;").replace("<", "&lt;").replace(">", "&gt;")
    page = owner.get("/").text
    assert escaped in page and "Visitors still see" not in page
