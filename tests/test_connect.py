"""The local Connect: what the rsconnect client, visitors and hostile bundles meet there."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from shared import serve
from shared.bundle import kept_environments
from shared.catalogue import CANONICAL, EXAMPLES, ROOT
from shared.client import ClientError, private_client
from shared.connect import bundles
from shared.connect.children import Children
from shared.connect.environments import Environments
from shared.connect.runner import CONNECTIONS
from shared.connect.server import LocalConnect
from shared.readme import console_commands

pytestmark = pytest.mark.standin

# An app that needs no packages. It tells what reached it, and does what its path says.
ECHO = """
import json, os, sys, threading
VERSION = "1"
go_on = threading.Event()

def app(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path == "/crash":
        os._exit(3)
    if path == "/hold":
        open(query).read()
    if path == "/go-on":
        go_on.set()
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return stream()
    if path == "/moved":
        location = environ["SCRIPT_NAME"] + "/here"
        start_response("302 Found", [("Location", location), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return [b""]
    if path == "/big":
        start_response("200 OK", [("Content-Length", str(2 ** 24))])
        return [b"x" * 2 ** 20] * 16
    print("was asked for", path)
    told = {key: value for key, value in environ.items() if isinstance(value, str)}
    body = environ["wsgi.input"].read()
    answer = {"version": VERSION, "pid": os.getpid(), "cwd": os.getcwd(), "files": sorted(os.listdir()),
              "environ": told, "variables": dict(os.environ), "body": body.decode("latin-1")}
    answer = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]

def stream():
    yield b"first"
    go_on.wait()
    yield b"second"
"""


@pytest.fixture(scope="session")
def environments(tmp_path_factory):
    """A directory of environments, which all servers of this run share."""
    return kept_environments() or tmp_path_factory.mktemp("environments")


@pytest.fixture(scope="session")
def connect(tmp_path_factory, environments):
    """A running local Connect; `connect.data` is where it keeps bundles."""
    data = tmp_path_factory.mktemp("data")
    with LocalConnect(data=data, environments=environments) as connect:
        connect.data = data
        connect.jose = connect.add_user("josé", ("équipe", "lecteurs"))
        yield connect


@pytest.fixture(scope="session")
def rsconnect(connect):
    """The client in a home of its own, which knows the server as `myserver`."""
    with private_client() as client:
        for command in console_commands("Deploy"):
            if command.startswith("rsconnect add"):
                client.run_command(command, connect.url, connect.api_key)
        yield client


@pytest.fixture
def visitor(connect):
    """An HTTP client without a key."""
    # verify: reading the certificates, which http does not need, takes longer than a test.
    with httpx.Client(base_url=connect.url, timeout=60, verify=False) as visitor:
        yield visitor


@pytest.fixture(scope="session")
def publisher(connect):
    """An HTTP client below /__api__/v1/, with the key."""
    headers = {"Authorization": f"Key {connect.api_key}"}
    base_url = f"{connect.url}/__api__/v1/"
    with httpx.Client(base_url=base_url, headers=headers, timeout=60) as publisher:
        yield publisher


@pytest.fixture
def content(publisher, request):
    """A new content item, deleted afterwards."""
    name = re.sub(r"[^\w.-]", "-", request.node.name, flags=re.ASCII)[:60]
    content = publisher.post("content", json={"name": name}).json()
    yield content
    publisher.delete(f"content/{content['guid']}")


@pytest.fixture
def own_echo(publisher, content):
    """The content, with the echo app deployed, for a test that changes it."""
    deploy(publisher, content, make_bundle({"app.py": ECHO}))
    return content


@pytest.fixture(scope="session")
def echo(publisher):
    """A content item with the echo app, which the tests only ask."""
    content = publisher.post("content", json={"name": "echo"}).json()
    deploy(publisher, content, make_bundle({"app.py": ECHO}))
    return content


def make_bundle(files, /, members=(), manifest=None, **changes):
    """A bundle's bytes: files by name, more tar members, changes to what the manifest says."""
    files = {"requirements.txt": "", **files}
    contents = {name: text.encode() for name, text in files.items()}
    sums = {
        name: {"checksum": hashlib.md5(c).hexdigest()} for name, c in contents.items()
    }
    says = {
        "version": 1,
        "metadata": {"appmode": "python-api", "entrypoint": "app:app"},
        "python": {
            "version": "3.11.0",
            "package_manager": {"name": "pip", "package_file": "requirements.txt"},
        },
        "files": sums,
        **changes,
    }
    contents["manifest.json"] = (manifest or json.dumps(says)).encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in members:
            tar.addfile(member, io.BytesIO(b"\0" * member.size))
    return archive.getvalue()


def deploy(publisher, content, bundle, **options):
    """Upload and deploy; return the bundle's id and the finished task."""
    url = f"content/{content['guid']}"
    uploaded = publisher.post(f"{url}/bundles", content=bundle)
    assert uploaded.status_code == 200, uploaded.text
    body = {"bundle_id": uploaded.json()["id"], **options}
    task_id = publisher.post(f"{url}/deploy", json=body).json()["task_id"]
    return uploaded.json()["id"], finished(publisher, task_id)


def finished(publisher, task_id):
    """Wait for a task; return its last report, with all of its output."""
    output, task = [], {"finished": False, "last": 0}
    while not task["finished"]:
        query = {"wait": 10, "first": task["last"]}
        task = publisher.get(f"tasks/{task_id}", params=query).json()
        output += task["output"]
    return {**task, "output": output}


def ask(visitor, content, path="/", **options):
    """What the echo app says."""
    response = visitor.get(content["content_url"].rstrip("/") + path, **options)
    assert response.status_code == 200, response.text
    return response.json()


def write_app(directory, app=ECHO, requirements=""):
    """A directory to deploy; return its path."""
    directory.mkdir(exist_ok=True)
    (directory / "app.py").write_text(app, encoding="utf-8")
    (directory / "requirements.txt").write_text(requirements, encoding="utf-8")
    return str(directory)


def by_title(publisher, title):
    """The content items with a title, oldest first."""
    return [item for item in publisher.get("content").json() if item["title"] == title]


# What the client does


def test_client_deploys_and_redeploys_the_same_content(
    rsconnect, publisher, visitor, tmp_path
):
    directory = write_app(tmp_path / "twice")
    command = ("deploy", "api", "-n", "myserver", "--entrypoint", "app:app", directory)
    assert "Direct content URL" in rsconnect.run(*command)
    (content,) = by_title(publisher, "twice")
    before = ask(visitor, content)
    write_app(tmp_path / "twice", ECHO.replace('VERSION = "1"', 'VERSION = "2"'))
    rsconnect.run(*command)
    assert [item["guid"] for item in by_title(publisher, "twice")] == [content["guid"]]
    after = ask(visitor, content)
    assert (before["version"], after["version"]) == ("1", "2")
    assert psutil.pid_exists(after["pid"]) and not psutil.pid_exists(before["pid"])

    rsconnect.run(*command[:2], "--new", *command[2:])
    first, second = by_title(publisher, "twice")
    assert (first["name"], second["name"]) == ("twice", "twice1")


def test_client_deploys_to_a_guid_with_variables(
    rsconnect, publisher, visitor, own_echo, tmp_path
):
    directory = write_app(tmp_path / "app")
    rsconnect.run(
        *("deploy", "api", "-n", "myserver", "--app-id", own_echo["guid"]),
        *("--no-verify", "-E", "GREETING=héllo", "-E", "EMPTY=", directory),
    )
    variables = ask(visitor, own_echo)["variables"]
    assert (variables["GREETING"], variables["EMPTY"]) == ("héllo", "")


def test_client_deploys_a_draft_that_visitors_do_not_see(
    rsconnect, publisher, visitor, own_echo, tmp_path
):
    directory = write_app(tmp_path / "app", ECHO.replace('"1"', '"draft"'))
    options = ("-n", "myserver", "--app-id", own_echo["guid"], "--draft")
    output = rsconnect.run("deploy", "api", *options, directory)
    assert ask(visitor, own_echo)["version"] == "1"
    (url,) = re.findall(r"Draft content URL: (\S+)", output)
    draft = visitor.get(url, follow_redirects=True).json()
    assert draft["version"] == "draft"
    assert re.search(r"/_bundle\d+$", draft["environ"]["SCRIPT_NAME"])


def test_client_deploys_with_metadata_as_a_multipart_upload(
    rsconnect, publisher, visitor, own_echo, tmp_path
):
    directory = write_app(tmp_path / "app", ECHO.replace('"1"', '"multipart"'))
    rsconnect.run(
        *("deploy", "api", "-n", "myserver", "--app-id", own_echo["guid"]),
        *("--metadata", "source=test", directory),
    )
    assert ask(visitor, own_echo)["version"] == "multipart"


def test_client_deploys_a_manifest(rsconnect, publisher, visitor, tmp_path):
    directory = write_app(tmp_path / "manifested")
    rsconnect.run("write-manifest", "api", "--entrypoint", "app:app", directory)
    manifest = f"{directory}/manifest.json"
    rsconnect.run("deploy", "manifest", "-n", "myserver", manifest)
    (content,) = by_title(publisher, "manifested")
    assert ask(visitor, content)["version"] == "1"


def test_client_searches_and_describes(rsconnect, echo):
    found = json.loads(rsconnect.run("content", "search", "-n", "myserver"))
    assert echo["guid"] in [item["guid"] for item in found]
    (described,) = json.loads(
        rsconnect.run("content", "describe", "-n", "myserver", "-g", echo["guid"])
    )
    assert described["name"] == echo["name"]


def test_client_is_told_of_a_wrong_key(rsconnect, connect):
    with pytest.raises(ClientError, match="API key is not valid"):
        rsconnect.run("add", "-n", "other", "-s", connect.url, "-k", "wrong")


@pytest.mark.parametrize(
    ("requirements", "entrypoint", "why"),
    [
        ("no-such-package-0q", "app:app", "no-such-package-0q was not found"),
        ("", "app:nope", "The entrypoint app:nope names an object"),
        ("", "gone:app", "No module named 'gone'"),
    ],
    ids=["broken requirements", "bad entrypoint", "missing module"],
)
def test_failed_deployment_leaves_what_serves(
    rsconnect, visitor, own_echo, tmp_path, requirements, entrypoint, why
):
    directory = write_app(tmp_path / "app", requirements=requirements)
    before = ask(visitor, own_echo)
    with pytest.raises(ClientError) as failure:
        rsconnect.run(
            *("deploy", "api", "-n", "myserver", "--app-id", own_echo["guid"]),
            *("--entrypoint", entrypoint, directory),
        )
    after = ask(visitor, own_echo)
    assert (after["version"], after["pid"]) == ("1", before["pid"])
    # A client that verifies drafts, as from 1.30 on, only names the log.
    told = failure.value.output
    told += "".join(visitor.get(url).text for url in re.findall(r"http\S+/logs", told))
    assert why in re.sub(r"\s+", " ", told)


def test_deployment_says_which_python_is_missing(publisher, visitor, content):
    requires = {"python": {"requires": ">=3.99"}}
    bundle = make_bundle({"app.py": ECHO}, environment=requires)
    _, task = deploy(publisher, content, bundle)
    assert task["code"] == 1
    assert re.match(r"No Python here meets >=3.99; there .*\d", task["output"][-1])
    assert visitor.get(content["content_url"]).status_code == 404


def test_older_python_is_found_when_the_constraint_wants_it(publisher, content):
    own = "{}.{}".format(*sys.version_info)
    found = subprocess.run(
        ["uv", "python", "list", "--only-installed", "--output-format", "json"],
        stdout=subprocess.PIPE,
        check=True,
    )
    others = {
        "{major}.{minor}".format(**item["version_parts"])
        for item in json.loads(found.stdout)
    } - {own}
    wanted = max(others, key=lambda v: int(v.partition(".")[2]), default=own)
    requires = {"python": {"requires": f"=={wanted}.*"}}
    _, task = deploy(
        publisher, content, make_bundle({"app.py": ECHO}, environment=requires)
    )
    assert task["code"] == 0, task["output"]
    record = publisher.get(f"content/{content['guid']}").json()
    assert record["py_version"].startswith(wanted + ".")


def test_environment_is_made_once_of_the_requirements_alone(tmp_path):
    """By two servers that need it at the same time."""
    bundle = make_bundle({"app.py": ECHO, "requirements.txt": "iniconfig"})
    manifest = bundles.unpack(io.BytesIO(bundle), tmp_path / "bundle")
    said = []
    with contextlib.closing(Children()) as children, ThreadPoolExecutor() as pool:
        servers = [
            Environments(tmp_path / "environments", children, ("waitress",))
            for _ in range(2)
        ]
        first, second = pool.map(
            lambda server: server.build(manifest, tmp_path / "bundle", said.append),
            servers,
        )
    assert first == second
    assert len([line for line in said if "again" in line]) == 1
    code = "from importlib.metadata import distributions as d; print(*(i.name for i in d()))"
    there = subprocess.check_output([first.python, "-c", code], encoding="utf-8")
    assert sorted(there.split()) == ["iniconfig", "waitress"]


# What the client reads: each shape with the function of its source that reads it


def test_settings_have_a_version_without_a_key(visitor):
    # RSConnectClient.server_version; server_supports_git_metadata wants > 2025.11.0
    assert visitor.get("/__api__/server_settings").json()["version"] == "2025.12.0"


def test_user_has_a_username(publisher):
    # RSConnectExecutor.api_username
    assert publisher.get("user").json()["username"] == "admin"


@pytest.mark.parametrize(
    "key", ["Key wrong", "Bearer x", ""], ids=["wrong", "bearer", "none"]
)
def test_without_a_valid_key_the_code_is_30(visitor, key):
    # verify_api_key_response
    response = visitor.get("/__api__/v1/user", headers={"Authorization": key})
    assert (response.status_code, response.json()["code"]) == (401, 30)


def test_content_has_what_a_deployment_reads(connect, publisher, content):
    # RSConnectClient.deploy: guid, id, title, content_url, dashboard_url
    guid = content["guid"]
    assert content["id"] == guid and content["title"] is None
    assert content["content_url"] == f"{connect.url}/content/{guid}/"
    assert content["dashboard_url"] == f"{connect.url}/connect/apps/{guid}"
    # RSConnectClient.get_content_by_id takes an id with a hyphen for a GUID
    assert "-" in content["id"]
    # RSConnectClient.content_update: an empty answer would be an error
    updated = publisher.patch(f"content/{guid}", json={"title": "A title"})
    assert updated.json()["title"] == "A title"
    # find_unique_name
    named = publisher.get("content", params={"name": content["name"]})
    assert [item["guid"] for item in named.json()] == [guid]
    assert publisher.get("content", params={"name": "nobody"}).json() == []
    # RSConnectClient.deploy: "Try setting the --new flag"
    assert publisher.get("content/00000000-0000").status_code == 404


def test_content_has_what_a_search_reads(publisher, echo):
    # actions_content._apply_content_filters and _order_content_results
    item = publisher.get(f"content/{echo['guid']}").json()
    assert item["app_mode"] == "python-api"
    assert item["bundle_id"].isdecimal()
    assert re.fullmatch(r"3\.\d+\.\d+", item["py_version"])
    for time in (item["created_time"], item["last_deployed_time"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time)


def test_task_has_what_waiting_reads(publisher, content):
    # RSConnectClient.wait_for_task: output from `first` on, last, finished, code, result, error
    requirements = {"requirements.txt": "no-such-package-0q", "app.py": ECHO}
    _, task = deploy(publisher, content, make_bundle(requirements))
    assert task["code"] == 1 and task["last"] == len(task["output"]) > 1
    assert task["result"]["type"] == "build-failed-error" and task["result"]["data"]
    assert not task["error"]
    rest = publisher.get(f"tasks/{task['id']}", params={"first": 1}).json()
    assert rest["output"] == task["output"][1:]


def test_error_has_a_message(publisher):
    # AbstractRemoteServer.handle_bad_response
    for method, path, status in [
        ("GET", "content/nothing/permissions", 501),
        ("POST", "user", 501),
        ("GET", "tasks/nothing", 404),
        ("POST", "content", 400),
    ]:
        response = publisher.request(method, path, content=b"{}")
        assert (response.status_code, bool(response.json()["error"])) == (status, True)


# What a bundle may do


def member(name, type=tarfile.REGTYPE, link="", size=0):
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = type, link, size
    return member


GOOD = {"app.py": ECHO}
GOOD_BUNDLE = make_bundle(GOOD)
SUMS = {
    name: {"checksum": hashlib.md5(text.encode()).hexdigest()}
    for name, text in {**GOOD, "requirements.txt": ""}.items()
}


HOSTILE = {
    "traversal": (make_bundle(GOOD, [member("../evil.py")]), "leads out"),
    "deep traversal": (make_bundle(GOOD, [member("a/../../evil.py")]), "leads out"),
    "absolute": (make_bundle(GOOD, [member("/tmp/evil.py")]), "leads out"),
    "symbolic link": (
        make_bundle(GOOD, [member("evil.py", tarfile.SYMTYPE, "/etc/passwd")]),
        "link or a device",
    ),
    "hard link": (
        make_bundle(GOOD, [member("evil.py", tarfile.LNKTYPE, "app.py")]),
        "link or a device",
    ),
    "device": (make_bundle(GOOD, [member("evil.py", tarfile.CHRTYPE)]), "device"),
    "fifo": (make_bundle(GOOD, [member("evil.py", tarfile.FIFOTYPE)]), "device"),
    "bomb": (make_bundle(GOOD, [member("evil.py", size=2**21)]), "unpacks to more"),
    "file as directory": (make_bundle(GOOD, [member("app.py/evil.py")]), "unpacked"),
    "twice": (make_bundle(GOOD, [member("app.py")]), "twice"),
    "truncated": (GOOD_BUNDLE[:-20], "not a whole"),
    "no archive": (b"hello", "not a whole"),
    "empty": (b"", "cannot be unpacked"),
    "other checksum": (
        make_bundle(GOOD, files={**SUMS, "app.py": {"checksum": "0" * 32}}),
        "another checksum for app.py",
    ),
    "missing file": (
        make_bundle(GOOD, files={**SUMS, "evil.py": {"checksum": "0" * 32}}),
        "does not have: evil.py",
    ),
    "file outside": (
        make_bundle(GOOD, files={**SUMS, "../evil.py": {"checksum": "0" * 32}}),
        "does not have: ../evil.py",
    ),
    "extra file": (make_bundle(GOOD, [member("evil.py")]), "does not list"),
    "other mode": (
        make_bundle(GOOD, metadata={"appmode": "static", "entrypoint": "app:app"}),
        "only 'python-api'",
    ),
    "no entrypoint": (
        make_bundle(GOOD, metadata={"appmode": "python-api"}),
        "'entrypoint'",
    ),
    "odd entrypoint": (
        make_bundle(GOOD, metadata={"appmode": "python-api", "entrypoint": "-m evil"}),
        "not MODULE:OBJECT",
    ),
    "odd constraint": (
        make_bundle(GOOD, environment={"python": {"requires": "/bin/evil"}}),
        "cannot be read",
    ),
    "not JSON": (make_bundle(GOOD, manifest="{"), "cannot be read"),
    "not an object": (make_bundle(GOOD, manifest="[[]]"), "cannot be read"),
}


@pytest.mark.parametrize(("bundle", "told"), HOSTILE.values(), ids=list(HOSTILE))
def test_bad_bundle_is_refused_and_leaves_nothing(
    connect, publisher, visitor, echo, monkeypatch, bundle, told
):
    monkeypatch.setattr(bundles, "MAX_UNPACKED", 2**20)
    before = sorted(connect.data.parent.rglob("*"))
    response = publisher.post(f"content/{echo['guid']}/bundles", content=bundle)
    assert response.status_code == 400, response.text
    assert told in response.json()["error"]
    assert sorted(connect.data.parent.rglob("*")) == before
    assert not Path("/tmp/evil.py").exists()
    assert ask(visitor, echo)["version"] == "1"


def test_oversized_upload_is_refused(connect, publisher, content):
    chunk = b"\0" * 2**20
    chunks = (chunk for _ in range(bundles.MAX_UPLOAD // len(chunk) + 1))
    response = publisher.post(f"content/{content['guid']}/bundles", content=chunks)
    assert response.status_code == 413 and response.json()["error"]
    assert not list((connect.data / "contents" / content["guid"]).iterdir())


def test_broken_off_upload_leaves_nothing(connect, publisher, visitor, content):
    before = sorted((connect.data / "contents").rglob("*"))
    with socket.create_connection(("127.0.0.1", httpx.URL(connect.url).port)) as upload:
        upload.sendall(
            f"POST /__api__/v1/content/{content['guid']}/bundles HTTP/1.1\r\n"
            f"Host: localhost\r\nAuthorization: Key {connect.api_key}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n1000\r\nabc".encode()
        )
        upload.shutdown(socket.SHUT_WR)
        assert upload.recv(1) == b""
    assert sorted((connect.data / "contents").rglob("*")) == before


# What visitors meet


@pytest.mark.parametrize(
    "name",
    [
        "RStudio-Connect-Credentials",
        "rstudio-connect-credentials",
        "RSTUDIO_CONNECT_CREDENTIALS",
        "RStudio_Connect-Credentials",
        "RStudio-Connect_Credentials",
    ],
)
def test_forged_credentials_do_not_reach_the_app(connect, visitor, echo, name):
    forged = [(name, '{"user": "root"}'), (name, '{"user": "admin"}')]
    told = ask(visitor, echo, headers=forged)["environ"]
    assert "HTTP_RSTUDIO_CONNECT_CREDENTIALS" not in told
    key = [("Authorization", f"Key {connect.jose}")]
    told = ask(visitor, echo, headers=forged + key)["environ"]
    # WSGI gives the header's bytes as Latin-1, PEP 3333.
    credentials = told["HTTP_RSTUDIO_CONNECT_CREDENTIALS"].encode("latin-1")
    assert json.loads(credentials) == {"user": "josé", "groups": ["équipe", "lecteurs"]}
    assert "é".encode() in credentials


def test_keys_and_sessions_do_not_reach_the_app(connect, visitor, echo):
    cookie = f"a=b; connect-{httpx.URL(connect.url).port}=secret; c=d"
    key = f"Key {connect.api_key}"
    told = ask(visitor, echo, headers={"Authorization": key, "Cookie": cookie})
    assert "HTTP_AUTHORIZATION" not in told["environ"]
    assert told["environ"]["HTTP_COOKIE"] == "a=b; c=d"
    assert connect.api_key not in json.dumps(told)
    told = ask(visitor, echo, headers={"Authorization": "Bearer its-own"})
    assert told["environ"]["HTTP_AUTHORIZATION"] == "Bearer its-own"
    wrong = visitor.get(echo["content_url"], headers={"Authorization": "Key wrong"})
    assert wrong.status_code == 401


def test_signed_in_browser_is_known_to_content(connect, visitor, echo):
    form = {"user": "josé"}
    foreign = visitor.post("/sign-in", data=form, headers={"Origin": "http://evil"})
    assert foreign.status_code == visitor.post("/sign-in", data=form).status_code == 403
    ours = {"Origin": connect.url}
    cookie = visitor.post("/sign-in", data=form, headers=ours).headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    told = ask(visitor, echo)["environ"]
    assert "josÃ©" in told["HTTP_RSTUDIO_CONNECT_CREDENTIALS"]
    assert "josé" in visitor.get("/").text
    # It is for content only: a page of an app must not deploy.
    assert visitor.get("/__api__/v1/user").status_code == 401
    session = dict(visitor.cookies)
    visitor.post("/sign-out", headers=ours)
    assert "HTTP_RSTUDIO_CONNECT_CREDENTIALS" not in ask(visitor, echo)["environ"]
    visitor.cookies.update(session)
    assert "HTTP_RSTUDIO_CONNECT_CREDENTIALS" not in ask(visitor, echo)["environ"]


def test_app_runs_as_on_connect(connect, publisher, visitor, own_echo):
    told = ask(visitor, own_echo)
    variables = told["variables"]
    assert variables["POSIT_PRODUCT"] == variables["RSTUDIO_PRODUCT"] == "CONNECT"
    assert variables["CONNECT_CONTENT_GUID"] == own_echo["guid"]
    assert variables["CONNECT_SERVER"] == f"{connect.url}/"
    assert variables["LANG"] == "C.UTF-8"
    assert told["files"][-3:] == ["app.py", "manifest.json", "requirements.txt"]
    key = {"Authorization": f"Key {variables['CONNECT_API_KEY']}"}
    assert visitor.get("/__api__/v1/user", headers=key).json()["username"] == "admin"
    publisher.delete(f"content/{own_echo['guid']}")
    assert visitor.get("/__api__/v1/user", headers=key).status_code == 401


def test_both_mounts_lead_to_one_process(publisher, visitor, own_echo):
    url = f"content/{own_echo['guid']}/vanity"
    assert publisher.put(url, json={"path": "/team/echo/"}).status_code == 200
    mount = f"/content/{own_echo['guid']}"
    told = [visitor.get(f"{m}/a").json() for m in (mount, "/team/echo") * 2]
    names = [t["environ"]["SCRIPT_NAME"] for t in told]
    assert names == [mount, "/team/echo"] * 2
    assert {t["environ"]["PATH_INFO"] for t in told} == {"/a"}
    assert len({t["pid"] for t in told}) == 1
    moved = visitor.get("/team/echo?a=b")
    assert (moved.status_code, moved.headers["location"]) == (307, "/team/echo/?a=b")
    for path in (
        "/content/x/",
        "/__api__/",
        "/",
        "/team",
        "/team/echo/more/",
        "/a/../b",
    ):
        other = publisher.post("content", json={"name": "other"}).json()["guid"]
        refused = publisher.put(f"content/{other}/vanity", json={"path": path})
        publisher.delete(f"content/{other}")
        assert refused.status_code in (400, 409), path
    publisher.delete(url)
    assert visitor.get("/team/echo/").status_code == 404


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a%25b/%2F/%C3%A9?x=%2F&y=%25", "/a%b///é"),
        ("/a\x01b?q=\x7f", "/a\x01b"),
        ("/%61//b;c/../d%3F", "/a//b;c/../d?"),
        ("/%FF", None),
    ],
)
def test_target_reaches_the_app_as_it_was_sent(connect, echo, target, path):
    sent = f"/content/{echo['guid']}{target}"
    escaped = sent.replace("\x01", "%01").replace("\x7f", "%7F")
    with socket.create_connection(("127.0.0.1", httpx.URL(connect.url).port)) as raw:
        raw.sendall(
            f"GET {sent} HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\n\r\n".encode()
        )
        response = http.client.HTTPResponse(raw)
        response.begin()
        told = json.load(response)["environ"]
    if path is not None:
        assert told["PATH_INFO"].encode("latin-1").decode() == path
    assert told["QUERY_STRING"] == escaped.partition("?")[2]
    assert told["REQUEST_URI"] == escaped
    assert told["HTTP_HOST"] == told["HTTP_X_FORWARDED_HOST"] == "h:1"


def test_request_and_answer_pass_whole(visitor, echo):
    url = echo["content_url"]
    chunks = (b"ab" * 2**15 for _ in range(4))
    told = visitor.post(url, content=chunks).json()
    assert told["body"] == "ab" * 2**17
    hop = {"Connection": "X-Hop", "X-Hop": "1", "X-End": "2", "X-Forwarded-For": "evil"}
    told = visitor.put(url, content=b"body", headers=hop).json()
    assert (told["body"], told["environ"]["REQUEST_METHOD"]) == ("body", "PUT")
    assert told["environ"]["HTTP_X_END"] == "2"
    assert "HTTP_X_HOP" not in told["environ"]
    assert told["environ"]["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    head = visitor.head(url)
    assert int(head.headers["content-length"]) > 100 and head.content == b""
    assert visitor.get(f"{url}big").content == b"x" * 2**24
    moved = visitor.get(f"{url}moved")
    assert moved.headers["location"] == f"/content/{echo['guid']}/here"
    assert moved.headers.get_list("set-cookie") == ["a=1", "b=2"]


def test_unsafe_requests_do_not_pile_up_connections(visitor, echo):
    for _ in range(CONNECTIONS + 5):
        assert visitor.post(echo["content_url"]).status_code == 200
    app = psutil.Process(ask(visitor, echo)["pid"])
    states = [connection.status for connection in app.net_connections("tcp")]
    assert 0 < states.count(psutil.CONN_ESTABLISHED) <= CONNECTIONS


def test_answer_is_passed_on_as_it_comes(visitor, echo):
    with visitor.stream("GET", f"{echo['content_url']}stream") as response:
        parts = response.iter_raw()
        assert next(parts) == b"first"
        ask(visitor, echo, "/go-on")
        assert b"".join(parts) == b"second"


def test_dead_app_is_reported_and_started_again(visitor, own_echo):
    before = ask(visitor, own_echo)
    dead = visitor.get(f"{own_echo['content_url']}crash")
    assert dead.status_code == 502
    (log,) = re.findall(r"http\S+/logs", dead.text)
    assert "was asked for /" in visitor.get(log).text
    after = ask(visitor, own_echo)
    assert after["pid"] != before["pid"]
    os.kill(after["pid"], signal.SIGKILL)
    psutil.wait_procs(
        [psutil.Process(after["pid"])] if psutil.pid_exists(after["pid"]) else []
    )
    assert ask(visitor, own_echo)["pid"] != after["pid"]


def test_log_is_where_the_client_says(visitor, echo):
    ask(visitor, echo, "/marked")
    log = visitor.get(f"{echo['dashboard_url']}/logs")
    assert log.headers["content-type"] == "text/plain; charset=utf-8"
    assert "was asked for /marked" in log.text
    assert "is active" in log.text


def test_deleted_content_is_gone(connect, publisher, visitor, own_echo):
    pid = ask(visitor, own_echo)["pid"]
    assert publisher.delete(f"content/{own_echo['guid']}").status_code == 204
    assert not psutil.pid_exists(pid)
    assert visitor.get(own_echo["content_url"]).status_code == 404
    assert publisher.get(f"content/{own_echo['guid']}").status_code == 404
    assert not (connect.data / "contents" / own_echo["guid"]).exists()


def test_replaced_app_answers_what_it_was_asked(publisher, visitor, own_echo, tmp_path):
    os.mkfifo(tmp_path / "hold")
    old, answers = ask(visitor, own_echo)["pid"], []
    url = f"/hold?{tmp_path}/hold"
    asking = threading.Thread(
        target=lambda: answers.append(ask(visitor, own_echo, url))
    )
    asking.start()
    with open(tmp_path / "hold", "wb"):  # opens once the app reads
        new = make_bundle({"app.py": ECHO.replace('"1"', '"2"')})
        deploy(publisher, own_echo, new)
        assert ask(visitor, own_echo)["version"] == "2"
        assert psutil.pid_exists(old)
    asking.join()
    assert [answer["version"] for answer in answers] == ["1"]
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(old).wait(timeout=10)


def test_index_links_what_is_deployed(visitor, publisher, own_echo):
    publisher.patch(f"content/{own_echo['guid']}", json={"title": "<b>Echo</b>"})
    page = visitor.get("/").text
    assert "&lt;b&gt;Echo&lt;/b&gt;" in page and "<b>Echo" not in page
    assert f'href="/content/{own_echo["guid"]}/"' in page
    assert "running" in page and "Sign in as admin" in page


# Load and end


def test_no_request_fails_while_a_content_is_redeployed(connect, publisher, tmp_path):
    greetings = json.loads(CANONICAL.read_text(encoding="utf-8"))
    contents = {}
    for example in EXAMPLES:
        name = f"load-{example.id}"
        contents[example] = publisher.post("content", json={"name": name}).json()
        deploy(publisher, contents[example], example_bundle(example))
    redeployed = EXAMPLES[-1]
    url = f"content/{contents[redeployed]['guid']}"
    bundle = example_bundle(redeployed)
    uploads = [publisher.post(f"{url}/bundles", content=bundle) for _ in range(5)]
    ids = [uploaded.json()["id"] for uploaded in uploads]
    codes = []

    def redeploy():
        for bundle_id in ids:
            body = {"bundle_id": bundle_id}
            task = publisher.post(f"{url}/deploy", json=body).json()
            codes.append(finished(publisher, task["task_id"])["code"])

    wrong, together = [], threading.Barrier(201)

    def visit(number):
        example = EXAMPLES[number % len(EXAMPLES)]
        lang = sorted(greetings)[number % len(greetings)]
        mount = httpx.URL(contents[example]["content_url"]).path.rstrip("/")
        right = (200, {"lang": lang, "text": greetings[lang]})
        # Not httpx, which with 200 connections is slower than the server.
        visitor = http.client.HTTPConnection(httpx.URL(connect.url).netloc.decode())
        together.wait()
        while redeploying.is_alive():
            visitor.request("GET", mount + example.item_url.format(lang=lang))
            response = visitor.getresponse()
            told = (response.status, json.load(response))
            if told != right:
                wrong.append((example.id, told))
        visitor.close()

    redeploying = threading.Thread(target=redeploy)
    with ThreadPoolExecutor(200) as visitors:
        visits = [visitors.submit(visit, number) for number in range(200)]
        redeploying.start()
        together.wait()
    failures = [visit.exception() for visit in visits if visit.exception()]
    after = publisher.get(f"content/{contents[redeployed]['guid']}").json()
    for content in contents.values():
        publisher.delete(f"content/{content['guid']}")
    assert (wrong, failures) == ([], [])
    assert codes == [0] * 5 and after["bundle_id"] == ids[-1]


def example_bundle(example):
    """An example's files as a bundle, made without the client."""
    paths = [path for path in example.path.rglob("*") if path.is_file()]
    names = {path.relative_to(example.path).as_posix(): path for path in paths}
    texts = {
        name: path.read_text(encoding="utf-8")
        for name, path in names.items()
        if "__pycache__" not in name and name != "manifest.json"
    }
    return make_bundle(texts)


@contextlib.contextmanager
def serving(*arguments):
    """`python -m shared.serve`, whatever happens ended with the block; its output can be read."""
    process = subprocess.Popen(
        [sys.executable, "-m", "shared.serve", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env={**os.environ, "CONNECT_API_KEY": "a-key-of-ours"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def descendants(process):
    return psutil.Process(process.pid).children(recursive=True)


def test_served_examples_all_answer_until_sigterm(environments):
    with serving("--port", 0, "--environments", environments) as process:
        lines = list(
            iter(lambda: process.stdout.readline().rstrip(), "Ctrl-C stops it.")
        )
        urls = re.findall(r"http://\S+", "\n".join(lines))
        for example in EXAMPLES:
            assert any(re.match(f"{example.id} .*http", line) for line in lines), lines
        assert len(urls) >= len(EXAMPLES) + 3
        for url in urls:
            assert httpx.get(url).status_code == 200, url
        assert "a-key-of-ours" not in "\n".join(lines)
        children = descendants(process)
        assert len(children) == len(EXAMPLES)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        assert "Traceback" not in process.stdout.read()
        assert psutil.wait_procs(children, timeout=0)[1] == []


def test_nothing_survives_a_kill_between_deployments(environments):
    with serving("--port", 0, "--environments", environments) as process:
        while "is up" not in (line := process.stdout.readline()):
            assert line, "it ended"
        children = descendants(process)
        assert len(children) > 2  # clients and an app
        process.kill()
        assert psutil.wait_procs(children, timeout=10)[1] == []


SERVER = "import sys; from shared.connect.server import LocalConnect; c = LocalConnect(api_key='k')"
SERVER += "; print(c.url, flush=True); sys.stdin.read()"
SLOW_BUILD = "import os, time; open({!r}, 'w').write(str(os.getpid())); time.sleep(600)"


def test_nothing_survives_a_kill_during_a_build(tmp_path):
    os.mkfifo(tmp_path / "building")
    files = {
        "app.py": ECHO,
        "requirements.txt": "./slow",
        "slow/setup.py": SLOW_BUILD.format(str(tmp_path / "building")),
    }
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        try:
            url = process.stdout.readline().strip() + "/__api__/v1/content"
            with httpx.Client(headers={"Authorization": "Key k"}) as publisher:
                guid = publisher.post(url, json={"name": "slow"}).json()["guid"]
                bundle = make_bundle(files)
                upload = publisher.post(f"{url}/{guid}/bundles", content=bundle)
                body = {"bundle_id": upload.json()["id"]}
                publisher.post(f"{url}/{guid}/deploy", json=body)
            building = int((tmp_path / "building").read_text("ascii"))
            children = descendants(process)
            assert building in [child.pid for child in children]
        finally:
            process.kill()
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_port_in_use_is_one_clear_line(connect):
    port = httpx.URL(connect.url).port
    with serving("--port", port) as process:
        output = process.communicate(timeout=30)[0]
    assert process.returncode == 1
    assert re.fullmatch(rf"Cannot listen on port {port} \(.+\): choose .*\n", output)


def test_failed_deployment_ends_serving_with_one_clear_line(environments, monkeypatch):
    broken = [
        command.replace("app:app", "app:nope") for command in console_commands("Deploy")
    ]
    monkeypatch.setattr(serve, "console_commands", lambda heading: broken)
    server = LocalConnect(environments=environments)
    with server as connect, pytest.raises(SystemExit) as end:
        serve.deploy(connect)
    assert re.fullmatch(
        r"\S+-example could not be deployed: .*app:nope.*", str(end.value)
    )


def test_console_commands_are_those_below_the_heading(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(
        "# A\n```console\n$ no\n```\n## Deploy\n```console\n$ one\nanswer\n# comment\n"
        "$ two \\\n  --more\n```\n### Below\n```console\n$ three\n```\n"
        "```python\n$ no\n```\n## B\n```console\n$ no\n```\n",
        encoding="utf-8",
    )
    assert console_commands("Deploy", readme) == ["one", "two --more", "three"]
    with pytest.raises(LookupError):
        console_commands("Nothing", readme)
