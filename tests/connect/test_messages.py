"""The messages of .github/SUPPORT.md and the README are those that people get."""

import configparser
import json
import re

import httpx
import pytest
from flask import Flask

from shared.catalogue import ROOT
from shared.connect.running.environments import FROM_PIP
from shared.harness.client import ClientError, private_client
from shared.harness.curl import curl
from shared.harness.readme import DEPLOYING, README, commands, filled
from tests.connect.support import deploy_bundle, make_bundle, unique, write_app

PAGE = (ROOT / ".github" / "SUPPORT.md").read_text(encoding="utf-8")

# By the page's words: a requirement, or a part of the manifest.
BUILDS = {
    "was not found in the package registry": "no-such-package-0q",
    "No matching distribution found for": "iniconfig==99",
    "has no wheels with a matching": "pywin32==306",
    "No Python here meets": {"python": {"requires": ">=3.99"}},
    "is not in the bundle": "-e /home/me/package",
}


@pytest.mark.parametrize(("words", "cause"), BUILDS.items(), ids=BUILDS)
def test_build_that_fails_is_told_in_the_words_of_the_page(api, content, words, cause):
    environment, requirements = ({}, cause) if isinstance(cause, str) else (cause, "")
    bundle = make_bundle({"requirements.txt": requirements}, environment=environment)
    _, task = deploy_bundle(api, content, bundle)
    assert words in task["error"] and words in PAGE


# By the page's words: the source of app.py, or an entrypoint.
STARTS = {
    "ModuleNotFoundError: No module named 'requests'": "import requests",
    "No module named": "main:app",
    "module 'app' has no attribute": "app:nope",
    "attempted relative import with no known parent package": "from . import helper",
    "JSONDecodeError: Expecting value": "import json; json.loads('')",
    "Address already in use": "from socket import create_server as create\n"
    "first = create(('127.0.0.1', 0)); create(first.getsockname())",
    "is not a WSGI app": "def app(): return print",
    "ended with code": "def app(environ, start_response): import os; os._exit(3)",
    "was killed by signal": "import os; os.kill(os.getpid(), 9)",
}


@pytest.mark.parametrize(("words", "cause"), STARTS.items(), ids=STARTS)
def test_app_that_fails_is_told_in_the_words_of_the_page(api, owner, content, words, cause):
    source, entrypoint = ("", cause) if re.fullmatch(r"\w+:\w+", cause) else (cause, "app:app")
    deploy_bundle(api, content, make_bundle({"app.py": source}, entrypoint=entrypoint))
    response = owner.get(content["content_url"])
    assert response.status_code == 502
    assert words in response.text and words in PAGE


# By the page's words: a file of the directory, or None without it, and `rsconnect deploy` options.
CLIENTS = {
    "The requirements file 'requirements.txt' does not exist": ("requirements.txt", None, "api"),
    "'utf-8' codec can't decode byte 0xff": ("requirements.txt", "six".encode("utf-16"), "api"),
    "cannot be specified in conjunction with": ("a", b"", "api", "-s", "http://127.0.0.1:9"),
    "not found in the environment": ("a", b"", "api", "-E", "NAME"),
    "only 'python-api' runs": ("a", b"", "fastapi"),
    "Could not access the deployed content": ("app.py", b"1/0", "api"),
}


@pytest.mark.parametrize(("words", "cause"), CLIENTS.items(), ids=CLIENTS)
def test_client_that_stops_says_so_in_the_words_of_the_page(rsconnect, tmp_path, words, cause):
    name, content, kind, *options = cause
    directory = write_app(tmp_path / "app")
    if content is None:
        (tmp_path / "app" / name).unlink()
    else:
        (tmp_path / "app" / name).write_bytes(content)
    with pytest.raises(ClientError) as error:
        rsconnect.run("deploy", kind, "-n", "local", "-e", "app:app", *options, directory)
    assert words in error.value.output and words in PAGE


FAILS_AT_ROOT = """
def app(environ, start_response):
    start_response("200 OK" if environ["PATH_INFO"] == "/list" else "503 No", [])
    return [b"listed"]
"""


def test_app_that_fails_at_its_root_is_deployed_without_the_request(
    rsconnect, api, owner, tmp_path
):
    """And when its content is gone, the client says how to make another."""
    title = unique("root")
    command = ("deploy", "api", "-n", "local", write_app(tmp_path / title, FAILS_AT_ROOT))
    with pytest.raises(ClientError, match="/logs"):
        rsconnect.run(*command)
    (content,) = (c for c in api.get("content").json() if c["title"] == title)
    draft = re.search(
        r"is a draft that is not active: see (\S+)", owner.get(content["content_url"]).text
    )
    assert owner.get(f"{draft[1]}list").text == "listed"
    rsconnect.run(*command, "--no-verify")
    assert owner.get(f"{content['content_url']}list").text == "listed"
    assert "`--no-verify`" in PAGE
    api.delete(f"content/{content['guid']}")
    with pytest.raises(ClientError) as error:
        rsconnect.run(*command)
    words = "Try setting the --new flag"
    assert words in error.value.output and words in PAGE


