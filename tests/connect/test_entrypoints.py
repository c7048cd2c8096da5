"""What an entrypoint may name, and how an app that does not start is reported."""

import ast
import itertools
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.connect.jobs import PROCESS, Job
from shared.connect.running.apps import RUNNER, App, NotStarted
from shared.connect.running.children import Children
from shared.connect.running.environments import UV
from tests.connect.support import ECHO, ask_echo, deploy_bundle, make_bundle

# An app may parse its arguments: it has none but its file.
CALLED = "import sys\nassert sys.argv == [{!r}], sys.argv\nfrom echo_app import app as echo\n"
FILES = {
    "echo_app.py": ECHO,
    "main.py": CALLED.format("main.py"),
    "package/main.py": CALLED.format("package/main.py") + "application = echo\n",
    "created.py": CALLED.format("created.py") + "def create_app(config=None):\n    return echo\n",
    "made.py": "from echo_app import app as echo\ndef make_app():\n    return echo\n",
    "both.py": "from echo_app import app\ndef create_app():\n    raise AssertionError\n",
}
# posit-dev/rsconnect-python#101, posit-dev/rsconnect-python#550
ENTRYPOINTS = ["main.py:echo", "package.main", "created", "made.py", "both"]


@pytest.mark.parametrize("entrypoint", ENTRYPOINTS)
def test_entrypoint_leads_to_the_app(api, owner, content, entrypoint):
    deploy_bundle(api, content, make_bundle(FILES, entrypoint=entrypoint))
    assert ask_echo(owner, content)["version"] == "1"


@pytest.fixture
def start(tmp_path):
    """Starts a process for the source of an app.py."""
    children, numbers = Children(), itertools.count()

    def start(
        source, entrypoint="app:app", job=None, python=sys.executable, start_seconds=60, **env
    ):
        (tmp_path / "app.py").write_bytes(source if isinstance(source, bytes) else source.encode())
        job, path = job or Job(PROCESS, "1"), tmp_path / f"socket{next(numbers)}"
        options = {"cwd": tmp_path, "env": {"PATH": os.environ["PATH"], **env}}
        options |= {"start_seconds": start_seconds}
        return App(children, Path(python), entrypoint, job, path, **options)

    yield start
    children.close()


@pytest.fixture
def reason(start):
    """Says why an app does not start, which is the last line of its log."""

    def reason(*arguments, **options):
        job = Job(PROCESS, "1")
        with pytest.raises(NotStarted) as raised:
            ask(start(*arguments, job=job, **options))
        job.report(0, 60)  # waits for its end
        assert job.ended and job.entries[-1].text == raised.value.description
        return raised.value.description.removeprefix("The app did not start: ")

    return reason


REASONS = {
    "x = 1\n\ndef broken(:\n    pass": "SyntaxError: invalid syntax (app.py, line 3)",
    "import ast\nast.literal_eval('(')": "SyntaxError: '(' was never closed (<unknown>, line 1)"
    " (app.py, line 2)",
    "import json\njson.loads('')": "json.decoder.JSONDecodeError: Expecting value:"
    " line 1 column 1 (char 0) (app.py, line 2)",
    "raise RuntimeError('\\n\\n  no greeting\\n')": "RuntimeError: no greeting (app.py, line 1)",
    "import guard": "ModuleNotFoundError: No module named 'guard' (app.py, line 1)",  # the server's own
    "raise type('Stop', (BaseException,), {})('now\\nlater')": "app.Stop: now (app.py, line 1)",
    "import sys\nsys.exit()": "ended with code 0",
    "import argparse\nargparse.ArgumentParser(prog='a').parse_args(['--x'])":
    "a: error: unrecognized arguments: --x",
}  # fmt: skip


@pytest.mark.parametrize(("source", "cause"), REASONS.items())
def test_reason_is_the_first_line_of_the_exception(reason, source, cause):
    assert reason(source) == cause


@pytest.mark.parametrize(
    "source", [b"x = '\xff'", b"x = 1\0", b"raise ValueError('\\udcff\\0\\xe9' + 'x' * 2000)"]
)
def test_reason_is_a_short_line_whatever_the_text(reason, source):
    assert re.fullmatch("(Value|Syntax)Error: .{1,1100}", reason(source))


def test_python_that_does_not_start_says_so(reason):
    """With the variables that may be why."""
    cause = reason("", PYTHONHOME="/nowhere")
    assert re.fullmatch(r"Fatal Python error: .*the variables PYTHONHOME\)", cause)
    assert reason("", A="a" * 2**22).startswith("[Errno 7] Argument list too long: ")
    gone = "/nowhere/python does not run: No such file or directory"
    assert reason("", python="/nowhere/python") == gone


