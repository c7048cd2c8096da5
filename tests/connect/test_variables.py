"""The environment variables of apps and of builds."""

import os
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.connect.support import ask_echo, deploy_bundle, make_bundle


def test_app_has_the_variables_of_connect(server, api, owner, own_echo, monkeypatch):
    """And none of the server's, except those without which programs do not work."""
    for name in ("SECRET", "PYTHONPATH"):
        monkeypatch.setenv(name, "of the server")
    monkeypatch.setenv("USER", "grace")
    echoed = ask_echo(owner, own_echo)
    variables = echoed["variables"]
    assert "of the server" not in variables.values()
    assert [variables["HOME"], variables["USER"]] == [os.environ["HOME"], "grace"]
    programs = server.store.get(own_echo["guid"]).pool.environment.python.parent
    assert variables["PATH"] == f"{programs}{os.pathsep}{os.environ['PATH']}"
    assert variables["POSIT_PRODUCT"] == variables["RSTUDIO_PRODUCT"] == "CONNECT"
    assert variables["CONNECT_CONTENT_GUID"] == own_echo["guid"]
    assert variables["CONNECT_SERVER"] == f"{server.url}/"
    assert variables["LANG"] == "C.UTF-8"
    job = api.get(f"content/{own_echo['guid']}/jobs").json()[0]
    assert variables["CONNECT_CONTENT_JOB_KEY"] == job["key"]  # posit-dev/commons, R/tracing.R
    assert {"app.py", "manifest.json", "requirements.txt"} <= set(echoed["files"])
    key = {"Authorization": f"Key {variables['CONNECT_API_KEY']}"}
    user = owner.get("/__api__/v1/user").json()
    assert owner.get("/__api__/v1/user", headers=key).json() == user
    api.delete(f"content/{own_echo['guid']}")
    assert owner.get("/__api__/v1/user", headers=key).status_code == 401


def test_variables_of_a_content_win(api, owner, own_echo):
    """Over those of the server and of Connect."""
    variables = {"HOME": "/nowhere", "LANG": "C", "USER": "ada", "POSIT_PRODUCT": "none"}
    variables |= {"CONNECT_SERVER": "http://other.example/", "CONNECT_API_KEY": "its-own"}
    values = [{"name": name, "value": value} for name, value in variables.items()]
    api.patch(f"content/{own_echo['guid']}/environment", json=values)
    assert variables.items() <= ask_echo(owner, own_echo)["variables"].items()


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_change_of_variables_reaches_the_app(api, owner, own_echo, method, tmp_path):
    """So posit-sdk's content.restart() restarts; a request in progress is answered as before."""
    os.mkfifo(tmp_path / "hold")
    before = ask_echo(owner, own_echo)
    process = psutil.Process(before["pid"])
    with ThreadPoolExecutor() as pool:
        held = pool.submit(ask_echo, owner, own_echo, f"hold?{tmp_path}/hold")
        with (tmp_path / "hold").open("wb"):  # once the app reads
            url = f"content/{own_echo['guid']}/environment"
            assert api.request(method, url, json=[{"name": "NEW", "value": "1"}]).is_success
            after = ask_echo(owner, own_echo)
            assert after["variables"]["NEW"] == "1" and after["pid"] != before["pid"]
    assert held.result()["pid"] == before["pid"]
    assert psutil.wait_procs([process], timeout=60)[1] == []
    assert ask_echo(owner, own_echo)["pid"] == after["pid"]


def test_build_of_a_package_does_not_see_the_servers_secrets(api, content, monkeypatch):
    for name in ("CONNECT_API_KEY", "CONNECT_SECRET"):
        monkeypatch.setenv(name, "the-key")
    setup = "import os\nraise SystemExit('built with CONNECT_' if 'the-key' in os.environ.values() else 'built without')\n"
    files = {"requirements.txt": "./package", "package/setup.py": setup}
    _, task = deploy_bundle(api, content, make_bundle(files))
    assert "built without" in task["error"]
