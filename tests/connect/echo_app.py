"""A WSGI app without requirements: it tells what reached it, and does what the path says."""

import json
import os
import subprocess
from pathlib import Path
from urllib.parse import unquote

VERSION = "1"


def app(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    print("was asked for", path)
    if path == "/crash":
        os._exit(3)
    if path == "/hold":  # until somebody writes to this FIFO
        Path(query).read_bytes()
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return stream(Path(query))
    if path == "/answer":  # what the query says: a status and headers, in JSON
        status, headers = json.loads(unquote(query))
        start_response(status, [tuple(header) for header in headers])
        return [b""]
    if path == "/length":
        length = sum(map(len, iter(lambda: environ["wsgi.input"].read(2**16), b"")))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(length).encode()]
    told = {
        "version": VERSION,
        "pid": os.getpid(),
        "environ": {
            key: str(value) for key, value in environ.items() if isinstance(value, (str, bool))
        },
        "body": environ["wsgi.input"].read().decode("latin-1"),
        "variables": dict(os.environ),
        "files": sorted(os.listdir()),
    }
    if path == "/child":
        told["child"] = subprocess.Popen(["sleep", "600"], start_new_session=bool(query)).pid
    if path == "/big":
        told["big"] = "x" * 2**24
    body = json.dumps(told).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


def stream(fifo):
    yield b"first"
    yield fifo.read_bytes()