TAKES = "is not a WSGI app: it does not take (environ, start_response)."
ASGI = "is an ASGI app, and this is WSGI content: `rsconnect deploy fastapi` deploys those"
# By the source and the entrypoint. That Connect calls a factory which is named, no page says.
NO_APPS = {
    ("", "app"): "AttributeError: app has none of app, application, create_app, make_app",
    ("app = 'app'", "app"): "app:app is of type str, not a WSGI app such as app = Flask(__name__)",
    ("async def app(scope, receive, send): pass", "app"): f"app:app {ASGI}",
    ("class FastAPI:\n    async def __call__(self, scope, receive, send): pass\napp = FastAPI()", "app"):
    f"app:app {ASGI}",
    ("def create_app(config, testing): return print", "app:create_app"): f"app:create_app {TAKES}"
    " If it makes an app, write app = create_app() in app and deploy app:app",
    ("def create_app(): pass", "app"): "app:create_app() is of type NoneType, not a WSGI app"
    " such as app = Flask(__name__)",
}  # fmt: skip


@pytest.mark.parametrize(("source", "cause"), NO_APPS.items())
def test_what_is_no_app_fails_at_once_and_says_what_to_write(reason, source, cause):
    assert reason(*source) == cause


APPS = {
    "any arguments": "def app(*arguments, **options): pass",
    "class": "class app:\n    def __init__(self, environ, start_response): pass",
    "not in Python": "app = dict",
    # It then needs some seconds for a model: longer than a thirtieth, and less than a twelfth.
    "opens a port": "import socket, time\nlistener = socket.create_server(('127.0.0.1', 0))\n"
    "time.sleep(0.7)\ndef app(environ, start_response): pass",
    # As prometheus_client.start_http_server does, and the rest of the import takes long.
    "has a thread that serves": "import socket, threading, time\n"
    "server = socket.create_server(('127.0.0.1', 0))\n"
    "accept = lambda: [server.accept() for _ in range(99)]\n"
    "threading.Thread(target=accept, daemon=True).start()\n"
    "time.sleep(1.8)\ndef app(environ, start_response): pass",
    "has a secrets.py": "import secrets\nfrom secrets import OWN as app",
    "has a waitress.py": "import waitress\nfrom waitress import OWN as app",
}


@pytest.mark.parametrize("source", APPS.values(), ids=APPS)
def test_whatever_may_be_an_app_starts(start, tmp_path, source):
    for name in ("secrets.py", "waitress.py"):
        (tmp_path / name).write_text("def OWN(environ, start_response): pass", encoding="utf-8")
    with start(source, start_seconds=18).connected():
        pass


SERVING = {
    "flask": "from flask import Flask\napp = Flask(__name__)\napp.run(port=0)\n",
    "in another process": "from flask import Flask\napp = Flask(__name__)\napp.run(port=0, debug=True)\n",
    "in C": "import select, socket\nserver = socket.create_server(('127.0.0.1', 0))\nselect.select([], [], [])",
}


@pytest.mark.parametrize("source", SERVING.values(), ids=SERVING)
def test_app_that_serves_itself_is_told_so_at_once(reason, source):
    cause = "it serves itself (app.py, line 3). Put that call below `if __name__ == '__main__':`"
    assert reason(source, start_seconds=6) == cause


OLD = ["3.8", "3.9"]  # which real servers had, and which uv finds where they are installed


