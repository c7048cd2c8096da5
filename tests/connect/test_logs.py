"""Each build and each process is a job with a log of its own."""

import re
import time
from datetime import datetime, timezone

import pytest

from shared.connect import apps, jobs
from tests.connect.support import ask_echo, deploy_bundle, make_bundle, read_log

pytestmark = pytest.mark.local
NOISY = """\
import sys
print("imported")
print("complained", file=sys.stderr)
print("x" * 25_000)
print("\\udcff\\udcfe", "é")

def app(environ, start_response):
    raise LookupError("no greeting")
"""


@pytest.fixture
def logged(server, publisher, owner, content):
    """The jobs of a content whose app prints, and fails its only request."""
    deploy_bundle(publisher, content, make_bundle({"app.py": NOISY}))
    assert owner.get(content["content_url"]).status_code == 500
    read_log(owner, content, "no greeting")
    return server.contents.get(content["guid"]).jobs


def test_build_and_process_are_jobs_with_times(logged):
    build, process = logged
    assert (build.tag, process.tag) == ("python_restore", "run_python_api")
    assert build.started <= build.ended <= process.started
    assert (build.exit_code, process.exit_code, process.ended) == (0, None, None)
    texts = [text for _, _, text in build.entries]
    assert texts[-1] == f"Bundle {build.bundle_id} is active." and process.bundle_id in texts[-1]


def test_lines_of_a_process_have_their_stream(logged):
    process = logged[1]
    lines = [(source, text) for _, source, text in process.entries]
    assert {("stdout", "imported"), ("stderr", "complained")} < set(lines)
    assert ("stderr", "LookupError: no greeting") in lines
    assert ("stdout", f"Process {process.pid} started.") in lines
    lengths = [len(text) for _, text in lines if "xxx" in text]
    assert lengths == [apps.LINE, apps.LINE, 25_000 - 2 * apps.LINE]
    assert all(process.started <= time for time, _, _ in process.entries)


def test_log_has_the_newest_job_first_and_each_line_with_its_time(owner, content, logged):
    log = read_log(owner, content)
    assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ stderr: complained$", log, re.MULTILINE)
    bundle, pid = logged[1].bundle_id, logged[1].pid
    titles = (f"Process {pid} of bundle {bundle} is running", f"Build of bundle {bundle} ended")
    places = [log.index(text) for text in (titles[0], "imported", "no greeting", titles[1])]
    assert places == sorted(places) and places[0] == 0


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("raise SystemExit(3)", "ended with code 3"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by signal 9"),
    ],
    ids=["exit", "kill"],
)
def test_log_says_how_a_process_ended(publisher, owner, content, code, ending):
    bundle, _ = deploy_bundle(publisher, content, make_bundle({"app.py": code}))
    assert owner.get(content["content_url"]).status_code == 502
    title = f"Process of bundle {bundle} {ending}\n"
    assert read_log(owner, content, title).startswith(title)


def test_log_that_grows_loses_its_oldest_lines():
    job = jobs.Job(jobs.PROCESS, "1")
    for number in range(jobs.LINES + 1):
        job.add(str(number))
    assert [len(job.entries), job.entries[0].text] == [jobs.LINES, "1"]


def test_failed_build_is_a_job_that_failed(server, publisher, content):
    deploy_bundle(publisher, content, make_bundle({"requirements.txt": "no-such-package-0q"}))
    (build,) = server.contents.get(content["guid"]).jobs
    assert build.exit_code == 1 and build.ended


@pytest.fixture
def in_tokyo(monkeypatch):
    """This process, in another time zone."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
def test_times_are_utc(content):
    created = datetime.strptime(content["created_time"], "%Y-%m-%dT%H:%M:%SZ")
    late = datetime.now(timezone.utc) - created.replace(tzinfo=timezone.utc)
    assert 0 <= late.total_seconds() < 60


def test_log_is_where_the_client_says(owner, echo):
    assert re.search(r"/connect/#/apps/[0-9a-f-]{36}$", echo["dashboard_url"])
    ask_echo(owner, echo, "marked")
    log = read_log(owner, echo, "was asked for /marked")
    assert "is active" in log
