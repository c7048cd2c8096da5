"""Who may see a content and change it, and what of that reaches the app."""

import json
import re

import pytest
from flask import Flask

from shared.connect.api import blueprint
from tests.connect.support import (
    PAGE,
    ask_echo,
    credentials_of,
    deploy_bundle,
    key_client,
    make_bundle,
    problem,
)


def test_access_type_says_who_sees_content(api, owner, viewer, stranger, own_echo):
    """Also its drafts. {} is new content, as it is."""
    draft, _ = deploy_bundle(api, own_echo, make_bundle(), activate=False)
    for changes, expected in (
        ({}, [200, 403, 401]),
        ({"access_type": "all"}, [200, 200, 200]),
        ({"access_type": "logged_in"}, [200, 200, 401]),
        ({"access_type": "acl"}, [200, 403, 401]),
    ):
        api.patch(f"content/{own_echo['guid']}", json=changes)
        for path in ("", f"_bundle{draft}/"):
            url = own_echo["content_url"] + path
            codes = [client.get(url).status_code for client in (owner, viewer, stranger)]
            assert codes == expected, (changes, path)


def test_refusal_says_why_in_one_line(server, viewer, stranger, echo):
    message = f"This content is not public: send an API key, or sign in at {server.url}/.\n"
    for method in ("GET", "POST"):
        headers = PAGE if method == "POST" else {}
        assert stranger.request(method, echo["content_url"], headers=headers).text == message
    message = f"josé may not see this content of admin. {server.url}/ signs others in.\n"
    assert viewer.get(echo["content_url"], headers=PAGE).text == message
    error = viewer.post("/__api__/v1/content", json={}).json()["error"]
    assert error == "josé is a viewer and may not publish. Use the API key of admin."
    error = viewer.get("/__api__/v1/vanities").json()["error"]
    assert error == "josé may not list all vanity paths: only administrators may."


def test_credentials_are_json_in_utf_8_and_cannot_be_forged(viewer, stranger, public_echo):
    """Not in ASCII: an app that does not parse them must find the name, too."""
    names = ("rstudio-connect-credentials", "RStudio_Connect-Credentials")
    forged = [(name, '{"user": "root"}') for name in names]
    assert credentials_of(ask_echo(stranger, public_echo, headers=forged)) is None
    echoed = ask_echo(viewer, public_echo, headers=forged)
    assert credentials_of(echoed) == {"user": "josé", "groups": ["équipe", "lecteurs"]}
    header = echoed["environ"]["HTTP_RSTUDIO_CONNECT_CREDENTIALS"]
    assert '"josé"' in header.encode("latin-1").decode()


def test_key_says_who_asks_and_does_not_reach_the_app(server, stranger, echo):
    """Beside X-RSC-Authorization the other is the app's: Connect's guide, API keys."""
    key = f"Key {server.api_key}"
    for value in (key, "Key mine", "Basic YTpi"):
        headers = {"X-RSC-Authorization": key, "Authorization": value}
        echoed = ask_echo(stranger, echo, headers=headers)
        assert credentials_of(echoed)["user"] == "admin"
        assert echoed["environ"].get("HTTP_AUTHORIZATION") == (None if value == key else value)
        assert server.api_key not in json.dumps(echoed)
    headers = {"Authorization": f"kEY \t{server.api_key}"}
    echoed = ask_echo(stranger, echo, headers=headers)
    assert credentials_of(echoed)["user"] == "admin"
    assert server.api_key not in json.dumps(echoed)
    assert stranger.get("/__api__/v1/user", headers=headers).json()["username"] == "admin"


# What a browser sends, and what the app gets; OURS is the cookie of this server's session.
SENT_COOKIES = [
    ("OURS", None),
    ("b=2;  OURS = x ;  a=1;", "b=2;  a=1;"),
    ('a="x; y"; A=1; a=2; ; =3; OURS=x', 'a="x; y"; A=1; a=2; ; =3'),
    ("OURSx=1; xOURS=2; a=OURS=3", "OURSx=1; xOURS=2; a=OURS=3"),
    ("a=1, OURS=x, b=2", "a=1, b=2"),  # of several headers
    ("connect-1=x; a=1; connect-65535=y", "a=1"),  # of other local Connects
]


