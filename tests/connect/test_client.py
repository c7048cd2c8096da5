"""The unmodified client deploys and redeploys, and its other commands work or say why not."""

import json
import re
import tarfile

import psutil
import pytest

from shared import contract
from shared.catalogue import EXAMPLES
from shared.harness.client import ClientError
from tests.connect.support import (
    ask_echo,
    echo_source,
    linked_from,
    read_log,
    unique,
    write_app,
)


@pytest.mark.lowest
def test_client_deploys_and_redeploys_the_same_content(rsconnect, api, owner, tmp_path):
    title = unique("twice")

    def deployed():
        """The content items with the directory's name as their title."""
        return [item for item in api.get("content").json() if item["title"] == title]

    options = ("-n", "local", "--entrypoint", "app:app", write_app(tmp_path / title))
    assert "Direct content URL" in rsconnect.run("deploy", "api", *options)
    (content,) = deployed()
    before = ask_echo(owner, content)
    write_app(tmp_path / title, echo_source("2"))
    rsconnect.run("deploy", "api", *options)
    assert [item["guid"] for item in deployed()] == [content["guid"]]
    after = ask_echo(owner, content)
    assert (before["version"], after["version"]) == ("1", "2")
    assert psutil.pid_exists(after["pid"]) and not psutil.pid_exists(before["pid"])
    rsconnect.run("deploy", "api", "--new", *options)
    assert sorted(item["name"] for item in deployed()) == [title, f"{title}1"]


@pytest.mark.lowest
def test_client_deploys_to_a_guid_with_variables_and_metadata(
    rsconnect, api, owner, own_echo, tmp_path
):
    rsconnect.run(
        *("deploy", "api", "-n", "local", "--app-id", own_echo["guid"], "--no-verify"),
        *("-E", "GREETING=héllo", "-E", "EMPTY=", "--metadata", "source=test"),
        write_app(tmp_path / "app", echo_source("new")),
    )
    echoed = ask_echo(owner, own_echo)
    variables = echoed["variables"]
    assert echoed["version"] == "new"
    assert (variables["GREETING"], variables["EMPTY"]) == ("héllo", "")
    listed = api.get(f"content/{own_echo['guid']}/environment").json()
    assert listed == ["EMPTY", "GREETING"]


@pytest.mark.lowest
def test_client_deploys_to_the_number_of_a_content(rsconnect, owner, own_echo, tmp_path):
    """For which it asks with an older operation, that is not in the reference."""
    directory = write_app(tmp_path / "app", echo_source("by number"))
    rsconnect.run("deploy", "api", "-n", "local", "--app-id", own_echo["id"], directory)
    assert ask_echo(owner, own_echo)["version"] == "by number"
    with pytest.raises(ClientError, match="no content with the id 987654"):
        rsconnect.run("deploy", "api", "-n", "local", "--app-id", "987654", directory)


@pytest.mark.lowest
def test_client_deploys_a_draft_that_visitors_do_not_see(rsconnect, api, owner, own_echo, tmp_path):
    directory = write_app(tmp_path / "app", echo_source("draft"))
    options = ("-n", "local", "--app-id", own_echo["guid"], "--draft")
    output = rsconnect.run("deploy", "api", *options, directory)
    assert ask_echo(owner, own_echo)["version"] == "1"
    newest = api.get(f"content/{own_echo['guid']}/bundles").json()[0]["id"]
    url = f"{own_echo['content_url']}_bundle{newest}/"
    draft = owner.get(url).json()
    assert draft["version"] == "draft"
    assert draft["environ"]["SCRIPT_NAME"].endswith(f"/_bundle{newest}")
    (printed,) = re.findall(r"Draft content URL: (\S+)", output)
    assert url.endswith(linked_from(owner, printed))


