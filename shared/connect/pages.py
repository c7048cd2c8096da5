"""The pages in a browser: an index of what is deployed, signing in and out, and logs."""

from flask import Blueprint, abort, current_app, redirect, render_template, request, session

from .current import store, users
from .errors import PLAIN
from .jobs import BUILD, Entry, Job, timestamp
from .store import Content
from .users import User

# The page needs its own style only, so nothing else may run or load.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
LOG_SIZE, LINE_SIZE = 2**18, 64  # characters of a page of logs, and of a line without its text
Links = dict[str, list[tuple[str, str]]]  # of a content's title: labels and paths

blueprint = Blueprint("pages", __name__)


@blueprint.before_request
def check_origin():
    # A browser sends with each POST the origin of the page that has the form.
    origins = (store.url, request.host_url.rstrip("/"))
    if request.method == "POST" and request.headers.get("Origin") not in origins:
        abort(403, "This form was not sent from a page of this server.")


@blueprint.get("/")
@blueprint.get("/connect/")
@blueprint.get("/sign-in")
def index():
    target, links = request.args.get("next", ""), current_app.config["LINKS"]
    found = store.find(target.partition("?")[0])
    page = render_template(
        "index.html",
        contents=sorted(store.all(), key=lambda content: content.name),
        links=lambda content: links.get(content.title, [("Open", "/")]),
        visitors_of=visitors_of,
        user=users.by_name.get(session.get("user", "")),
        users=users.by_name.values(),
        processes=store.processes,
        url=store.url,
        next=target,
        content_of_next=found and found[0],
    )
    return page, HEADERS


@blueprint.post("/sign-in")
def sign_in():
    name = request.form.get("user", "")
    if name not in users.by_name:
        abort(400, "There is no such user.")
    session["user"] = name
    target = request.form.get("next", "")
    # Below this origin in any case: `//host` alone would be another site.
    path = target if target.startswith("/") else "/"
    return redirect(f"{request.headers['Origin']}{path}", 303)


@blueprint.post("/sign-out")
def sign_out():
    session.clear()
    return redirect("/", 303)


@blueprint.get("/__ping__")
def ping():
    return {}


@blueprint.get("/connect/apps/<guid>/logs")
def logs(guid):
    content = store.get(guid)
    jobs = last_lines(content.jobs)
    if "text/html" in request.headers.get("Accept", ""):
        title = content.title or content.name
        page = render_template("log.html", title=title, guid=guid, jobs=jobs)
        return page, HEADERS
    text = []
    for heading, lines in jobs:
        text += [heading, "=" * len(heading)]
        text += [f"{timestamp(time)} {source}: {line}" for time, source, line in lines] + [""]
    return "\n".join(text), PLAIN


def last_lines(jobs: list[Job]) -> list[tuple[str, list[Entry]]]:
    """The last LOG_SIZE characters of the jobs, the newest at the end, below their headings."""
    found: list[tuple[str, list[Entry]]] = []
    left = LOG_SIZE
    for job in jobs[::-1]:
        if left < 0:
            break
        lines: list[Entry] = []
        for entry in reversed(job.entries):
            left -= len(entry.text) + LINE_SIZE
            if left < 0:
                lines.append(Entry(entry.time, "lost", "... older lines: GET v1/content/GUID/jobs"))
                break
            lines.append(entry)
        kind = "Build" if job.tag == BUILD else f"Process {job.pid or ''}".rstrip()
        heading = f"{kind} of bundle {job.bundle_id} {job.ending or 'is running'}"
        found.append((heading, lines[::-1]))
    return found[::-1]


def visitors_of(content: Content) -> str:
    """Who may see a content, in words."""
    if content.access_type != "acl":
        return {"all": "everybody", "logged_in": "all users"}[content.access_type]
    names = [
        principal.name if isinstance(principal, User) else f"group {principal.name}"
        for principal in (each.principal for each in list(content.permissions.values()))
    ]
    return ", ".join([content.owner.name, *names]) if names else f"{content.owner.name} only"
