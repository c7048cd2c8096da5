"""The server that answers the request: its contents and its users."""

from typing import cast

from flask import current_app
from werkzeug.local import LocalProxy

from .contents import Contents
from .users import Users

# As Flask's current_app does, each leads to that of the app: several servers run in one process.
contents = cast(Contents, LocalProxy(lambda: current_app.extensions["contents"]))
users = cast(Users, LocalProxy(lambda: current_app.extensions["users"]))
