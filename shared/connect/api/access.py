"""Who may use an operation: who may change the content in its URL, but for the operations here."""

from flask import abort, g, request

from ..current import store, users
from ..errors import ConnectError, Problem
from ..store import Content

WITHOUT_KEY = {"api.settings.server_settings", "api.others"}
FOR_VIEWERS = {
    "api.content.get_content",
    "api.content.get_content_by_number",
    "api.vanities.get_vanity",
}


def check_key() -> None:
    """Give views the user of the request as `g.user`; raises HTTPException without an API key.

    A wrong key is refused even where none is needed (posit-dev/connectapi, tests/integrated).
    """
    g.user = users.authorized(request.headers)
    if request.endpoint not in WITHOUT_KEY:
        need_key()


def need_key() -> None:
    """Raise ConnectError without an API key."""
    if g.user is None:
        raise ConnectError(Problem.SIGN_IN_FIRST, "This needs an API key.")


def find_content() -> None:
    """Give views what their URL names, if the user may use the operation on the content."""
    found = request.view_args or {}
    if "content" not in found:
        return
    content = found["content"] = store.get(found["content"])
    check_access(content)
    if "bundle" in found:
        found["bundle"] = content.bundle(found["bundle"])
    jobs = {job.key: job for job in list(content.jobs)}
    for name, those in (("job", jobs), ("permission", content.permissions)):
        if name in found:
            found[name] = those.get(found[name]) or abort(404, f"There is no such {name}.")


def check_access(content: Content) -> None:
    """Raise HTTPException unless the user may use the request's operation on a content."""
    user, owner = g.user, content.owner
    role = content.role_of(user)
    if role == "none":
        message = f"{user.name} may not see this content of {owner.name}."
        raise ConnectError(Problem.NO_VIEW, message)
    if role == "viewer" and request.endpoint not in FOR_VIEWERS:
        who = f"only {owner.name}, who owns the content, and collaborators may"
        abort(403, f"{user.name} may not do this: {who}.")
