"""What a client or an app may take from others; tests make the numbers small."""

import resource
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Numbers of a local Connect."""

    requests: int = 550  # in progress, to all apps
    threads: int = 600  # for these, and for the API and the pages
    connections: int = 5000  # of clients
    header_seconds: float = 20  # for the first line and the headers of a request
    body_seconds: float = 600  # for the whole request
    idle_seconds: float = 60  # between two bytes, and before the next request
    look_seconds: float = 1  # between two looks for connections that take longer
    start_seconds: float = 60  # for an app to start: Connect's default

    @property
    def most_connections(self) -> int:
        """How many clients may be connected: a request needs up to three files (`ulimit -n`)."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = self.connections if files == resource.RLIM_INFINITY else files // 3
        return max(10, min(self.connections, most))
