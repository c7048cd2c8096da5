"""The operations below /__api__/ that publishers use, and 501 for Connect's others.

Each resource has a file, with its operations and its records: their fields are those of Connect's
API reference and of real answers. See https://docs.posit.co/connect/api/, and the answers that
posit-dev/connectapi and posit-dev/posit-sdk-py have recorded for their tests.
"""

import re

from flask import Blueprint, request

from ..errors import ConnectError, Problem, not_implemented, quoted
from . import bundles, content, jobs, permissions, settings, users, vanities
from .access import check_key, find_content, need_key

# What else Connect has: the reference's, and what older clients ask, without a version.
CONNECTS = re.compile(
    r"(v1/content/[^/]+/(jobs|lockfile|oauth|packages|permissions|repository|tags|thumbnail)"
    r"|v1/(audit_logs|bootstrap|environments|experimental|groups|hits|instrumentation|oauth"
    r"|packages|schedules|search|system|tags|users)"
    r"|applications|bundles|me|tags|tasks|tokens|users|variants)(/|\Z)"
)

blueprint = Blueprint("api", __name__, url_prefix="/__api__")
blueprint.before_request(check_key)
blueprint.before_request(find_content)
for resource in (settings, users, content, permissions, vanities, bundles, jobs):
    blueprint.register_blueprint(resource.blueprint)


@blueprint.route("/<path:path>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def others(path):
    if not CONNECTS.match(path):
        message = f"There is no operation {request.method} {quoted(request.path)}."
        raise ConnectError(Problem.NO_OPERATION, message)
    if path != "v1/experimental/bootstrap":  # the client sends a token of its own
        need_key()
    not_implemented(f"{request.method} {quoted(request.path)}")
