"""What the API and the pages let users do who do not own a content."""

import re

import httpx
import pytest
from flask import Flask

from shared.connect.api import blueprint
from shared.connect.server import LocalConnect
from tests.connect.support import deploy_bundle, make_bundle, problem

pytestmark = pytest.mark.local
# All that viewers may do with a content that they may see.
OPEN = {
    ("GET", "/v1/content/<content>"),
    ("GET", "/v1/content/<content>/vanity"),
    ("GET", "/applications/<number>"),
}


def rules():
    """The method and the path of each operation that concerns one content."""
    app = Flask(__name__)
    app.register_blueprint(blueprint)
    for rule in app.url_map.iter_rules():
        if "<content>" in rule.rule or "<number>" in rule.rule:
            for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
                yield method, rule.rule.removeprefix("/__api__")


@pytest.fixture(scope="module")
def shared(api):
    """A content that all users may see, with a bundle, jobs and a vanity path."""
    content = api.post("content", json={"access_type": "logged_in"}).json()
    bundle, _ = deploy_bundle(api, content, make_bundle())
    api.get(content["content_url"])
    url = f"content/{content['guid']}"
    api.put(f"{url}/vanity", json={"path": "rights"})
    parts = {"<content>": content["guid"], "<number>": content["id"], "<bundle>": bundle}
    yield parts | {"<job>": api.get(f"{url}/jobs").json()[0]["key"]}
    api.delete(url)


@pytest.mark.parametrize(("method", "rule"), list(rules()))
def test_viewer_may_use_no_operation_but_two(server, api, viewer, shared, method, rule):
    path = re.sub("<[^>]+>", lambda part: shared[part[0]], rule)
    answer = viewer.request(method, f"/__api__{path}", json={})
    if (method, rule) in OPEN:
        assert answer.status_code == 200, answer.text
    else:
        assert problem(answer) == (403, 22)
        told = "josé may not do this: only admin may, who owns the content."
        assert answer.json()["error"] == told
    content = f"content/{shared['<content>']}"
    api.patch(content, json={"access_type": "acl"})
    answer = viewer.request(method, f"/__api__{path}", json={})
    api.patch(content, json={"access_type": "logged_in"})
    assert problem(answer) == (403, 19)
    assert answer.json()["error"] == "josé may not see this content of admin."


def test_refusal_names_the_user_and_the_right(viewer):
    told = viewer.post("/__api__/v1/content", json={}).json()["error"]
    assert told == "josé is a viewer and may not publish. Use the API key of admin."
    told = viewer.get("/__api__/v1/vanities").json()["error"]
    assert told == "josé may not list all vanity paths: only administrators may."


def test_session_signs_in_to_content_only(server, stranger, viewer, shared):
    """It neither opens the API nor wins over an API key."""
    stranger.post("/sign-in", data={"user": "admin"}, headers={"Origin": server.url})
    assert stranger.get("/__api__/v1/user").status_code == 401
    key = {"Authorization": viewer.headers["Authorization"]}
    assert stranger.get("/__api__/v1/user", headers=key).json()["username"] == "josé"
    told = stranger.get(f"/content/{shared['<content>']}/", headers=key).json()
    credentials = told["environ"]["HTTP_RSTUDIO_CONNECT_CREDENTIALS"].encode("latin-1")
    assert '"user": "josé"' in credentials.decode()
    wrong = {"Authorization": "Key wrong"}
    assert stranger.get(f"/content/{shared['<content>']}/", headers=wrong).status_code == 401


def test_connects_own_header_wins(viewer, api):
    """As the user guide says; an app may need the other."""
    for first, second, name in ((viewer, api, "josé"), (api, viewer, "admin")):
        keys = [client.headers["Authorization"] for client in (first, second)]
        headers = dict(zip(("X-RSC-Authorization", "Authorization"), keys, strict=True))
        assert viewer.get("/__api__/v1/user", headers=headers).json()["username"] == name
    headers = {"X-RSC-Authorization": "Key wrong"}
    assert problem(viewer.get("/__api__/v1/user", headers=headers)) == (401, 30)


@pytest.mark.parametrize("path", ["/sign-out", "/sign-in"])
def test_only_a_form_of_a_page_changes_who_is_signed_in(server, stranger, path):
    origin = {"Origin": server.url}
    stranger.post("/sign-in", data={"user": "josé"}, headers=origin)
    stranger.get(path, headers=origin)
    assert "Signed in as josé" in stranger.get("/").text
    for headers in ({}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"}):
        assert (
            stranger.post(path, data={"user": "admin"}, headers=headers, timeout=60).status_code
            == 403
        )
    assert "Signed in as josé" in stranger.get("/").text


def test_forms_come_from_the_public_address_or_this_machine(environments):
    """A browser opens what the command has printed, or the port itself."""
    with LocalConnect(environments=environments, address="https://a.example") as server:
        for host, origin in (
            ("a.example", "https://a.example"),
            (f"localhost:{server.port}", f"http://localhost:{server.port}"),
            (f"127.0.0.1:{server.port}", f"http://127.0.0.1:{server.port}"),
        ):
            headers = {"Host": host, "Origin": origin}
            url = f"http://127.0.0.1:{server.port}/sign-in"
            sent = httpx.post(url, data={"user": "admin"}, headers=headers, timeout=60)
            assert (sent.status_code, sent.headers["location"]) == (303, f"{origin}/")
