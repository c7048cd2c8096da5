"""The commands that serve: they start, stop at Ctrl-C, and say in one line what is wrong."""

import contextlib
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import httpx
import pexpect
import psutil
import pytest

from shared.catalogue import EXAMPLES, ROOT
from shared.connect.__main__ import parse
from shared.harness.curl import curl
from shared.harness.readme import README, commands
from tests.connect.support import ask_echo, deploy_bundle, make_bundle

CONNECT_README = ROOT / "shared" / "connect" / "README.md"
SERVE = ["-m", "shared.commands.serve", "--port", "0"]
SERVER = ["-m", "shared.connect", "--port", "0"]


@pytest.fixture
def temporary(tmp_path):
    """The temporary directory of a command."""
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


@pytest.fixture
def start(temporary):
    """Starts `python ARGUMENTS` in a terminal."""
    # This Python alone: uv starts each that PATH names, shims of pyenv that fail included.
    programs = [Path(sys.executable).parent, Path(sys.base_prefix, "bin"), os.defpath]
    variables = {
        # As behind a company's proxy; nothing listens here, so a request to it fails.
        "HTTP_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "",
        "no_proxy": "",
        # As people have it who publish: nothing goes to that server, nor is named after it.
        "CONNECT_SERVER": "http://127.0.0.1:9",
        "TMPDIR": str(temporary),
        "PATH": os.pathsep.join(map(str, programs)),
        # argparse wraps its usage to this width, and colors it from Python 3.14 on.
        "COLUMNS": "80",
        "PYTHON_COLORS": "0",
    }
    with contextlib.ExitStack() as stack:

        def start(*arguments, cwd=ROOT, api_key="the-key", **more):
            env = os.environ | variables | {"CONNECT_API_KEY": api_key}
            more |= {"encoding": "utf-8", "timeout": 300, "echo": False}
            words = [str(argument) for argument in arguments]
            process = pexpect.spawn(sys.executable, words, cwd=str(cwd), env=env, **more)
            stack.callback(end, process)
            return process

        yield start


def end(process):
    """End a process that a test has left; pexpect's own `close` waits 0.1 seconds for that."""
    if not process.closed:
        process.kill(signal.SIGKILL)
        process.wait()
        process.close()


def until(process, text):
    """What a process prints up to a text."""
    process.expect_exact(text)
    return process.before + text


def descendants(process):
    return psutil.Process(process.pid).children(recursive=True)


def check_stops(process, temporary):
    """At Ctrl-C, with one line, and nothing is left.

    A terminal and tox send SIGINT, and tox sends SIGTERM when that takes long. This sends so many
    that one interrupts the handler of another, and one more after the last line.
    """
    children = descendants(process)
    process.sendintr()  # to all of the terminal's processes
    for number in (*[signal.SIGINT] * 10, signal.SIGTERM):
        process.kill(number)
    rest = until(process, "Stopped.")
    process.kill(signal.SIGTERM)
    rest += process.read()
    assert process.wait() == 0, rest
    assert rest.splitlines()[-1] == "Stopped." and "Traceback" not in rest, rest
    assert psutil.wait_procs(children, timeout=60)[1] == []
    assert list(temporary.iterdir()) == []


def test_served_examples_answer_until_ctrl_c(start, environments, temporary):
    process = start(*SERVE, "--environments", environments)
    printed = until(process, "Ctrl-C stops it.")
    assert max(map(len, printed.splitlines())) < 100
    urls = re.findall(r"http://\S+", printed)
    for example in EXAMPLES:
        for _, path in example.links:
            assert any(url.endswith(f"/{example.directory}{path}") for url in urls)
    for url in urls:
        assert httpx.get(url, timeout=60).status_code == 200, url  # they are open to all
    command, answer = re.search(r"\$ (curl .*)\n(.*)", README.read_text(encoding="utf-8")).groups()
    here = re.sub("http://[^/]+", re.match("http://[^/]+", urls[0])[0], command)
    assert json.loads(curl(here, temporary)) == json.loads(answer)
    assert "API key of admin: as in CONNECT_API_KEY (administrator)" in printed
    assert "the-key" not in printed
    check_stops(process, temporary)


def test_ctrl_c_during_the_deployments(start, environments, temporary):
    process = start(*SERVE, "--environments", environments)
    until(process, "is up")
    assert descendants(process)  # an app at least
    check_stops(process, temporary)


def test_signals_reach_what_a_command_starts(start):
    """Also one that the command ignores, as after nohup."""
    child = """import signal
print("blocked:", signal.pthread_sigmask(signal.SIG_BLOCK, []))
print("ignored:", signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)"""
    code = f"""import sys; from shared.connect import stopping
from shared.connect.running.children import Children
stopping.block()
print(*Children().run([sys.executable, "-c", {child!r}]))"""
    until(start("-c", code, ignore_sighup=True), "blocked: set() ignored: False")


