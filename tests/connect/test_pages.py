"""The pages in a browser, without one; tests/test_index.py has one."""

import pytest

from tests.connect.support import ask_echo

pytestmark = pytest.mark.local


def test_index_links_what_is_deployed(stranger, publisher, owner, own_echo):
    publisher.patch(f"content/{own_echo['guid']}", json={"title": "<b>Echo</b>"})
    assert "not started" in stranger.get("/").text
    ask_echo(owner, own_echo)
    page = stranger.get("/").text
    assert "&lt;b&gt;Echo&lt;/b&gt;" in page and "<b>Echo" not in page
    assert f'href="/content/{own_echo["guid"]}/"' in page
    assert "running" in page and "Sign in as admin" in page
    # Where a real server has it, with an element for each URL that the client prints.
    assert stranger.get("/connect/").text == page
    fragment = own_echo["dashboard_url"].partition("#")[2]
    assert f'id="{fragment}"' in page and f'id="{fragment}/logs"' in page


def test_index_runs_and_loads_nothing_and_is_in_no_frame(stranger):
    headers = stranger.get("/").headers
    policy = headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'"} < set(policy)
    assert headers["Cache-Control"] == "no-store"
