"""Bundles, deployments and requests of the tests of the local Connect."""

import contextlib
import io
import json
import re
import secrets
import tarfile
import time
from pathlib import Path

import httpx

from shared.harness import NAMED_SERVER
from shared.harness.client import ClientError
from shared.harness.loopback import CONTEXT
from shared.harness.servers import GUID

ECHO = Path(__file__).with_name("echo_app.py").read_text(encoding="utf-8")


def key_client(server, name, path="/"):
    """An HTTP client with the key of a user, below a path; on a named server of `admin` only."""
    key = server.api_key if name == "admin" else server.users.by_name[name].key
    headers = {"Authorization": f"Key {key}"}
    return httpx.Client(base_url=server.url + path, headers=headers, timeout=60, verify=CONTEXT)


@contextlib.contextmanager
def cleaning_up(client):
    """Give an HTTP client, and delete at the end what content it has created."""
    created = []

    def note(response):
        if response.request.method == "POST" and response.url.path.endswith("/v1/content"):
            guid = json.loads(response.read()).get("guid")
            created.extend([f"{response.url}/{guid}"] if guid else [])

    client.event_hooks = {"response": [note]}
    with client:
        yield client
        for url in created:
            client.delete(url)


class DeployingClient:
    """The rsconnect client, with the GUIDs of the content that it has deployed."""

    def __init__(self, client):
        self.root, self._client, self.deployed = client.root, client, set()

    def run(self, *arguments):
        """Return what `rsconnect ARGUMENTS` prints; raises ClientError."""
        printed = ""
        try:
            printed = self._client.run(*arguments)
        except ClientError as error:
            printed = error.output  # a deployment that fails leaves content, too
            raise
        finally:
            self.deployed |= set(re.findall(rf"/(?:content|apps)/({GUID.pattern})", printed))
        return printed


def echo_source(version):
    """The source of the echo app, which tells this version."""
    return ECHO.replace('VERSION = "1"', f'VERSION = "{version}"')


def make_bundle(files=None, members=(), entrypoint="app:app", **changes):
    """The bytes of a bundle: files by name, more members of the archive, changes to the manifest."""
    files = {"requirements.txt": "", "app.py": ECHO, **(files or {})}
    python = {
        "version": "3.11.0",
        "package_manager": {"name": "pip", "package_file": "requirements.txt"},
    }
    manifest = {
        "version": 1,
        "metadata": {"appmode": "python-api", "entrypoint": entrypoint},
        "python": python,
        "files": {name: {"checksum": ""} for name in files},
        **changes,
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, text in {"manifest.json": json.dumps(manifest), **files}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
        for member in members:
            tar.addfile(member)
    return archive.getvalue()


def example_bundle(example):
    """The bytes of a bundle of an example, made without the client."""
    names = json.loads((example.path / "manifest.json").read_text(encoding="utf-8"))["files"]
    return make_bundle({name: (example.path / name).read_text(encoding="utf-8") for name in names})


def deploy_bundle(api, content, bundle, **options):
    """Upload a bundle and deploy it; return its id, and the last report of the task."""
    url = f"content/{content['guid']}"
    uploaded = api.post(f"{url}/bundles", content=bundle)
    assert uploaded.is_success, uploaded.text
    body = {"bundle_id": uploaded.json()["id"], **options}
    task = api.post(f"{url}/deploy", json=body).json()["task_id"]
    return uploaded.json()["id"], follow_task(api, task)


def unique(name):
    """A name that the user of a named server does not have yet."""
    return f"{name}-{secrets.token_hex(4)}"


def follow_task(api, task_id):
    """Wait for a task; return its last report, with all of its output."""
    output, task = [], {"finished": False, "last": 0}
    while not task["finished"]:
        query = {"wait": 10, "first": task["last"]}
        task = api.get(f"tasks/{task_id}", params=query).json()
        output += task["output"]
    return {**task, "output": output}


def ask_echo(client, content, path="", **options):
    """What the echo app tells of a request."""
    response = client.get(content["content_url"] + path, **options)
    assert response.status_code == 200, response.text
    return response.json()


def problem(response):
    """The status and the code of a refusal, which has a line that says why."""
    request = f"{response.request.method} {response.request.url.raw_path.decode()}"
    message = f"{request} got {response.status_code}: {response.text[:200]}"
    assert response.is_error and response.headers["Content-Type"] == "application/json", message
    error = response.json()["error"]
    assert error and "\n" not in error, message
    return response.status_code, response.json()["code"]


def linked_from(client, url):
    """Where the element of the index leads that a dashboard's URL names; without scripts."""
    page, _, fragment = url.partition("#")
    return re.search(f'id="{fragment}" href="([^"]+)"', client.get(page).text)[1]


def read_log(client, content, wanted=""):
    """The log of a content, from the URL that the client prints, once it has a wanted text.

    Only a local Connect has that page; on a named server, the logs of all jobs.
    """
    if NAMED_SERVER:

        def read():
            return logs_of_jobs(client, content)

    else:
        url = linked_from(client, f"{content['dashboard_url']}/logs")

        def read():
            return client.get(url).text

    began, log = time.monotonic(), read()
    while wanted not in log:
        assert time.monotonic() < began + 30, f"{wanted!r} is not in the log:\n{log}"
        log = read()
    return log


def logs_of_jobs(client, content):
    """The lines of the logs of all jobs of a content."""
    jobs = f"/__api__/v1/content/{content['guid']}/jobs"
    logs = [client.get(f"{jobs}/{job['key']}/log").json() for job in client.get(jobs).json()]
    return "\n".join(entry["data"] for log in logs for entry in log["entries"] or ())


def write_app(directory, app=ECHO, requirements=""):
    """Write a directory for the client to deploy; return its path."""
    directory.mkdir(exist_ok=True)
    (directory / "app.py").write_text(app, encoding="utf-8")
    (directory / "requirements.txt").write_text(requirements, encoding="utf-8")
    return str(directory)
