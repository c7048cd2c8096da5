"""Bundles: uploads, builds and deployments."""

from typing import Any

from flask import Blueprint, abort, request, send_file
from werkzeug.exceptions import RequestEntityTooLarge

from ..bundles import MAX_SIZE, Bundle
from ..current import store
from ..errors import ConnectError, Problem, not_implemented
from ..jobs import timestamp
from ..store import Content
from .reading import fields_of, json_body, page_of, parse_json

# What nobody can set here, and is null.
UNSET = "environment_guid image_name r_version r_environment_management quarto_version"

blueprint = Blueprint("bundles", __name__)


def bundle_record(content: Content, bundle: Bundle) -> dict:
    return dict.fromkeys(UNSET.split()) | {
        "id": bundle.id,
        "content_guid": content.guid,
        "created_by": content.owner.guid,
        "created_time": timestamp(bundle.created),
        "active": bundle is content.active,
        "size": bundle.size,
        "metadata": bundle.metadata,
        **built_record(content, bundle),
    }


def built_record(content: Content, bundle: Bundle | None) -> dict:
    """What is known of a bundle once it is built; content has the same of its active bundle."""
    pool = content.pools.get(bundle.id) if bundle else None
    environment = pool and pool.environment
    return {
        "cluster_name": environment and "Local",
        "py_version": environment and environment.version,
        "py_environment_management": environment and True,
    }


@blueprint.get("/v1/content/<content>/bundles")
def list_bundles(content):
    newest_first = list(content.bundles.values())[::-1]
    return [bundle_record(content, bundle) for bundle in page_of(newest_first)]


@blueprint.post("/v1/content/<content>/bundles")
def upload(content):
    if "url" in request.args:
        not_implemented("a bundle from a URL")
    request.max_content_length = MAX_SIZE
    try:
        # Any other type is the archive itself: curl --data-binary says that it is a form.
        archive: Any = request.stream
        metadata: dict = {}
        if request.mimetype == "multipart/form-data":
            archive = request.files.get("archive")
            metadata = parse_json(request.form.get("metadata", "{}").encode(), dict, "metadata")
        if archive is None:
            raise ConnectError(Problem.BAD_ARCHIVE, "The form has no file with the name archive.")
        checksum = request.headers.get("X-Content-Checksum")
        return bundle_record(content, store.upload(content, archive.read, metadata, checksum))
    except RequestEntityTooLarge:
        limit = f"{MAX_SIZE / 1024**3:g} GiB ({MAX_SIZE:,} bytes)"
        abort(413, f"The bundle is larger than {limit}, which is the limit here.")


@blueprint.get("/v1/content/<content>/bundles/<bundle>")
def get_bundle(content, bundle):
    return bundle_record(content, bundle)


@blueprint.delete("/v1/content/<content>/bundles/<bundle>")
def delete_bundle(content, bundle):
    content.delete_bundle(bundle)
    return "", 204


@blueprint.get("/v1/content/<content>/bundles/<bundle>/download")
def download(content, bundle):
    return send_file(bundle.archive, mimetype="application/gzip")


@blueprint.post("/v1/content/<content>/build")
def build(content):
    body = fields_of(json_body(dict), bundle_id=str, activate=bool)
    bundle = content.bundle(body["bundle_id"]) if body["bundle_id"] else content.newest
    if bundle is None:
        raise ConnectError(Problem.NO_BUNDLE, "Nothing has been uploaded yet.")
    task = store.deploy(content, bundle, body["activate"] is not False)
    return {"task_id": task.key}


@blueprint.post("/v1/content/<content>/deploy")
def deploy(content):
    return build(content), 202
