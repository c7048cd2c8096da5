"""A WSGI app without requirements: it tells what reached it, and does what the path says."""

import json
import os
import subprocess
from pathlib import Path

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
    if path == "/moved":
        location = [("Location", f"{environ['SCRIPT_NAME']}/here")]
        start_response("302 Found", [*location, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return [b""]
    told = {
        "version": VERSION,
        "pid": os.getpid(),
        "environ": {key: value for key, value in environ.items() if isinstance(value, str)},
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
    if path == "/cookie":
        headers.append(("Set-Cookie", "a=1; Path=/"))
    start_response("200 OK", headers)
    return [body]


def stream(fifo):
    yield b"first"
    yield fifo.read_bytes()