def test_runner_has_no_syntax_newer_than_python_3_8():
    """The oldest that uv builds environments for."""
    ast.parse(RUNNER.read_text(encoding="utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize("version", OLD)
def test_app_runs_on_an_old_python(api, owner, content, version, monkeypatch):
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    programs = [*map(str, pyenv.glob(f"versions/{version}.*/bin")), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(programs))
    found = subprocess.run(
        [UV, "python", "find", "--system", "--no-python-downloads", version], capture_output=True
    )
    if found.returncode:
        pytest.skip(f"Python {version} is not installed, so it was not tried")
    constraint = {"python": {"requires": f"=={version}.*"}}
    deploy_bundle(api, content, make_bundle(environment=constraint))
    body = "x" * 2**17
    assert owner.post(content["content_url"], content=body).json()["body"] == body
    record = api.get(f"content/{content['guid']}").json()
    assert record["py_version"].startswith(f"{version}.")
    deploy_bundle(api, content, make_bundle({"app.py": "def ("}, environment=constraint))
    assert "SyntaxError: invalid syntax (app.py, line 1)" in owner.get(content["content_url"]).text


ECHO_PID = """
import os, signal, socket, sys
def app(environ, start_response):
    if environ["PATH_INFO"] == "/do":
        do()
    start_response("200 OK", [])
    return [str(os.getpid()).encode() * (10**6 if environ["PATH_INFO"] == "/left" else 1)]
"""
# What it does at its import, and in a view.
DOINGS = {
    "default time-out": ("socket.setdefaulttimeout(0.001)", "pass"),
    "child that exits": ("os.fork() or sys.exit(3)", "os.fork() or sys.exit(3)"),
    "child that fails": ("", "os.fork() and os.wait() or 1 / 0"),
    "child that answers, too": ("", "os.fork() and os.wait()"),
    "no stderr": ("sys.stderr = sys.stdout = None", "print(1)"),
    "closed standard files": ("os.closerange(0, 3)", "os.closerange(0, 3)"),
    "closed other files": ("os.closerange(3, 1024)", "pass"),
    "ignored signals": (
        "for number in (1, 2, 15, 17): signal.signal(number, signal.SIG_IGN)",
        "pass",
    ),
    "broken pipe": ("signal.signal(signal.SIGPIPE, signal.SIG_DFL)", "pass"),
}


def ask(process, path="/"):
    """The status and the body of what a process answers; None for a visitor who leaves at once."""
    with process.connected() as connection:
        connection.request("GET", path, headers={"Connection": "close"})
        with connection.getresponse() as response:
            return None if path == "/left" else (response.status, response.read())


@pytest.mark.skipif(sys.platform != "linux", reason="the numbers of signals, and fork")
@pytest.mark.parametrize(("at_import", "in_view"), DOINGS.values(), ids=DOINGS)
def test_app_goes_on_whatever_it_does_to_itself(start, at_import, in_view):
    process = start(f"{ECHO_PID}{at_import}\ndef do(): {in_view}")
    answers = {ask(process, path) for path in ("/", "/do", "/left", "/", "/")} - {None}
    assert len(answers) == 1 and process.alive, answers


def test_import_that_hangs_is_reported_with_its_line(start):
    job = Job(PROCESS, "1")
    hanging = "import threading\nprint('the last line')\nthreading.Event().wait()\n"
    with pytest.raises(NotStarted, match="did not start within 0.5 seconds"):
        ask(start(hanging, job=job, start_seconds=0.5))
    log = "\n".join(text for _, _, text in job.entries)
    assert re.search(r'File "[^"]*app.py", line 3 in <module>', log)
    assert "was stopped by the server" in log and "the last line" in log


def test_time_for_the_import_ends_with_it(start):
    """Else each process would end after it."""
    source = """import faulthandler
ended, cancel = [], faulthandler.cancel_dump_traceback_later
faulthandler.cancel_dump_traceback_later = lambda: ended.append(cancel())
def app(environ, start_response):
    start_response("200 OK" if ended else "500 It goes on", [])
    return []"""
    assert ask(start(source))[0] == 200


def test_log_has_the_traceback_whatever_stderr_is(start):
    source = "import sys\nsys.stderr.close()\ndef app(environ, start_response): 1 / 0"
    job = Job(PROCESS, "1")
    process = start(source, job=job)
    assert ask(process)[0] == 500
    process.stop()
    process.wait_if_ending()
    lines = [text for _, source, text in job.entries if source == "stderr"]
    assert lines[0].startswith("Traceback") and lines[1].endswith('app.py", line 3, in app')
    assert lines[-1] == "ZeroDivisionError: division by zero"


def test_failed_start_is_told_to_all_who_wait_for_it(server, api, owner, content, tmp_path):
    """Else each would wait as long again."""
    os.mkfifo(tmp_path / "import")
    source = f"open('{tmp_path}/import').read()\nraise LookupError('once')"
    deploy_bundle(api, content, make_bundle({"app.py": source}))
    waiting = server.store.get(content["guid"]).pool
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(owner.get, content["content_url"]) for _ in range(3)]
        while waiting.requests < 3:
            time.sleep(0.01)
        with (tmp_path / "import").open("wb"):  # once the app reads
            (tmp_path / "import").unlink()
            (tmp_path / "import").touch()  # another start would not wait
    assert [answer.result().status_code for answer in answers] == [502] * 3
    tags = [job["tag"] for job in api.get(f"content/{content['guid']}/jobs").json()]
    assert tags == ["run_python_api", "python_restore"]
