"""Each build and each process is a job with a log of its own."""

import re

import pytest

from shared.connect import jobs, store
from shared.connect.jobs import PROCESS, Job
from tests.connect.support import PAGE, deploy_bundle, make_bundle, read_log

NOISY = """\
import sys
print("imported")
print("complained", file=sys.stderr)
print("\\udcff\\udcfe", "é")

def app(environ, start_response):
    raise LookupError("no greeting")
"""


def test_log_has_the_newest_line_at_the_end_and_each_with_its_time(server, api, owner, content):
    """As text, and as a page for a browser."""
    _, task = deploy_bundle(api, content, make_bundle({"app.py": NOISY}))
    assert task["code"] == 0, task["output"]
    assert owner.get(content["content_url"]).status_code == 500
    log = read_log(owner, content, "no greeting")
    for line in ("stdout: imported", "stderr: complained", "stderr: LookupError: no greeting"):
        assert re.search(rf"^\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ {line}$", log, re.MULTILINE)
    process = server.store.get(content["guid"]).jobs[1]
    bundle = process.bundle_id
    titles = (
        f"Build of bundle {bundle} ended",
        f"Process {process.pid} of bundle {bundle} is running",
    )
    places = [log.index(text) for text in (*titles, "imported", "no greeting")]
    assert places == sorted(places) and places[0] == 0
    page = owner.get(f"/connect/apps/{content['guid']}/logs", headers=PAGE)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = owner.get("/").headers["Content-Security-Policy"]
    assert page.headers["Content-Security-Policy"] == policy
    places = [page.text.index(text) for text in ("<h2>Build", "<h2>Process", 'id="end"')]
    assert places == sorted(places)
    assert '<span class="stderr">LookupError: no greeting</span>' in page.text


def test_page_of_logs_is_bounded(server, owner, content):
    """However many processes have printed much: anybody may open it."""
    jobs = server.store.get(content["guid"]).jobs
    for number in range(20):
        job = Job(PROCESS, "1")
        for _ in range(10):
            job.add(f"{number} " + "x" * 50_000)
        job.end(0)
        jobs.append(job)
    log = owner.get(f"/connect/apps/{content['guid']}/logs", headers=PAGE).text
    assert "19 xxx" in log and "older lines" in log and len(log) < 2**19


def test_log_that_grows_loses_its_oldest_lines_and_says_so():
    job = Job(PROCESS, "1")
    for number in range(jobs.LINES):
        job.add(str(number))
    assert [len(job.entries), job.entries[1].text] == [jobs.LINES, "1"]
    assert job.entries[0].text.startswith("1 older lines are gone: a log keeps 10000 lines")
    # Else the client waits for lines that it has been given already.
    last = job.report(0, 0)["last"]
    job.add("new")
    assert job.report(last, 0)["output"] == ["new"]


PRINTED = {
    "one line": "print('x' * 20_000_000, flush=True)",
    "short lines": "for number in range(100_000): print('\\u20ac' * 100)",
    "on stderr": "sys.stderr.write('x' * 20_000_000)",
}


@pytest.mark.parametrize("code", PRINTED.values(), ids=PRINTED)
def test_log_is_bounded_whatever_an_app_prints(server, api, owner, content, code):
    source = f"import sys\n{code}\nprint('printed')\nsys.exit()\n"
    deploy_bundle(api, content, make_bundle({"app.py": source}))
    assert owner.get(content["content_url"]).status_code == 502
    entries = server.store.get(content["guid"]).jobs[1].entries
    assert "older lines are gone" in entries[0].text
    assert [text for _, source, text in entries if source == "stdout"][-3] == "printed"
    assert len(entries) <= jobs.LINES and sum(len(text) for _, _, text in entries) < 1.1 * 2**20


def test_log_keeps_what_is_no_text(api, owner, content):
    """Lines that a progress bar writes over each other, colors, zeros and what is not UTF-8."""
    printed = b"10%\r20%\r\n\x1b[31mred\x1b[0m\n\xff\xfe\x00\n\xe2\x82"
    source = f"import os\nos.write(1, {printed!r})\nraise SystemExit(1)\n"
    deploy_bundle(api, content, make_bundle({"app.py": source}))
    owner.get(content["content_url"])
    url = f"content/{content['guid']}/jobs"
    job = api.get(url).json()[0]
    entries = api.get(f"{url}/{job['key']}/log").json()["entries"]
    lines = [entry["data"] for entry in entries][:5]
    assert lines == ["10%", "20%", "\x1b[31mred\x1b[0m", "\ufffd\ufffd\0", "\ufffd"]
    assert "\x1b[31mred" in read_log(owner, content)


def test_oldest_jobs_of_a_content_go(api, owner, own_echo, monkeypatch):
    """Of those that have ended; what runs is always there, and so is a build in progress."""
    monkeypatch.setattr(store, "JOBS", 2)
    for _ in range(4):
        owner.get(f"{own_echo['content_url']}crash")
    owner.get(own_echo["content_url"])
    jobs = api.get(f"content/{own_echo['guid']}/jobs").json()
    assert [job["tag"] for job in jobs] == ["run_python_api"] * 3
    assert [job["status"] for job in jobs] == [0, 2, 2]