@pytest.mark.lowest
def test_failed_deployment_says_why_and_leaves_what_serves(rsconnect, owner, own_echo, tmp_path):
    before = ask_echo(owner, own_echo)
    command = ("deploy", "api", "-n", "local", "--app-id", own_echo["guid"], "--entrypoint")
    for requirements, entrypoint, reason in (
        ("./gone", "app:app", "gone"),
        ("", "app:nope", "module 'app' has no attribute 'nope'"),
    ):
        directory = write_app(tmp_path / "app", requirements=requirements)
        with pytest.raises(ClientError) as failure:
            rsconnect.run(*command, entrypoint, directory)
        after = ask_echo(owner, own_echo)
        assert (after["version"], after["pid"]) == ("1", before["pid"])
        # A client that verifies drafts, as from 1.30 on, only names the log.
        output = failure.value.output
        output += read_log(owner, own_echo) if "/logs" in output else ""
        assert reason in re.sub(r"\s+", " ", output)


def test_client_is_told_about_the_server(rsconnect, tmp_path):
    details = rsconnect.run("details", "-n", "local")
    assert "APIs: allowed" in details and re.search(r"\d+\.\d+\.\d+", details)
    checked = rsconnect.run("preflight", "-n", "local", write_app(tmp_path / "app"))
    assert json.loads(checked)["local_python_publishable"] is True


def test_client_searches_describes_and_downloads(rsconnect, echo, tmp_path):
    guid = ("-n", "local", "-g", echo["guid"])
    filters = ("--published", "--content-type", "python-api", "--py-version", ">=3.10.0")
    options = (*filters, "--order-by", "last_deployed")
    found = json.loads(rsconnect.run("content", "search", "-n", "local", *options))
    assert echo["guid"] in [item["guid"] for item in found]
    (described,) = json.loads(rsconnect.run("content", "describe", *guid))
    assert described["name"] == echo["name"]
    archive = tmp_path / "bundle.tar.gz"
    rsconnect.run("content", "download-bundle", *guid, "-o", str(archive))
    with tarfile.open(archive) as tar:
        assert "app.py" in tar.getnames()


@pytest.mark.deep  # the client sleeps for five seconds
def test_client_builds(rsconnect, echo):
    guid = ("-n", "local", "-g", echo["guid"])
    rsconnect.run("content", "build", "add", *guid)
    assert "NEEDS_BUILD" in rsconnect.run("content", "build", "ls", *guid)
    assert "Success = 1" in rsconnect.run("content", "build", "run", "-n", "local")
    rsconnect.run("content", "build", "rm", *guid)


def test_client_is_told_what_is_not_implemented(rsconnect):
    with pytest.raises(ClientError) as failure:
        git = ("--repository", "https://example.com/a.git", "--branch", "main")
        rsconnect.run("deploy", "git", "-n", "local", *git)
    assert "Traceback" not in failure.value.output
    assert "ot implemented here" in failure.value.output


WAYS = {
    "api": ("--entrypoint", "app:app", "./{directory}/"),
    "flask": ("--entrypoint", "app:app", "./{directory}/"),
    "pyproject": ("./{directory}",),
    "manifest": ("./{directory}/manifest.json",),
    "bundle": ("./{directory}.tar.gz",),
}


@pytest.mark.parametrize(
    "deployed",
    [EXAMPLES[0], *(pytest.param(example, marks=pytest.mark.deep) for example in EXAMPLES[1:])],
    ids=lambda example: example.id,
)
def test_five_ways_to_deploy_keep_one_contract(rsconnect, api, deployed):
    guid = None
    for way, arguments in WAYS.items():
        if way == "bundle":
            archive = ("-o", f"./{deployed.directory}.tar.gz")
            rsconnect.run("content", "download-bundle", "-n", "local", "-g", guid, *archive)
        words = [word.format(directory=deployed.directory) for word in arguments]
        printed = rsconnect.run("deploy", way, "-n", "local", *words)
        url, guid = re.search(r"Direct content URL: (\S+/content/(\S+))/", printed).groups()
        answers = api.get(url + deployed.list_url).json()
        assert answers == contract.greetings(), way
        unknown = api.get(url + deployed.item_url.format(lang="xx")).json()
        assert unknown == contract.greeting("xx"), way
