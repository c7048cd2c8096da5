"""The pages in a browser: an index of what is deployed, signing in and out, and logs."""

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    redirect,
    render_template,
    request,
    session,
)

from .contents import Content
from .current import contents, users
from .errors import PLAIN
from .jobs import BUILD, Job, timestamp

# The page needs its own style only, so nothing else may run or load.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
Links = dict[str, list[tuple[str, str]]]  # of a content's title: labels and paths

blueprint = Blueprint("pages", __name__)


@blueprint.before_request
def check_origin():
    # A browser sends with each POST the origin of the page that has the form.
    origins = (contents.url, request.host_url.rstrip("/"))
    if request.method == "POST" and request.headers.get("Origin") not in origins:
        abort(403, "This form was not sent from a page of this server.")


@blueprint.get("/")
@blueprint.get("/connect/")
@blueprint.get("/sign-in")
def index():
    wanted, links = request.args.get("next", ""), current_app.config["LINKS"]
    found = contents.find(wanted.partition("?")[0])
    page = render_template(
        "index.html",
        contents=sorted(contents.all(), key=lambda content: content.name),
        links=lambda content: links.get(content.title, [("Open", "/")]),
        visitors_of=visitors_of,
        user=users.by_name.get(session.get("user", "")),
        users=users.by_name.values(),
        processes=contents.processes_each,
        url=contents.url,
        next=wanted,
        wanted=found and found[0],
    )
    return page, {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}


@blueprint.post("/sign-in")
def sign_in():
    name = request.form.get("user", "")
    if name not in users.by_name:
        abort(400, "There is no such user.")
    session["user"] = name
    wanted = request.form.get("next", "")
    # Below this origin whatever is wanted: `//host` alone would be another site.
    path = wanted if wanted.startswith("/") else "/"
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
    text = "\n".join(map(log_of, contents.get(guid).jobs[::-1]))
    return Response(text, headers=PLAIN)


def visitors_of(content: Content) -> str:
    """Who may see a content, in words."""
    words = {"all": "everybody", "logged_in": "all users"}
    return words.get(content.access_type, f"{content.owner.name} only")


def log_of(job: Job) -> str:
    """The log of a job as text, below a line that says what became of it."""
    kind = "Build" if job.tag == BUILD else f"Process {job.pid or ''}".rstrip()
    title = f"{kind} of bundle {job.bundle_id} {job.ending or 'is running'}"
    lines = [f"{timestamp(time)} {source}: {text}" for time, source, text in job.entries]
    return "\n".join([title, "=" * len(title), *lines, ""])
