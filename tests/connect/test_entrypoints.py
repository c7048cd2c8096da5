"""What an entrypoint may name, and how an app that does not start is reported."""

import ast
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared.connect import jobs
from shared.connect.running import apps
from shared.connect.running.children import Children
from shared.connect.running.environments import UV
from tests.connect.support import ECHO, ask_echo, deploy_bundle, make_bundle, read_log

FILES = {
    "echo_app.py": ECHO,
    "main.py": "from echo_app import app as echo\n",
    "package/main.py": "from echo_app import app as application\n",
    "created.py": "from echo_app import app as echo\n\n\ndef create_app():\n    return echo\n",
    "made.py": "from echo_app import app as echo\n\n\ndef make_app():\n    return echo\n",
    "both.py": "from echo_app import app\n\n\ndef create_app():\n    raise AssertionError\n",
    "none.py": "",
    "exits.py": "import os\nprint('printed')\nos._exit(7)\n",
    "says.py": "import sys\nprint('SystemExit: <b>no database', file=sys.stderr)\nsys.exit(1)\n",
}
# posit-dev/rsconnect-python#101, posit-dev/rsconnect-python#550
ENTRYPOINTS = [
    "app:app",
    "app",
    "app.py",
    "main:echo",
    "main.py:echo",
    "package.main",
    "created",
    "made.py",
    "both",
]


@pytest.mark.parametrize("entrypoint", ENTRYPOINTS)
def test_entrypoint_leads_to_the_app(api, owner, content, entrypoint):
    deploy_bundle(api, content, make_bundle(FILES, entrypoint=entrypoint))
    assert ask_echo(owner, content)["version"] == "1"


FAILURES = {
    "app:nope": "AttributeError: module 'app' has no attribute 'nope'",
    "gone": "ModuleNotFoundError: No module named 'gone'",
    "none": "AttributeError: none has none of app, application, create_app, make_app",
    "exits": "ended with code 7",
    "says": "SystemExit: <b>no database",
}


@pytest.mark.parametrize(("entrypoint", "reason"), FAILURES.items(), ids=FAILURES)
def test_app_that_does_not_start_is_reported(api, owner, content, entrypoint, reason):
    bundle, task = deploy_bundle(api, content, make_bundle(FILES, entrypoint=entrypoint))
    assert task["code"] == 0  # as Connect, which starts it with the first request
    response = owner.get(content["content_url"])
    assert response.status_code == 502
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert reason in response.text and response.text.count("\n") == 1
    assert reason in read_log(owner, content)
    told = f"Bundle {bundle} failed: The app did not start: {reason}."
    escaped = told.replace("'", "&#39;").replace("<", "&lt;").replace(">", "&gt;")
    page = owner.get("/").text
    assert escaped in page and "Visitors still see" not in page


@pytest.fixture
def start(tmp_path):
    """Starts a process for the source of an app.py; gives it and its log."""
    processes, numbers = Children(), itertools.count()

    def start(source, entrypoint="app:app", python=sys.executable, start_seconds=60, **env):
        (tmp_path / "app.py").write_bytes(source if isinstance(source, bytes) else source.encode())
        job, env = jobs.Job(jobs.PROCESS, "1"), {"PATH": os.environ["PATH"], **env}
        options = {"start_seconds": start_seconds, "cwd": tmp_path, "env": env}
        path = tmp_path / f"socket{next(numbers)}"
        return apps.App(processes, Path(python), entrypoint, job, path, **options), job

    yield start
    processes.close()


@pytest.fixture
def reason(start):
    """Says why an app does not start."""

    def reason(*arguments, **env):
        with pytest.raises(apps.NotStarted) as raised:
            start(*arguments, **env)[0].connect()
        return raised.value.description.removeprefix("The app did not start: ")

    return reason


