"""How the examples are served and tested."""

import os

# The URL of a real server to test on, not CONNECT_SERVER, which publishers export for their own.
NAMED_SERVER = os.environ.get("TEST_CONNECT_SERVER", "").rstrip("/")
