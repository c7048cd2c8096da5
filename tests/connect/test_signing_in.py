"""How visitors sign in, and which forms and keys say who they are."""

import httpx

from shared.connect.server import LocalConnect
from tests.connect.support import PAGE, ask_echo, credentials_of, problem


def test_browser_signs_in_and_comes_back_to_this_server(server, stranger, echo):
    target = f"{echo['content_url']}a%20b//?c=%26&d"
    sent = stranger.get(target, headers=PAGE)
    assert sent.status_code == 302
    page = stranger.get(sent.headers["location"])
    assert page.status_code == 200 and 'name="user" value="admin"' in page.text
    form = {"user": "admin", "next": page.url.params["next"]}
    back = stranger.post("/sign-in", data=form, headers={"Origin": server.url})
    assert (back.status_code, back.headers["location"]) == (303, target)
    assert stranger.get(target, headers=PAGE).status_code == 200
    for other in ("//evil.example/", "https://evil.example", "@evil"):
        form["next"] = other
        sent = stranger.post("/sign-in", data=form, headers={"Origin": server.url})
        assert sent.headers["location"].startswith(f"{server.url}/"), other


def test_app_is_told_who_has_signed_in(server, stranger, public_echo):
    form, origin = {"user": "josé"}, {"Origin": server.url}
    assert stranger.post("/sign-in", data={"user": "nobody"}, headers=origin).status_code == 400
    assert credentials_of(ask_echo(stranger, public_echo)) is None
    cookie = stranger.post("/sign-in", data=form, headers=origin).headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    assert credentials_of(ask_echo(stranger, public_echo))["user"] == "josé"
    stranger.post("/sign-out", headers=origin)
    assert credentials_of(ask_echo(stranger, public_echo)) is None


def test_session_of_another_server_does_not_sign_in(server, stranger, environments, echo):
    with LocalConnect(environments=environments) as other:
        form, origin = {"user": "admin"}, {"Origin": other.url}
        stranger.post(f"{other.url}/sign-in", data=form, headers=origin)
        session = stranger.cookies[f"connect-{other.port}"]
    cookie = {"Cookie": f"connect-{server.port}={session}"}
    assert stranger.get(echo["content_url"], headers=cookie).status_code == 401


def test_session_signs_in_to_content_only(server, stranger, viewer, public_echo):
    """It neither opens the API nor wins over an API key."""
    stranger.post("/sign-in", data={"user": "admin"}, headers={"Origin": server.url})
    assert stranger.get("/__api__/v1/user").status_code == 401
    key = {"Authorization": viewer.headers["Authorization"]}
    assert stranger.get("/__api__/v1/user", headers=key).json()["username"] == "josé"
    echoed = stranger.get(public_echo["content_url"], headers=key).json()
    assert credentials_of(echoed)["user"] == "josé"
    wrong = {"Authorization": "Key wrong"}
    assert stranger.get(public_echo["content_url"], headers=wrong).status_code == 401


def test_connects_own_header_wins(viewer, api):
    """As the user guide says; an app may need the other."""
    for first, second, name in ((viewer, api, "josé"), (api, viewer, "admin")):
        keys = [client.headers["Authorization"] for client in (first, second)]
        headers = dict(zip(("X-RSC-Authorization", "Authorization"), keys, strict=True))
        assert viewer.get("/__api__/v1/user", headers=headers).json()["username"] == name
    headers = {"X-RSC-Authorization": "Key wrong"}
    assert problem(viewer.get("/__api__/v1/user", headers=headers)) == (401, 30)


def test_only_a_form_of_a_page_changes_who_is_signed_in(server, stranger):
    origin, form = {"Origin": server.url}, {"user": "admin"}
    stranger.post("/sign-in", data={"user": "josé"}, headers=origin)
    for path in ("/sign-out", "/sign-in"):
        stranger.get(path, headers=origin)
        for headers in ({}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"}):
            assert stranger.post(path, data=form, headers=headers).status_code == 403
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