SETTINGS = """
class ValidationError(ValueError):
    pass
ValidationError.__module__ = "pydantic_core"
raise ValidationError('''1 validation error for Settings
database_url
  Field required [type=missing, input_value={}, input_type=dict]
    For further information visit https://errors.pydantic.dev/2.12/v/missing''')
"""
REASONS = {
    SETTINGS: "pydantic_core.ValidationError: 1 validation error for Settings (app.py, line 5).",
    "x = 1\n\ndef broken(:\n    pass": "SyntaxError: invalid syntax (app.py, line 3).",
    "if True:\nx = 1": "IndentationError: expected an indented block after 'if' statement on line 1"
    " (app.py, line 2).",
    "import package.broken": "SyntaxError: invalid syntax (broken.py, line 1).",
    "import json\njson.loads('')": "json.decoder.JSONDecodeError: Expecting value:"
    " line 1 column 1 (char 0) (app.py, line 2).",
    "import os\nos.environ['DATABASE_URL']": "KeyError: 'DATABASE_URL' (app.py, line 2).",
    "import ast\nast.literal_eval('(')": "SyntaxError: '(' was never closed (<unknown>, line 1)"
    " (app.py, line 2).",
    "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise LookupError('second')":
    "LookupError: second (app.py, line 4).",
    "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise LookupError('out') from error":
    "LookupError: out (app.py, line 4).",
    "raise RuntimeError('\\n\\n  no greeting\\n')": "RuntimeError: no greeting (app.py, line 1).",
    "raise RuntimeError('Please set:\\nDATABASE_URL\\n')": "RuntimeError: Please set: DATABASE_URL (app.py, line 1).",
    "x = 1\nassert x == 2": "AssertionError (app.py, line 2).",
    "def f():\n    raise NotImplementedError\nf()": "NotImplementedError (app.py, line 2).",
    "def f():\n    f()\nf()": "RecursionError: maximum recursion depth exceeded (app.py, line 2).",
    "import guard": "ModuleNotFoundError: No module named 'guard' (app.py, line 1).",  # the server's own
    "raise KeyboardInterrupt": "KeyboardInterrupt (app.py, line 1).",
    "raise type('Own', (BaseException,), {})('own')": "app.Own: own (app.py, line 1).",
    "import sys\nsys.exit('No database.')": "No database.",
    "import sys\nprint('usage', file=sys.stderr)\nsys.exit(2)": "usage.",
    "import sys\nsys.exit()": "ended with code 0.",
    "import os\nos.kill(os.getpid(), 11)": "was killed by signal 11.",
    "import os\nos.abort()": "was killed by signal 6.",
    "raise ValueError('\\udcff\\0é' + 'x' * 2000)": None,
    "import sys, atexit\natexit.register(print, 'later', file=sys.stderr)\nraise ValueError('first')":
    "ValueError: first (app.py, line 3).",
    "import threading, time\nthreading.Thread(target=time.sleep, args=[600]).start()\n"
    "raise ValueError('with a thread')": "ValueError: with a thread (app.py, line 3).",
    "import argparse\nargparse.ArgumentParser(prog='a').parse_args(['--x'])":
    "a: error: unrecognized arguments: --x.",
    b"x = '\xff'": None,
    b"x = 1\0": None,
}  # fmt: skip


@pytest.mark.parametrize(("source", "told"), REASONS.items())
def test_reason_is_the_first_line_of_the_exception(reason, tmp_path, source, told):
    (tmp_path / "package").mkdir()
    (tmp_path / "package/broken.py").write_text("def (", encoding="utf-8")
    line = reason(source)
    assert "\n" not in line and len(line) < 1100, line
    if told:
        assert f"{line}." == told
    else:
        assert re.match("ValueError: |SyntaxError: ", line)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="a group is new in 3.11")
def test_reason_of_a_group_is_its_own_line(reason):
    source = "raise ExceptionGroup('several', [ValueError('a'), ExceptionGroup('b', [OSError()])])"
    assert reason(source) == "ExceptionGroup: several (2 sub-exceptions) (app.py, line 1)"


