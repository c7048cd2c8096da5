"""What a copy that takes files keeps and sends."""

import errno
import os
import shutil

import httpx
import pytest
from werkzeug.datastructures import FileStorage

from shared.harness.thread import load, serving

TITLE = "Take and send files"


@pytest.fixture
def files(cook):
    """An HTTP client of a copy that takes files, and the directory where they go."""
    copy = cook(TITLE).copy
    base = "http://127.0.0.1:{}/files"
    with (
        serving(load(copy)) as port,
        httpx.Client(base_url=base.format(port), timeout=60) as client,
    ):
        yield client, copy.parent / "files"


def upload(client, name, content=b"Hello"):
    return client.post("/", files={"file": (name, content)})


def test_file_comes_back_byte_for_byte(files):
    """flask-restplus#576, #159, flasgger#131, swagger-ui#1605."""
    client, directory = files
    content = bytes(range(256)) * 4000  # more than the 500 kB of a form's other fields
    names = {"../../app.py": "app.py", "Grüße an.txt": "Grue_an.txt"}
    names[f"{'long' * 100}.csv"] = f"{'long' * 24}.csv"
    for name, stored in names.items():
        answer = upload(client, name, content)
        assert (answer.status_code, answer.json()) == (201, {"name": stored})
        answer = client.get(stored)
        assert answer.content == content
        assert answer.headers["Content-Disposition"].startswith("attachment")
    assert {path.name for path in directory.iterdir()} == set(names.values())


def test_file_without_a_name_is_not_stored(files):
    client, directory = files
    answers = {name: upload(client, name) for name in ("你好", "..", "")}
    answers["JSON"] = client.post("/", json={"file": "x"})
    answers["a text"] = client.post("/", data={"file": "x"})
    for what, answer in answers.items():
        assert (answer.status_code, "file" in answer.text) == (400, True), what
        assert "message" in answer.json(), what
    assert list(directory.iterdir()) == []


def test_file_that_is_there_stays(files):
    client, directory = files
    for content, code in [(b"", 201), (b"new", 409)]:
        assert upload(client, "empty.txt", content).status_code == code
    assert client.get("empty.txt").content == b""
    (directory.parent / "secret").touch()
    for path in ("other.txt", "..%2fsecret"):
        assert client.get(path).status_code == 404, path


def test_file_that_is_not_stored_whole_is_deleted(files, monkeypatch):
    client, directory = files

    def save(self, stored):
        stored.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(FileStorage, "save", save)
        answer = upload(client, "a.txt")
    message = {"message": "a.txt was not stored: No space left on device."}
    assert (answer.status_code, answer.json()) == (507, message)
    assert list(directory.iterdir()) == []
    assert upload(client, "a.txt").status_code == 201
    shutil.rmtree(directory)
    message = {"message": "b.txt was not stored: No such file or directory."}
    assert upload(client, "b.txt").json() == message
