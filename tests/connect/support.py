"""Bundles, deployments and requests of the tests of the local Connect."""

import io
import json
import re
import secrets
import tarfile
import time
from pathlib import Path

import httpx

from shared.harness.loopback import CONTEXT

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}  # as a browser sends it
ECHO = Path(__file__).with_name("echo_app.py").read_text(encoding="utf-8")


def key_client(server, name, path="/"):
    """An HTTP client with the key of a user, below a path."""
    key = server.api_key if name == "admin" else server.users.by_name[name].key
    headers = {"Authorization": f"Key {key}"}
    return httpx.Client(base_url=server.url + path, headers=headers, timeout=60, verify=CONTEXT)


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
    return make_archive({"manifest.json": json.dumps(manifest), **files}, members)


def package(prefix, backend):
    """The files of a package in a bundle, with a build backend of its own."""
    system = 'requires = [], build-backend = "backend", backend-path = ["."]'
    project = f"build-system = {{ {system} }}\n"
    return {f"{prefix}pyproject.toml": project, f"{prefix}backend.py": backend}


def make_archive(files, members=()):
    """The bytes of a .tar.gz: files by name, and more members."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
        for member in members:
            tar.addfile(member)
    return archive.getvalue()


def start_deployment(api, content, bundle, **options):
    """Upload a bundle and start its deployment; return its id, and the id of the task."""
    url = f"content/{content['guid']}"
    uploaded = api.post(f"{url}/bundles", content=bundle)
    assert uploaded.is_success, uploaded.text
    body = {"bundle_id": uploaded.json()["id"], **options}
    return uploaded.json()["id"], api.post(f"{url}/deploy", json=body).json()["task_id"]


def deploy_bundle(api, content, bundle, **options):
    """Upload a bundle and deploy it; return its id, and the last report of the task."""
    uploaded, task = start_deployment(api, content, bundle, **options)
    return uploaded, follow_task(api, task)


def unique(name):
    """A name that no other test uses."""
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


def credentials_of(echoed):
    """The value of the header that tells the app of a visitor, None without one."""
    header = echoed["environ"].get("HTTP_RSTUDIO_CONNECT_CREDENTIALS")
    # WSGI decodes the header's bytes as Latin-1, PEP 3333.
    return header and json.loads(header.encode("latin-1"))


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


def read_log(client, content, text=""):
    """The log of a content, from the URL that the client prints, once it has a text."""
    url = linked_from(client, f"{content['dashboard_url']}/logs")
    began, log = time.monotonic(), client.get(url).text
    while text not in log:
        assert time.monotonic() < began + 60, f"{text!r} is not in the log:\n{log}"
        log = client.get(url).text
    return log


def write_app(directory, app=ECHO, requirements=""):
    """Write a directory for the client to deploy; return its path."""
    directory.mkdir(exist_ok=True)
    (directory / "app.py").write_text(app, encoding="utf-8")
    (directory / "requirements.txt").write_text(requirements, encoding="utf-8")
    return str(directory)
