"""Who may see a content, how visitors sign in, and what of that the app is told."""

import json

import pytest

from shared.connect.server import LocalConnect
from tests.connect.support import ask_echo, deploy_bundle, key_client, make_bundle

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def credentials_of(echoed):
    """The value of the header that tells the app of a visitor, None without one."""
    header = echoed["environ"].get("HTTP_RSTUDIO_CONNECT_CREDENTIALS")
    # WSGI decodes the header's bytes as Latin-1, PEP 3333.
    return header and json.loads(header.encode("latin-1"))


@pytest.mark.local
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


@pytest.mark.local
def test_refusal_says_why_in_one_line(server, viewer, stranger, echo):
    message = f"This content is not public: send an API key, or sign in at {server.url}/.\n"
    for method in ("GET", "POST"):
        headers = PAGE if method == "POST" else {}
        assert stranger.request(method, echo["content_url"], headers=headers).text == message
    message = f"josé may not see this content of admin. {server.url}/ signs others in.\n"
    assert viewer.get(echo["content_url"], headers=PAGE).text == message


@pytest.mark.local
def test_browser_signs_in_and_comes_back(server, stranger, echo):
    wanted = f"{echo['content_url']}a%20b//?c=%26&d"
    sent = stranger.get(wanted, headers=PAGE)
    assert sent.status_code == 302
    page = stranger.get(sent.headers["location"])
    assert page.status_code == 200 and 'name="user" value="admin"' in page.text
    form = {"user": "admin", "next": page.url.params["next"]}
    back = stranger.post("/sign-in", data=form, headers={"Origin": server.url})
    assert (back.status_code, back.headers["location"]) == (303, wanted)
    assert stranger.get(wanted, headers=PAGE).status_code == 200


@pytest.mark.local
@pytest.mark.parametrize("wanted", ["//evil.example/", "https://evil.example", "@evil", ""])
def test_signing_in_leads_to_no_other_site(server, stranger, wanted):
    form, origin = {"user": "admin", "next": wanted}, {"Origin": server.url}
    sent = stranger.post("/sign-in", data=form, headers=origin)
    assert sent.headers["location"].startswith(f"{server.url}/")


@pytest.mark.local
def test_only_forms_of_this_server_sign_in_its_users(server, stranger, public_echo):
    form, origin = {"user": "josé"}, {"Origin": server.url}
    foreign = stranger.post("/sign-in", data=form, headers={"Origin": "http://evil.example"})
    assert foreign.status_code == stranger.post("/sign-in", data=form).status_code == 403
    assert stranger.post("/sign-in", data={"user": "nobody"}, headers=origin).status_code == 400
    assert credentials_of(ask_echo(stranger, public_echo)) is None
    cookie = stranger.post("/sign-in", data=form, headers=origin).headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    assert credentials_of(ask_echo(stranger, public_echo))["user"] == "josé"
    # The session is for content only: a page of an app cannot deploy.
    assert stranger.get("/__api__/v1/user").status_code == 401
    stranger.post("/sign-out", headers=origin)
    assert credentials_of(ask_echo(stranger, public_echo)) is None


@pytest.mark.local
def test_session_of_another_server_does_not_sign_in(server, stranger, environments, echo):
    with LocalConnect(environments=environments) as other:
        form, origin = {"user": "admin"}, {"Origin": other.url}
        stranger.post(f"{other.url}/sign-in", data=form, headers=origin)
        session = stranger.cookies[f"connect-{other.port}"]
    cookie = {"Cookie": f"connect-{server.port}={session}"}
    assert stranger.get(echo["content_url"], headers=cookie).status_code == 401


@pytest.mark.local
@pytest.mark.parametrize(
    "name",
    [
        "rstudio-connect-credentials",
        "RStudio_Connect-Credentials",
        "RSTUDIO_CONNECT_CREDENTIALS",
        "rStudio-Connect_credentials",
    ],
)
def test_credentials_cannot_be_forged(viewer, stranger, public_echo, name):
    forged = [(name, '{"user": "root"}'), (name, '{"user": "admin"}')]
    assert credentials_of(ask_echo(stranger, public_echo, headers=forged)) is None
    echoed = ask_echo(viewer, public_echo, headers=forged)
    assert credentials_of(echoed) == {"user": "josé", "groups": ["équipe", "lecteurs"]}


@pytest.mark.local
def test_credentials_are_json_in_utf_8(viewer, public_echo):
    """Not in ASCII: an app that does not parse them must find the name, too."""
    header = ask_echo(viewer, public_echo)["environ"]["HTTP_RSTUDIO_CONNECT_CREDENTIALS"]
    text = header.encode("latin-1").decode()
    assert '"josé"' in text and '"équipe"' in text


@pytest.mark.local
@pytest.mark.parametrize(
    "name", ["Prefix", "Server", "Port", "For", "Host", "Proto", "Ssl", "User"]
)
def test_no_client_says_how_it_came(owner, echo, name):
    environ = ask_echo(owner, echo, headers={f"X-Forwarded-{name}": "evil.example"})["environ"]
    assert "evil.example" not in environ.values()