FLASK_LIKE = "class Flask:\n    def __call__(self, environ, start_response): pass\n"
NO_APPS = {
    "app = 'app'": "is of type str, not a WSGI app such as app = Flask(__name__)",
    "app = None": "is of type NoneType, not a WSGI app",
    "class Blueprint:\n    pass\napp = Blueprint()": "is of type Blueprint, not a WSGI app",
    "import os as app": "is of type module, not a WSGI app",
    "async def app(scope, receive, send): pass": "is an ASGI app, and this is WSGI content: `rsconnect deploy fastapi`",
    "class FastAPI:\n    async def __call__(self, scope, receive, send): pass\napp = FastAPI()":
    "is an ASGI app",
    "def app(): return print": "is not a WSGI app: it does not take (environ, start_response)."
    " If it makes an app, write app = app() in app and deploy app:app",
    "def app(config): return print": "it does not take (environ, start_response)",
    "def app(config=None, testing=False): return print": "it does not take (environ, start_respon",
    "class app: pass": "it does not take (environ, start_response)",
}  # fmt: skip


@pytest.mark.parametrize(("source", "told"), NO_APPS.items())
def test_what_is_no_app_fails_at_once_and_says_what_to_write(reason, source, told):
    assert reason(source).startswith("app:app is ") and told in reason(source)


def test_factory_is_called_without_an_object_only(start, reason):
    """posit-dev/rsconnect-python#101; that Connect calls one which is named, no page says."""
    source = f"{FLASK_LIKE}def create_app(config=None, testing=False):\n    return Flask()\n"
    told = "write app = create_app() in app and deploy app:app"
    assert reason(source, "app:create_app").endswith(told)
    assert start(source, "app")[0].connect()
    told = "app:create_app() is of type NoneType, not a WSGI app"
    assert reason("def create_app(): pass", "app").startswith(told)


# A server that is known, in a thread: it does not keep the import from its end.
IN_A_THREAD = """
import threading
bottle = {"__name__": "bottle"}
exec("import socket\\ndef run(): socket.create_server(('127.0.0.1', 0)).close()", bottle)
served = []
thread = threading.Thread(target=lambda: served.append(bottle["run"]()))
thread.start(), thread.join()
assert served
def app(environ, start_response): pass
"""
APPS = {
    "runs a server in a thread": IN_A_THREAD,
    "function": "def app(environ, start_response): pass",
    "any arguments": "def app(*arguments, **options): pass",
    "with more": "def app(environ, start_response, more=None): pass",
    "class": "class app:\n    def __init__(self, environ, start_response): pass",
    "instance": f"{FLASK_LIKE}app = Flask()",
    "method": f"{FLASK_LIKE}app = Flask().__call__",
    "partial": "import functools\ndef f(more, environ, start_response): pass\n"
    "app = functools.partial(f, 1)",
    "not in Python": "app = print",
    "binds a port": "import socket\nserver = socket.create_server(('127.0.0.1', 0))\n"
    "def app(environ, start_response): pass",
    "serves in a thread": "import threading\nfrom wsgiref.simple_server import make_server\n"
    "server = make_server('127.0.0.1', 0, None)\n"
    "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
    "def app(environ, start_response): pass",
    "has a secrets.py": "import secrets\nfrom secrets import OWN as app",
}


@pytest.mark.parametrize("source", APPS.values(), ids=APPS)
def test_whatever_may_be_an_app_starts(start, tmp_path, source):
    (tmp_path / "secrets.py").write_text("def OWN(environ, start_response): pass", encoding="utf-8")
    assert start(source)[0].connect()


@pytest.mark.parametrize("entrypoint", ["app:app", "app.py:app", "app"])
def test_app_has_no_arguments_but_its_file(start, entrypoint):
    """It may parse them."""
    source = "import sys\nassert sys.argv == ['app.py'], sys.argv\n"
    app, _ = start(f"{source}def app(environ, start_response): pass", entrypoint)
    assert app.connect()


