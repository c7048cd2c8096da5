"""One app in a process of its own, which makes requests when it is told to.

Started by shared.bench in a directory with an app.py. It says how many seconds the
import took, then answers each line of its standard input, a JSON list of PATH_INFO and a
number of calls, with the seconds that they took in all, the status and the body. All are
seconds of processor time: waiting while other programs run is no cost of an app.
"""

import sys
import time

# The app alone, not this directory, and nothing imported that the app would import.
sys.path[0] = ""
# jsonschema takes it when it is there, and only the benchmark's own client brings it.
sys.modules["idna"] = None
start = time.process_time()
from app import app

imported = time.process_time() - start

import io
import json
from wsgiref.util import setup_testing_defaults

# What a script that reads the API sends, below Connect with its visitor's name.
ENVIRON = {
    "HTTP_ACCEPT": "*/*",
    "HTTP_ACCEPT_ENCODING": "gzip, deflate",
    "HTTP_CONNECTION": "keep-alive",
    "HTTP_USER_AGENT": "python-httpx/0.28.1",
    "HTTP_RSTUDIO_CONNECT_CREDENTIALS": '{"user": "alice", "groups": ["staff"]}',
    "QUERY_STRING": "",
    "REMOTE_ADDR": "127.0.0.1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.input": io.BytesIO(),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
}
setup_testing_defaults(ENVIRON)


def call(environ):
    """Do what a WSGI server does with one request; return the status and the body."""
    started = []
    body = app(environ, lambda status, headers, exc_info=None: started.append(status))
    try:
        return started[0], b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()


def answer(path, calls):
    environ = {**ENVIRON, "PATH_INFO": path}
    start = time.process_time()
    for _ in range(calls):
        status, body = call(environ.copy())
    seconds = time.process_time() - start
    return seconds, int(status.split()[0]), body.decode()


def main():
    print(imported, flush=True)
    for line in sys.stdin:
        seconds, status, body = answer(*json.loads(line))
        print(json.dumps([seconds, status, body]), flush=True)


if __name__ == "__main__":
    main()