def test_wrong_key_is_told_in_the_words_of_the_page(server, tmp_path):
    """An exported key comes before the saved one."""
    reason = "The API key is not valid"
    with private_client() as client:
        with pytest.raises(ClientError) as error:
            client.run("add", "-n", "local", "-s", server.url, "-k", "wrong")
        for words in ("failed to verify as Posit Connect", 'Do you need to use "https://', reason):
            assert words in error.value.output and words in PAGE
        client.run("add", "-n", "local", "-s", server.url, "-k", server.api_key)
        command = ("deploy", "api", "-n", "local", write_app(tmp_path / "app"))
        with pytest.raises(ClientError, match=reason):
            client.run(*command, CONNECT_API_KEY="wrong")
    assert "`unset CONNECT_API_KEY`" in PAGE


@pytest.mark.parametrize("requirements", ["no-such-package-0q", ""], ids=["build", "start"])
def test_url_of_content_that_never_ran_tells_the_last_failure(api, owner, content, requirements):
    """And the URL of the log, which the page promises."""
    url, log = content["content_url"], "/connect/apps/" + content["guid"] + "/logs"
    assert owner.get(url).text == "Nothing is deployed here yet.\n"
    bundle = make_bundle({"requirements.txt": requirements, "app.py": "import gone_0q"})
    number, _ = deploy_bundle(api, content, bundle, activate=False)
    answers = [owner.get(f"{url}_bundle{number}/"), owner.get(url)]
    for answer in answers:
        assert "0q" in answer.text and answer.text.endswith(f"{log}\n"), answer.text
    assert [answer.status_code for answer in answers] == [404 if requirements else 502, 404]
    assert "open the content's URL: it shows the cause, and the URL of the log" in PAGE


def test_access_and_its_statuses_mean_what_the_pages_say(api, viewer, content):
    deploy_bundle(api, content, make_bundle())
    readme = README.read_text(encoding="utf-8").partition("### Let others call it")[2]
    access = dict(re.findall(r"^- `(\w+)`: (.*)", readme, re.MULTILINE))
    assert access.keys() == {"acl", "logged_in", "all"}
    statuses = dict(re.findall(r"^- (40[13]): (.*)", PAGE, re.MULTILINE))
    assert "no API key" in statuses["401"] and "its user has no access" in statuses["403"]
    for value, meaning in access.items():
        api.patch(f"content/{content['guid']}", json={"access_type": value}).raise_for_status()
        answers = [client.get(content["content_url"]).status_code for client in (httpx, viewer)]
        for_all, for_users = "without a key" in meaning, "you and" not in meaning
        assert answers == [200 if for_all else 401, 200 if for_users else 403], value


def test_permission_of_the_readme_lets_a_user_in(server, api, viewer, content, tmp_path):
    deploy_bundle(api, content, make_bundle())
    user = viewer.get("/__api__/v1/user").json()
    names = {"https://connect.example.com": server.url, "YOUR-API-KEY": server.api_key}
    names |= {"GUID": content["guid"], "ada": user["username"], "USER": user["guid"]}
    _, find, add = (filled(command, names) for command in commands("Let others call it"))
    assert viewer.get(content["content_url"]).status_code == 403
    found, permission = (json.loads(curl(command, tmp_path)) for command in (find, add))
    assert [item["guid"] for item in found["results"]] == [user["guid"]]
    assert viewer.get(content["content_url"]).status_code == 200
    url = f"content/{content['guid']}/permissions"
    assert api.get(url).json() == [permission]
    api.delete(f"{url}/{permission['id']}").raise_for_status()
    assert viewer.get(content["content_url"]).status_code == 403


def test_settings_on_the_pages_exist():
    page = DEPLOYING.read_text(encoding="utf-8")
    settings = configparser.ConfigParser()
    settings.read_string(re.search(r"```ini\n(.*?)```", page, re.DOTALL)[1])
    assert settings["global"].keys() == {"index-url", "cert"} <= FROM_PIP.keys()
    assert set(re.findall(r"`(UV_\w+|SSL_\w+)`", page)) <= set(FROM_PIP.values())
    assert set(re.findall(r'app.config\["(\w+)"\]', PAGE)) <= Flask.default_config.keys()
