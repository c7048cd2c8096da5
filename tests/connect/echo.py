"""A WSGI app without requirements: it tells what reached it, and does what the path says."""

import json
import os
import subprocess
import threading

VERSION = "1"
go_on = threading.Event()


def app(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path == "/crash":
        os._exit(3)
    if path == "/child":
        options = {"start_new_session": query == "session"}
        child = subprocess.Popen(["sleep", "600"], **options)
        return answer(start_response, {"pid": child.pid})
    if path == "/hold":  # until somebody writes to this FIFO
        with open(query) as fifo:
            fifo.read()
    if path == "/go-on":
        go_on.set()
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return stream()
    if path == "/moved":
        location = [("Location", f"{environ['SCRIPT_NAME']}/here")]
        start_response("302 Found", [*location, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return [b""]
    if path == "/big":
        start_response("200 OK", [("Content-Length", str(2**24))])
        return [b"x" * 2**20] * 16
    print("was asked for", path)
    body = environ["wsgi.input"].read().decode("latin-1")
    told = {key: value for key, value in environ.items() if isinstance(value, str)}
    value = {"version": VERSION, "pid": os.getpid(), "environ": told, "body": body}
    value |= {"variables": dict(os.environ), "files": sorted(os.listdir())}
    return answer(start_response, value)


def answer(start_response, value):
    body = json.dumps(value).encode()
    length = ("Content-Length", str(len(body)))
    start_response("200 OK", [("Content-Type", "application/json"), length])
    return [body]


def stream():
    yield b"first"
    go_on.wait()
    yield b"second"
