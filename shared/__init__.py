"""The harness of the examples, which never import it."""

import sys

if sys.version_info < (3, 10):  # noqa: UP036
    version = "{}.{}".format(*sys.version_info)
    sys.exit(f"This needs Python 3.10 or later, and {sys.executable} is Python {version}.")