VERSION_APP = """
import platform

def app(environ, start_response):
    start_response("200 OK", [("Connection", "keep-alive")])
    if environ["PATH_INFO"] == "/wrong":
        return "wrong"
    version = platform.python_version().rpartition(".")[0]
    return [f"{version} {len(environ['wsgi.input'].read())}".encode()]
"""
OLD = ["3.8", "3.9"]  # which real servers had, and which uv finds where they are installed
# What ast does not know to be newer: names of the standard library, and of str.
NEWER = {"removeprefix", "removesuffix", "ExceptionGroup", "add_note", "cache", "pairwise"}
NEWER |= {"aclosing", "batched", "bit_count", "chdir", "randbytes", "is_relative_to", "UTC"}


def test_runner_has_no_syntax_newer_than_python_3_8():
    """The oldest that uv builds environments for."""
    tree = ast.parse(apps.RUNNER.read_text(encoding="utf-8"), feature_version=(3, 8))
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert names & NEWER == set()
    # At run time Python 3.8 has neither `int | None` nor `dict[str, int]`, except in functions.
    for node in tree.body:
        assert not isinstance(node, ast.AnnAssign)
        assert not (isinstance(node, ast.FunctionDef) and node.returns)


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
    deploy_bundle(api, content, make_bundle({"app.py": VERSION_APP}, environment=constraint))
    body = b"x" * 2**17
    assert owner.post(content["content_url"], content=body).text == f"{version} {2**17}"
    owner.get(f"{content['content_url']}wrong")
    read_log(owner, content, "ValueError: the body has str, not bytes")
    deploy_bundle(api, content, make_bundle({"app.py": "def ("}, environment=constraint))
    assert "SyntaxError: invalid syntax (app.py, line 1)" in owner.get(content["content_url"]).text


TCP = "('127.0.0.1', 0)"
SERVING = {
    "flask": "from flask import Flask\napp = Flask(__name__)\napp.run(port=0)\n",
    # It serves in another process.
    "flask debug": "from flask import Flask\napp = Flask(__name__)\napp.run(port=0, debug=True)\n",
    "waitress": "import waitress\ndef app(e, s): pass\nwaitress.serve(app, port=0)\n",
    "wsgiref": "from wsgiref.simple_server import make_server\ndef app(e, s): pass\n"
    "make_server('127.0.0.1', 0, app).serve_forever()\n",
    "socketserver": f"import socketserver\n\nsocketserver.TCPServer({TCP}, None).serve_forever()",
    "http.server": "from http.server import *\n\n"
    f"HTTPServer({TCP}, BaseHTTPRequestHandler).handle_request()",
    "C": f"import select, socket\nserver = socket.create_server({TCP})\nselect.select([], [], [])",
}


@pytest.mark.parametrize("source", SERVING.values(), ids=SERVING)
def test_app_that_serves_itself_is_told_so_at_once(reason, source):
    serves = "it serves itself (app.py, line 3). Put that call below `if __name__ == '__main__':`"
    assert reason(source, start_seconds=6) == serves


def test_second_port_that_a_thread_serves_is_none_of_the_apps(start):
    """As prometheus_client.start_http_server does, and the rest of the import takes long."""
    source = """import socket, threading
server = socket.create_server(('127.0.0.1', 0))
threading.Thread(target=lambda: [server.accept() for _ in range(9)], daemon=True).start()
threading.Event().wait(1)
def app(environ, start_response): pass"""
    assert start(source, start_seconds=6)[0].connect()


def test_import_that_hangs_says_where(start):
    process, job = start("import threading\n\n\nthreading.Event().wait()\n", start_seconds=0.5)
    with pytest.raises(apps.NotStarted, match="The app did not start within 0.5 seconds.$"):
        process.connect()
    log = "\n".join(text for _, _, text in job.entries)
    assert re.search(r'File "[^"]*app.py", line 4 in <module>', log)