def test_readme_has_an_example_of_each_option_and_the_default_port(start):
    readme = CONNECT_README.read_text(encoding="utf-8")
    examples = re.findall(r"^\| `(--[^`]+)`", readme, re.MULTILINE)
    process = start("-m", "shared.connect", *" ".join(examples).split(), "--help")
    printed = process.read()
    assert process.wait() == 0, printed
    options = set(re.findall(r"(?<!\w)--\w+", printed)) - {"--help"}
    assert {example.split()[0] for example in examples} == options
    (port,) = set(re.findall(r"http://127\.0\.0\.1:(\d+)", readme))
    assert f"(default: {port})" in printed
    (command,) = commands("Start", CONNECT_README)
    assert command.replace("shared.connect", "shared.commands.serve") in commands("Quick start")


def test_options_are_those_of_the_server(monkeypatch):
    words = "--port 0 --address http://a --environments e --user ada:editors,admins --user grace"
    monkeypatch.setattr(sys, "argv", ["serve", *words.split(), "--guids", "--processes", "2"])
    assert vars(parse("shared.connect", None)) == {
        "port": 0,
        "address": "http://a",
        "environments": Path("e"),
        "users": [("ada", ["editors", "admins"]), ("grace", [])],
        "guids": True,
        "processes": 2,
    }


def test_empty_server_prints_keys_and_stops_when_its_terminal_is_closed(start, temporary):
    """An empty key is none: CI gives an unset secret so. Beside an address, it prints the port."""
    process = start(
        *SERVER,
        *("--address", "https://connect.example.com/", "--user", "ada:editors"),
        api_key="",
        # Under nohup, the tests and what they start ignore this signal.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    printed = until(process, "Ctrl-C stops it.")
    assert printed.splitlines()[0] == "Local Connect at https://connect.example.com/"
    assert re.search(r"API key of admin: \w{32} \(administrator\)", printed)
    url = re.search(r"It listens at (http://127\.0\.0\.1:\d+/)", printed)[1]
    assert "Nothing is deployed yet" in httpx.get(url, timeout=60).text
    key = re.search(r"API key of ada: (\w{32}) \(viewer\)", printed)[1]
    headers = {"Authorization": f"Key {key}"}
    user = httpx.get(f"{url}__api__/v1/user", headers=headers, timeout=60).json()
    assert user["username"] == "ada"
    process.ptyproc.fileobj.close()
    process.wait()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(("option", "value"), [("--processes", "0"), ("--user", ":editors")])
def test_wrong_option_is_one_line_after_the_usage(start, option, value):
    process = start(*SERVER, option, value)
    *usage, line = process.read().splitlines()
    assert usage[0].startswith("usage: python -m shared.connect [-h]") and option in line
    assert process.wait() == 2


def test_nothing_survives_a_kill(start, environments):
    """Neither an app, nor what that has started."""
    process = start(*SERVER, "--environments", environments)
    url = re.search(r"http://\S+/", until(process, "Ctrl-C"))[0] + "__api__/v1/"
    headers = {"Authorization": "Key the-key"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as api:
        echo = api.post("content", json={"name": "echo"}).json()
        deploy_bundle(api, echo, make_bundle())
        running = ask_echo(api, echo, "child")
    children = descendants(process)
    assert {running["pid"], running["child"]} <= {child.pid for child in children}
    process.kill(signal.SIGKILL)
    assert psutil.wait_procs(children, timeout=60)[1] == []


def test_server_that_cannot_start_says_so_in_one_line(start, temporary):
    process = start(*SERVE, "--environments", __file__)
    (line,) = process.read().splitlines()
    assert __file__ in line and "Choose other --environments" in line
    assert process.wait() == 1
    assert list(temporary.iterdir()) == []


def test_failed_deployment_ends_with_one_line(start, environments, temporary, tmp_path):
    copy = tmp_path / "copy"
    for path in (ROOT / "shared", *(example.path for example in EXAMPLES)):
        shutil.copytree(path, copy / path.name, ignore=shutil.ignore_patterns("__pycache__"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (copy / "README.md").write_text(readme.replace("app:app", "app:nope"), encoding="utf-8")
    process = start(*SERVE, "--environments", environments, cwd=copy)
    last = process.read().splitlines()[-1]
    assert re.fullmatch(r"\S+-example cannot be deployed: .*AttributeError: .*'nope'\.?", last)
    assert process.wait() == 1
    assert list(temporary.iterdir()) == []