@pytest.mark.local
def test_app_is_told_guids_with_that_option(environments):
    users = [("ada", ["editors", "admins"]), ("admin", ["admins"])]
    with LocalConnect(environments=environments, users=users, guids=True) as server:
        with key_client(server, "admin", "/__api__/v1/") as api:
            content = api.post("content", json={"name": "guids"}).json()
            api.patch(f"content/{content['guid']}", json={"access_type": "logged_in"})
            deploy_bundle(api, content, make_bundle())
            admin = credentials_of(ask_echo(api, content))
        with key_client(server, "ada") as client:
            ada = credentials_of(ask_echo(client, content))
        assert ada["user"] == server.users.by_name["ada"].guid
        editors, admins = (server.users.groups[name].guid for name in ("editors", "admins"))
        assert (ada["groups"], admin["groups"]) == ([editors, admins], [admins])
        assert len({editors, admins, ada["user"], admin["user"]}) == 4


KEYS = [
    [("Authorization", "Key {}")],
    [("AUTHORIZATION", "key {}")],
    [("Authorization", "KEY\t{}")],
    [("X-RSC-Authorization", "Key {}")],
    [("x-rsc-authorization", "kEY  {}"), ("Authorization", "Key {}")],
]


@pytest.mark.parametrize("headers", KEYS, ids=str)
def test_key_says_who_asks_and_does_not_reach_the_app(server, api, stranger, echo, headers):
    name = api.get("user").json()["username"]
    headers = [(name, value.format(server.api_key)) for name, value in headers]
    echoed = ask_echo(stranger, echo, headers=headers)
    assert credentials_of(echoed)["user"] == name
    assert server.api_key not in json.dumps(echoed)
    assert stranger.get("/__api__/v1/user", headers=headers).json()["username"] == name


@pytest.mark.parametrize("own", ["Key mine", "Basic YTpi", "Bearer its-own", "key", "Keys a, b"])
def test_app_gets_an_authorization_of_its_own(server, stranger, echo, own):
    """X-RSC-Authorization is Connect's, so the other is the app's: Connect's guide, API keys."""
    headers = {"X-RSC-Authorization": f"Key {server.api_key}", "Authorization": own}
    environ = ask_echo(stranger, echo, headers=headers)["environ"]
    assert environ["HTTP_AUTHORIZATION"] == own
    assert "HTTP_X_RSC_AUTHORIZATION" not in environ


@pytest.mark.local
def test_key_of_a_request_wins_over_a_session(server, stranger, echo, viewer):
    origin = {"Origin": server.url}
    stranger.post("/sign-in", data={"user": "admin"}, headers=origin)
    assert credentials_of(ask_echo(stranger, echo))["user"] == "admin"
    for name in ("Authorization", "X-RSC-Authorization"):
        for key, code in ((viewer.headers["Authorization"], 403), ("Key wrong", 401)):
            refused = stranger.get(echo["content_url"], headers={name: key})
            assert refused.status_code == code


# What a browser sends, and what the app gets; OURS is the cookie of this server's session.
SENT_COOKIES = [
    ("OURS=x", None),
    ("a=1", "a=1"),
    ("OURS=x; a=1", "a=1"),
    ("b=2; OURS=x;a=1", "b=2;a=1"),
    ("b=2;OURS=x", "b=2"),
    ("b=2;  OURS = x ;  a=1;", "b=2;  a=1;"),
    ("OURS=x; b=2; OURS=y", "b=2"),
    ("OURS; a=1", "a=1"),
    ('a="x; y"; A=1; a=2; ; =3; OURS=x', 'a="x; y"; A=1; a=2; ; =3'),
    ("OURSx=1; xOURS=2; a=OURS=3", "OURSx=1; xOURS=2; a=OURS=3"),
    ("a=1, OURS=x, b=2", "a=1, b=2"),  # of several headers
]


@pytest.mark.local
@pytest.mark.parametrize(("sent", "got"), SENT_COOKIES)
def test_cookies_reach_the_app_but_for_the_session(server, owner, echo, sent, got):
    ours = f"connect-{server.port}"
    environ = ask_echo(owner, echo, headers={"Cookie": sent.replace("OURS", ours)})["environ"]
    assert environ.get("HTTP_COOKIE") == (got and got.replace("OURS", ours))


@pytest.mark.local
@pytest.mark.parametrize("name", ["Authorization", "X-RSC-Authorization"])
def test_wrong_key_is_refused_even_by_public_content(stranger, public_echo, name):
    refused = stranger.get(public_echo["content_url"], headers={name: "Key wrong"})
    assert (refused.status_code, refused.text) == (401, "The API key is not valid.\n")


@pytest.mark.parametrize(("key", "code"), [("Key wrong", 30), ("Bearer x", 24), ("", 24)])
def test_api_needs_a_key(stranger, api, own_echo, key, code):
    """30 is what `verify_api_key_response` in the client's api.py reads."""
    bundle, task = deploy_bundle(api, own_echo, make_bundle())
    content = f"content/{own_echo['guid']}"
    for path in ("user", content, f"{content}/bundles/{bundle}/download", f"tasks/{task['id']}"):
        response = stranger.get(f"/__api__/v1/{path}", headers={"Authorization": key})
        assert (response.status_code, response.json()["code"]) == (401, code), path
        assert api.get(path).status_code == 200
