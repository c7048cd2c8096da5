"""The pages, without a browser; tests/browser/test_index.py has one."""

import html
import re
import shlex

import pytest

from shared.catalogue import ROOT
from shared.harness.readme import commands
from tests.connect.support import PAGE, ask_echo, deploy_bundle, make_bundle, write_app


@pytest.fixture
def card(stranger, own_echo):
    """Gives the HTML of the card of a content."""

    def card():
        page, fragment = stranger.get("/").text, own_echo["dashboard_url"].partition("#")[2]
        return re.search(f'<article [^>]*id="{fragment}".*?</article>', page, re.DOTALL)[0]

    return card


def test_card_tells_what_is_deployed(stranger, api, owner, own_echo, card):
    api.patch(f"content/{own_echo['guid']}", json={"title": "<b>Echo</b>"})
    assert "not started" in card()
    ask_echo(owner, own_echo)
    assert "&lt;b&gt;Echo&lt;/b&gt;" in card() and "<b>Echo" not in card()
    assert f'href="/content/{own_echo["guid"]}/"' in card()
    assert own_echo["name"] in card() and f">{own_echo['content_url']}<" in card()
    record = api.get(f"content/{own_echo['guid']}").json()
    assert "running" in card() and f"1 of 1, Python {record['py_version']}" in card()
    minute = record["last_deployed_time"][:16].replace("T", " ")
    assert f">{minute} UTC<" in card() and f"{record['bundle_id']}, deployed" in card()
    # Where a real server has it.
    assert stranger.get("/connect/").text == stranger.get("/").text


def test_card_says_who_may_see_it(server, api, own_echo, card):
    url = f"content/{own_echo['guid']}"
    for access, words in (("logged_in", "all users"), ("all", "everybody"), ("acl", "admin only")):
        api.patch(url, json={"access_type": access})
        assert f"<dd>{words}</dd>" in card()
    user, group = server.users.by_name["josé"], server.users.groups["lecteurs"]
    for kind, principal in (("user", user), ("group", group)):
        body = {"principal_guid": principal.guid, "principal_type": kind, "role": "viewer"}
        api.post(f"{url}/permissions", json=body)
    assert "<dd>admin, josé, group lecteurs</dd>" in card()


def test_index_shows_the_commands_that_deploy(server, rsconnect, stranger):
    write_app(rsconnect.root / "my-api")
    shown = html.unescape(re.search("<pre>(.*?)</pre>", stranger.get("/").text, re.DOTALL)[1])
    readme = "\n".join(commands("Deploy", ROOT / "shared" / "connect" / "README.md"))
    assert shown == readme.replace("http://127.0.0.1:3939", server.url)
    for command in shown.replace("YOUR-API-KEY", server.api_key).splitlines():
        program, *arguments = shlex.split(command)
        assert program == "rsconnect"
        printed = rsconnect.run(*arguments)
    assert f"Direct content URL: {server.url}/content/" in printed


def test_reason_that_an_app_gives_is_shown_and_runs_nowhere(api, owner, stranger, content):
    app = "raise SystemExit('<script>alert(1)</script>')"
    bundle, task = deploy_bundle(api, content, make_bundle({"app.py": app}))
    assert task["code"] == 0  # as Connect, which starts it with the first request
    reason = owner.get(content["content_url"])
    assert reason.text.count("\n") == 1
    index, escaped = owner.get("/").text, "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert f"Bundle {bundle} failed: The app did not start: {escaped}." in index
    assert "Visitors still see" not in index
    url = f"/connect/apps/{content['guid']}/logs"
    log, page = stranger.get(url), stranger.get(url, headers=PAGE)
    assert (reason.status_code, log.status_code, page.status_code) == (502, 200, 200)
    for answer in (reason, log):
        assert "<script>" in answer.text
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "&lt;script&gt;" in page.text and "<script>" not in page.text


def test_index_runs_and_loads_nothing_and_is_in_no_frame(stranger):
    headers = stranger.get("/").headers
    policy = headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'"} < set(policy)
    assert headers["Cache-Control"] == "no-store"
