"""How the examples are served and tested."""

import os

# The URL of a real server to test on; CONNECT_API_KEY is a key of it.
NAMED_SERVER = os.environ.get("CONNECT_SERVER", "").rstrip("/")
