"""The operations below /__api__/ that publishers use, and 501 for all others.

Each resource has a file, with its operations and its records: their fields are those of Connect's
API reference and of real answers. See https://docs.posit.co/connect/api/, and the answers that
posit-dev/connectapi and posit-dev/posit-sdk-py have recorded for their tests.
"""

from flask import Blueprint, request

from . import bundles, content, jobs, settings, users, vanities
from .access import check_key, find_content
from .reading import not_implemented

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

blueprint = Blueprint("api", __name__, url_prefix="/__api__")
blueprint.before_request(check_key)
blueprint.before_request(find_content)
for resource in (settings, users, content, vanities, bundles, jobs):
    blueprint.register_blueprint(resource.blueprint)


@blueprint.route("/", defaults={"path": ""}, methods=METHODS)
@blueprint.route("/<path:path>", methods=METHODS)
def others(path):
    not_implemented(f"{request.method} {request.path}")
