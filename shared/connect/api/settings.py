"""What publishers ask of the server: its version, and what it runs."""

from flask import Blueprint

from ..current import store

VERSION = "2025.12.0"  # the first with drafts and with metadata at an upload

blueprint = Blueprint("settings", __name__)


@blueprint.get("/server_settings")
def server_settings():
    return {"version": VERSION, "license": {"allow-apis": True}}


# Not in the reference. Posit Publisher compares with them what cannot be set here.
@blueprint.get("/server_settings/applications")
@blueprint.get("/server_settings/scheduler")
@blueprint.get("/server_settings/scheduler/<mode>")
def more_settings(mode=None):
    return {}


@blueprint.get("/v1/server_settings/python")
def python_settings():
    # The reference lacks the last one, which the client's preflight.py reads.
    local = {"cluster_name": "Local", "image_name": "Local", "publishable": True}
    pythons = store.environments.pythons()
    installations = [{"version": str(version), **local} for version in pythons]
    return {"installations": installations, "api_enabled": True}


@blueprint.get("/v1/server_settings/r")
@blueprint.get("/v1/server_settings/quarto")
def other_settings():
    return {"installations": []}
