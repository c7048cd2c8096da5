"""Who may use an operation: who may change the content in its URL, unless `open_to` says more."""

from collections.abc import Callable

from flask import abort, current_app, g, request

from ..current import store, users
from ..errors import ConnectError, Problem
from ..store import Content

_open_to: dict[Callable, str] = {}


def open_to(whom: str) -> Callable[[Callable], Callable]:
    """Open an operation to more: `viewers` of the content, or `all`, who need no API key."""

    def mark(view: Callable) -> Callable:
        _open_to[view] = whom
        return view

    return mark


def is_open_to(whom: str) -> bool:
    """Whether the operation that the request wants is open to them."""
    return _open_to.get(current_app.view_functions[str(request.endpoint)]) == whom


def check_key() -> None:
    """Give views the user of the request as `g.user`; raises HTTPException without an API key.

    A wrong key is refused even where none is needed (posit-dev/connectapi, tests/integrated).
    """
    g.user = users.authorized(request.headers)
    if not is_open_to("all"):
        need_key()


def need_key() -> None:
    if g.user is None:
        raise ConnectError(Problem.SIGN_IN_FIRST, "This needs an API key.")


def find_content() -> None:
    """Give views the content, the bundle and the job of their URL, if the user may have them."""
    found = request.view_args
    if not found or "content" not in found:
        return
    content = found["content"] = store.get(found["content"])
    check_access(content)
    if "bundle" in found:
        found["bundle"] = content.bundle(found["bundle"])
    if "job" in found:
        jobs = {job.key: job for job in list(content.jobs)}
        found["job"] = jobs.get(found["job"]) or abort(404, "There is no such job.")


def check_access(content: Content) -> None:
    """Raise HTTPException unless the user may use the request's operation on a content."""
    user, owner = g.user, content.owner
    role = content.role_of(user)
    if role == "none":
        message = f"{user.name} may not see this content of {owner.name}."
        raise ConnectError(Problem.NO_VIEW, message)
    if role == "viewer" and not is_open_to("viewers"):
        who = f"only {owner.name}, who owns the content, and collaborators may"
        abort(403, f"{user.name} may not do this: {who}.")
