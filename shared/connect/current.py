"""The server that answers the request: its store and its users."""

from typing import cast

from flask import current_app
from werkzeug.local import LocalProxy

from .store import Store
from .users import Users

# As Flask's current_app does, each leads to that of the app: several servers run in one process.
store = cast(Store, LocalProxy(lambda: current_app.extensions["store"]))
users = cast(Users, LocalProxy(lambda: current_app.extensions["users"]))
