"""Each build and each process is a job with a log of its own."""

import re
from datetime import timedelta

import pytest

from shared.connect import contents, jobs
from tests.connect.support import deploy_bundle, make_bundle, read_log

pytestmark = pytest.mark.local
NOISY = """\
import sys
print("imported")
print("complained", file=sys.stderr)
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


def test_lines_of_a_process_have_their_stream(logged):
    process = logged[1]
    lines = [(source, text) for _, source, text in process.entries]
    assert {("stdout", "imported"), ("stderr", "complained")} < set(lines)
    assert ("stderr", "LookupError: no greeting") in lines
    assert ("stdout", f"Process {process.pid} started.") in lines
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


def test_oldest_jobs_of_a_content_go(publisher, owner, own_echo, monkeypatch):
    monkeypatch.setattr(contents, "JOBS", 2)
    for _ in range(3):
        owner.get(f"{own_echo['content_url']}crash")
    jobs = publisher.get(f"content/{own_echo['guid']}/jobs").json()
    assert [job["tag"] for job in jobs] == ["run_python_api"] * 2


def test_times_are_utc():
    assert jobs.now().utcoffset() == timedelta(0)