@pytest.mark.parametrize(("sent", "got"), SENT_COOKIES)
def test_cookies_reach_the_app_but_for_the_session(server, owner, echo, sent, got):
    ours = f"connect-{server.port}"
    environ = ask_echo(owner, echo, headers={"Cookie": sent.replace("OURS", ours)})["environ"]
    assert environ.get("HTTP_COOKIE") == (got and got.replace("OURS", ours))


def rules():
    """The method and the path of each operation."""
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(blueprint)
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            yield method, rule.rule.removeprefix("/__api__")


@pytest.mark.parametrize(("key", "code"), [("Key wrong", 30), ("Bearer x", 24)])
def test_api_needs_a_key(stranger, key, code):
    """30 is what `verify_api_key_response` in the client's api.py reads."""
    for method, rule in rules():
        path = f"/__api__{re.sub('<[^>]+>', 'x', rule)}"
        response = stranger.request(method, path, headers={"Authorization": key})
        if code == 30 or rule not in ("/server_settings", "/", "/<path:path>"):
            assert problem(response) == (401, code)


# All that viewers may do with a content that they may see.
OPEN = ["/v1/content/<content>", "/v1/content/<content>/vanity", "/applications/<number>"]


@pytest.mark.parametrize(
    ("method", "rule"),
    [each for each in rules() if "<content>" in each[1] or "<number>" in each[1]],
)
def test_viewer_may_use_open_operations_only(api, viewer, content, method, rule):
    url = f"content/{content['guid']}"
    api.put(f"{url}/vanity", json={"path": content["name"]})
    path = rule.replace("<content>", content["guid"]).replace("<number>", content["id"])
    path = f"/__api__{re.sub('<[^>]+>', 'x', path)}"
    refused = viewer.request(method, path, json={})
    assert problem(refused) == (403, 19)
    assert refused.json()["error"] == "josé may not see this content of admin."
    api.patch(url, json={"access_type": "logged_in"})
    answer = viewer.request(method, path, json={})
    if method == "GET" and rule in OPEN:
        assert answer.status_code == 200, answer.text
    else:
        assert problem(answer) == (403, 22)
        message = "josé may not do this: only admin, who owns the content, and collaborators may."
        assert answer.json()["error"] == message


def test_user_is_let_in_and_shut_out(server, api, viewer, own_echo):
    """Connect's cookbook, Sharing content: `viewer` sees, `owner` changes and deploys, too."""
    url, user = f"content/{own_echo['guid']}", server.users.by_name["josé"].guid
    body = {"principal_guid": user, "principal_type": "user", "role": "viewer"}
    added = api.post(f"{url}/permissions", json={**body, "send_email": False}).json()
    assert added == {"id": added["id"], "content_guid": own_echo["guid"], **body}
    one = f"{url}/permissions/{added['id']}"
    assert [api.get(one).json()] == api.get(f"{url}/permissions").json() == [added]
    assert viewer.get(own_echo["content_url"]).status_code == 200
    seen = viewer.get(f"/__api__/v1/{url}").json()
    assert seen["app_role"] == "viewer" and seen in viewer.get("/__api__/v1/content").json()
    # A second POST changes the first.
    assert api.post(f"{url}/permissions", json=body | {"role": "owner"}).json()["id"] == added["id"]
    with key_client(server, "josé", "/__api__/v1/") as collaborator:
        assert collaborator.patch(url, json={"title": "Changed"}).json()["app_role"] == "editor"
        assert deploy_bundle(collaborator, own_echo, make_bundle())[1]["code"] == 0
    assert api.put(one, json=body).json() == added
    assert problem(viewer.patch(f"/__api__/v1/{url}", json={})) == (403, 22)
    assert api.delete(one).status_code == 204
    assert api.get(f"{url}/permissions").json() == []
    assert viewer.get(own_echo["content_url"]).status_code == 403


def test_group_is_let_in(server, api, viewer, own_echo):
    url = f"content/{own_echo['guid']}/permissions"
    group, user = server.users.groups["lecteurs"].guid, server.users.by_name["josé"].guid
    body = {"principal_guid": group, "principal_type": "group", "role": "viewer"}
    added = api.post(url, json=body).json()
    assert viewer.get(own_echo["content_url"]).status_code == 200
    another = {"principal_guid": user, "principal_type": "user", "role": "viewer"}
    assert problem(api.put(f"{url}/{added['id']}", json=another)) == (400, 25)
    api.delete(f"{url}/{added['id']}")
    assert viewer.get(own_echo["content_url"]).status_code == 403
