"""The pages for people: what is deployed, signing in and out, and logs."""

from __future__ import annotations

from flask import Blueprint, Response, abort, redirect, render_template, request

from shared.catalogue import EXAMPLES

from .contents import Content, Contents
from .users import Users

# Nothing but the page's own style is needed, so nothing else can run or be fetched.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def links(content: Content) -> list[tuple[str, str]]:
    """Label and URL of what the catalogue knows of a content; else of its mount."""
    mount = content.vanity or content.mount
    for example in EXAMPLES:
        if content.title == example.directory:
            consoles = [url for url in example.console_urls if "{" not in url]
            hello = [example.hello_url] if example.hello_url else []
            return [
                ("API", mount + example.list_url),
                *(("Console", mount + url) for url in consoles),
                *(("Hello", mount + url) for url in hello),
            ]
    return [("Open", mount + "/")]


def create_pages(contents: Contents, users: Users) -> Blueprint:
    """The blueprint of everything that is neither content nor the API."""
    pages = Blueprint("pages", __name__)

    def content_or_404(guid: str) -> Content:
        return contents.items.get(guid) or abort(404)

    def from_our_own_page() -> None:
        # Another site's form would send that site's origin; browsers send it with each POST.
        if request.headers.get("Origin") not in (
            contents.url,
            request.host_url.rstrip("/"),
        ):
            abort(403)

    @pages.get("/")
    def index():
        page = render_template(
            "index.html",
            contents=sorted(contents.items.values(), key=lambda content: content.name),
            links=links,
            user=users.by_session(request.environ),
            people=users.people.values(),
            url=contents.url,
        )
        return page, {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}

    @pages.post("/sign-in")
    def sign_in():
        from_our_own_page()
        user = users.people.get(request.form.get("user", "")) or abort(400)
        response = redirect("/", 303)
        response.set_cookie(
            users.cookie, users.sign_in(user), httponly=True, samesite="Lax"
        )
        return response

    @pages.post("/sign-out")
    def sign_out():
        from_our_own_page()
        users.sign_out(request.environ)
        response = redirect("/", 303)
        response.delete_cookie(users.cookie, httponly=True, samesite="Lax")
        return response

    @pages.get("/connect/apps/<guid>")
    def dashboard(guid):
        return redirect(f"/#{content_or_404(guid).guid}")

    @pages.get("/connect/apps/<guid>/draft/<int:bundle>")
    def draft(guid, bundle):
        return redirect(f"{content_or_404(guid).mount}/_bundle{bundle}/")

    @pages.get("/connect/apps/<guid>/logs")
    def logs(guid):
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        return Response(
            content_or_404(guid).log(), mimetype="text/plain", headers=headers
        )

    return pages