ECHO_PID = """
import os, signal, socket, sys
def app(environ, start_response):
    if environ["PATH_INFO"] == "/do":
        do()
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""
# What it does at its import, and in a view.
DOINGS = {
    "default time-out": ("socket.setdefaulttimeout(0.001)", "pass"),
    "child that ends": ("", "os.fork() or os._exit(3)"),
    "child that exits": ("", "os.fork() or sys.exit(3)"),
    "child that fails": ("", "os.fork() or 1 / 0"),
    "child that answers, too": ("", "os.fork() and os.wait()"),
    "child of multiprocessing": (
        "import multiprocessing",
        "multiprocessing.get_context('fork').Process(target=print).start()",
    ),
    "closed stderr": ("sys.stderr.close()", "sys.stdout.close()"),
    "no stderr": ("sys.stderr = sys.stdout = None", "print(1)"),
    "closed standard files": ("os.closerange(0, 3)", "os.closerange(0, 3)"),
    "closed other files": ("os.closerange(3, 1024)", "pass"),
    "another directory": ("os.chdir('/')", "os.umask(0o777)"),
    "ignored signals": (
        "for number in (1, 2, 15, 17): signal.signal(number, signal.SIG_IGN)",
        "signal.signal(signal.SIGPIPE, signal.SIG_DFL)",
    ),
    "no recursion": ("", "sys.setrecursionlimit(60)"),
    "logging": ("import logging.config; logging.config.dictConfig({'version': 1})", "pass"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="the numbers of signals, and fork")
@pytest.mark.parametrize(("at_import", "in_view"), DOINGS.values(), ids=DOINGS)
def test_app_goes_on_whatever_it_does_to_itself(start, at_import, in_view):
    process, _ = start(f"{ECHO_PID}{at_import}\ndef do(): {in_view}")
    pids = set()
    for path in ("/", "/do", "/", "/"):
        connection = process.connect()
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        pids.add((response.status, response.read()))
        connection.close()
    assert len(pids) == 1 and process.alive, pids


def test_log_has_the_traceback_whatever_stderr_is(start):
    source = "import sys\nsys.stderr.close()\ndef app(environ, start_response): 1 / 0"
    process, job = start(source)
    connection = process.connect()
    connection.request("GET", "/", headers={"Connection": "close"})
    assert connection.getresponse().status == 500
    process.stop()
    process.wait_if_ending()
    lines = [text for _, source, text in job.entries if source == "stderr"]
    assert lines[0].startswith("Traceback") and lines[1].endswith('app.py", line 3, in app')
    assert lines[-1] == "ZeroDivisionError: division by zero"


CANNOT_RUN = {
    "NUL": ({"A": "\0"}, sys.executable, "embedded null byte"),
    "name": ({"A=B": "c"}, sys.executable, "illegal environment variable name"),
    "too long": ({"A": "a" * 2**22}, sys.executable, "[Errno 7] Argument list too long: "),
    "gone": ({}, "/nowhere/python", "/nowhere/python does not run: No such file or directory"),
    "no program": ({}, __file__, f"{__file__} does not run: Permission denied"),
}


@pytest.mark.parametrize(("env", "python", "told"), CANNOT_RUN.values(), ids=CANNOT_RUN)
def test_process_that_cannot_run_ends_its_job_and_says_so(server, tmp_path, env, python, told):
    job = jobs.Job(jobs.PROCESS, "1")
    with pytest.raises(apps.NotStarted, match=f"The app did not start: {re.escape(told)}"):
        path, options = tmp_path / "socket", {"cwd": tmp_path, "env": env}
        apps.App(server.store.children, Path(python), "app:app", job, path, **options).connect()
    assert job.entries[-1].text.startswith(f"The app did not start: {told}")
    assert job.ended and job.exit_code == 1
