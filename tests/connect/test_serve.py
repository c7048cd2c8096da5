"""The commands that serve: they start, stop at Ctrl-C, and say in one line what is wrong."""

import contextlib
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys

import httpx
import psutil
import pytest

from shared.catalogue import EXAMPLES, ROOT
from shared.connect.server import CannotStart, LocalConnect
from tests.connect.support import ask, deploy, make_bundle

pytestmark = pytest.mark.local
SERVE = ["-m", "shared.commands.serve", "--port", "0"]
SERVER = ["-m", "shared.connect", "--port", "0"]


@pytest.fixture
def start(tmp_path):
    """Starts `python ARGUMENTS` in a terminal with a temporary directory of its own.

    The process has `lines`, an iterator over its output.
    """
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    # As behind a company's proxy; nothing listens here, so a request to it fails.
    variables = {"CONNECT_API_KEY": "the-key", "HTTP_PROXY": "http://127.0.0.1:9"}
    variables |= {"NO_PROXY": "", "no_proxy": ""}
    with contextlib.ExitStack() as stack:

        def start(*arguments, cwd=ROOT):
            ours, theirs = pty.openpty()
            process = subprocess.Popen(
                [sys.executable, *map(str, arguments)],
                **{"stdin": theirs, "stdout": theirs, "stderr": theirs, "cwd": cwd},
                env={**os.environ, **variables, "TMPDIR": str(temporary)},
                start_new_session=True,
            )
            os.close(theirs)
            process.lines = lines_of(ours)
            process.temporary = temporary
            stack.callback(process.lines.close)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield start


def lines_of(terminal):
    """Yield the lines of a terminal until its processes have closed it."""
    with (
        open(terminal, encoding="utf-8", newline="\r\n") as file,
        contextlib.suppress(OSError),  # EIO at the end, on Linux
    ):
        yield from (line.rstrip() for line in file)


def descendants(process):
    return psutil.Process(process.pid).children(recursive=True)


def interrupt(process):
    """Do what a terminal and tox do at Ctrl-C; return the rest of the output.

    The terminal and tox send SIGINT, and tox sends SIGTERM when that takes long.
    """
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
    return list(process.lines)


def check_stopped(process, rest, children=()):
    assert process.wait(timeout=20) == 0, rest
    assert rest[-1] == "Stopped." and "Traceback" not in "\n".join(rest), "\n".join(rest)
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert list(process.temporary.iterdir()) == []


def until(process, text):
    """The lines up to the one that has this text."""
    seen = [next(process.lines)]
    while text not in seen[-1]:
        seen.append(next(process.lines))
    return seen


def test_served_examples_answer_until_ctrl_c(start, environments):
    process = start(*SERVE, "--environments", environments)
    lines = until(process, "Ctrl-C stops it.")
    assert max(map(len, lines)) < 100
    urls = re.findall(r"http://\S+", "\n".join(lines))
    for example in EXAMPLES:
        for _, path in example.links:
            assert any(url.endswith(f"/{example.directory}{path}") for url in urls)
    for url in urls:
        assert httpx.get(url, verify=False).status_code == 200, url
    assert "the-key" not in "\n".join(lines)
    children = descendants(process)
    check_stopped(process, interrupt(process), children)


def test_ctrl_c_during_the_deployments(start, environments):
    process = start(*SERVE, "--environments", environments)
    until(process, "is up")
    children = descendants(process)
    assert len(children) > 2  # clients and an app
    check_stopped(process, interrupt(process), children)


@pytest.mark.parametrize("module", [SERVE, SERVER], ids=["serve", "connect"])
def test_ctrl_c_during_the_imports(start, module):
    """As soon as Python has read the first module."""
    process = start("-X", "importtime", *module)
    until(process, "shared.connect.stopping")
    check_stopped(process, interrupt(process))


def test_server_without_options_takes_a_directory(start):
    process = start(*SERVER)
    lines = until(process, "Ctrl-C stops it.")
    url = re.search(r"http://\S+", lines[0])[0]
    assert "Nothing is deployed yet" in httpx.get(url, verify=False).text
    check_stopped(process, interrupt(process))


def test_help_of_the_server(start):
    told = "\n".join(start(*SERVER, "--help").lines)
    assert "--port" in told and "--environments" in told


SLOW_BUILD = (
    "import os, threading; open({!r}, 'w').write(str(os.getpid())); threading.Event().wait()"
)


def test_nothing_survives_a_kill(start, environments, tmp_path):
    """Neither an app, nor a build and what that has started."""
    os.mkfifo(tmp_path / "building")
    setup = SLOW_BUILD.format(str(tmp_path / "building"))
    bundle = make_bundle({"requirements.txt": "./slow", "slow/setup.py": setup})
    process = start(*SERVER, "--environments", environments)
    url = re.search(r"http://\S+/", until(process, "Local Connect")[0])[0] + "__api__/v1/"
    headers = {"Authorization": "Key the-key"}
    with httpx.Client(base_url=url, headers=headers, verify=False) as publisher:
        echo = publisher.post("content", json={"name": "echo"}).json()
        deploy(publisher, echo, make_bundle())
        running = ask(publisher, echo)["pid"]
        slow = publisher.post("content", json={"name": "slow"}).json()["guid"]
        bundle_id = publisher.post(f"content/{slow}/bundles", content=bundle).json()["id"]
        publisher.post(f"content/{slow}/deploy", json={"bundle_id": bundle_id})
    building = int((tmp_path / "building").read_text(encoding="ascii"))
    children = descendants(process)
    assert {running, building} <= {child.pid for child in children}
    process.kill()
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_port_in_use_or_environments_in_a_file_is_one_line(start, server):
    for option, value in (("--port", server.port), ("--environments", __file__)):
        process = start(*SERVE, option, value)
        (line,) = process.lines
        assert str(value) in line and "Choose another --port, --environments" in line
        assert process.wait() == 1
        assert list(process.temporary.iterdir()) == []


def test_temporary_directory_that_takes_no_files_is_one_line(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/proc")
    with pytest.raises(CannotStart, match=r"/proc/.*TMPDIR"):
        LocalConnect()


def test_failed_deployment_ends_with_one_line(start, environments, tmp_path):
    copy = tmp_path / "copy"
    for path in (ROOT / "shared", *(example.path for example in EXAMPLES)):
        shutil.copytree(path, copy / path.name, ignore=shutil.ignore_patterns("__pycache__"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (copy / "README.md").write_text(readme.replace("app:app", "app:nope"), encoding="utf-8")
    process = start(*SERVE, "--environments", environments, cwd=copy)
    *_, last = process.lines
    assert re.fullmatch(r"\S+-example cannot be deployed: AttributeError: .*'nope'", last)
    assert process.wait() == 1
    assert list(process.temporary.iterdir()) == []


def test_server_is_gone_once_it_is_closed(environments, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with LocalConnect(environments=environments) as server:
        assert httpx.get(server.url, verify=False).status_code == 200
    assert list(tmp_path.iterdir()) == []
    with socket.socket() as again:
        again.bind(("127.0.0.1", server.port))
