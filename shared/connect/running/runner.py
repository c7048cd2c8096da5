"""Serves a bundle's app with its environment's Python.

python runner.py ENTRYPOINT PROCESSES SECONDS SOCKET WAITRESS

Runs in the bundle's directory. The thread that imports the app answers its requests, one at a time,
as under bjoern, which ran Flask in a Connect of 2024: see posit-dev/publisher#793. PROCESSES: how
many run of the bundle; SECONDS: for the import; SOCKET: the path of the Unix socket at which it
listens; WAITRESS: the directory of the server's waitress. To the FIFO beside the socket it writes a
line: "listens" and the process id, or "failed" and why, and later "ended" when it ends by itself.

Standard library of Python 3.8 and later only, and little of it: a module imported here, or by
waitress, hides one of the same name in the bundle.
"""

import _thread
import contextlib
import faulthandler
import gc
import importlib.util
import io
import logging
import os
import re
import select
import signal
import socket
import stat
import sys
import threading
import time
import traceback
from types import SimpleNamespace
from typing import Any

if __name__ == "__main__":
    if sys.path[0] == os.path.dirname(__file__):  # not with PYTHONSAFEPATH
        del sys.path[0]
    # The server's, by its file: a bundle may have its own waitress, or none.
    WAITRESS = sys.argv[5]
    spec: Any = importlib.util.spec_from_file_location(
        "waitress", os.path.join(WAITRESS, "__init__.py"), submodule_search_locations=[WAITRESS]
    )
    sys.modules["waitress"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["waitress"])

from waitress import channel, server, task, wasyncore

MOUNT_HEADER = "Connect-Mount"  # tells the app's mount, which differs between requests
CONTROL = ".control"  # at the end of the FIFO's path
OBJECTS = ("app", "application")
FACTORIES = ("create_app", "make_app")
END_SECONDS = 2  # for threads that still run, and atexit
BUNDLE = os.getcwd()  # the app may change it
PID = os.getpid()  # a child of the app has another one
# For tracebacks and the app's log: an app may close or replace sys.stderr.
ERRORS = io.TextIOWrapper(
    io.FileIO(2, "wb", closefd=False), "utf-8", "backslashreplace", write_through=True
)


# An app is found.


def load(entrypoint):
    """Import the WSGI app of MODULE:OBJECT, or MODULE, where MODULE may be a file.

    Without an object, Connect looks for these names, in this order, and calls a factory: see
    posit-dev/rsconnect-python#101. Raises SystemExit for what is no WSGI app.
    """
    file, _, named = entrypoint.partition(":")
    module = importlib.import_module(file[:-3] if file.endswith(".py") else file)
    name = named or next((name for name in OBJECTS + FACTORIES if hasattr(module, name)), None)
    if name is None:
        raise AttributeError(f"{module.__name__} has none of {', '.join(OBJECTS + FACTORIES)}")
    app = getattr(module, name)
    if name in FACTORIES and not named:
        app, name = app(), f"{name}()"
    if problem := problem_of(app, module.__name__, name):
        raise SystemExit(f"{module.__name__}:{name} is {problem}")
    return app


def problem_of(app, module, name):
    """Return what an object is if it is no WSGI app, and what to do; None if it may be one."""
    import inspect

    if not callable(app):
        return f"of type {type(app).__name__}, not a WSGI app such as app = Flask(__name__)"
    if any(map(inspect.iscoroutinefunction, (app, type(app).__call__))):
        return "an ASGI app, and this is WSGI content: `rsconnect deploy fastapi` deploys those"
    try:
        inspect.signature(app).bind("environ", "start_response")
        if name not in FACTORIES:
            return None
    except TypeError:
        pass
    except ValueError:  # not written in Python
        return None
    return (
        f"not a WSGI app: it does not take (environ, start_response). If it makes an app, write "
        f"app = {name}() in {module} and deploy {module}:app"
    )


class ServingWatch:
    """Ends a process whose import serves requests, whatever server does it.

    An import serves if it stays at a line while a port listens. A port that another thread serves
    does not count, such as that of prometheus_client: each is asked, to see which thread accepts.
    """

    def __init__(self, seconds, fail):
        """seconds: for the import; fail: gets the reason, and ends the process."""
        self._look, self._stay = seconds / 240, seconds / 12
        self._fail = fail
        self._main = threading.get_ident()
        self._in_threads = set()  # the ports that other threads serve
        self._over = False
        self._lock = threading.Lock()
        # gevent replaces these in their modules.
        self._socket: Any = socket.socket
        self._accept, self._sleep = socket.socket.accept, time.sleep

    def __enter__(self):
        self._socket.accept = lambda listener: self._note(listener) or self._accept(listener)
        # Not one of `threading`: gevent patches that only while no other thread runs.
        _thread.start_new_thread(self._watch, ())

    def __exit__(self, *exception):
        with self._lock:
            self._over = True
        self._socket.accept = self._accept

    def _note(self, listener):
        if threading.get_ident() != self._main:
            self._in_threads.add((listener.family, listener.getsockname()))

    def _watch(self):
        place, since = None, 0.0
        while not self._over:
            self._sleep(self._look)
            if self._place() != place:
                place, since = self._place(), time.monotonic()
            for family, address in self._listening() - self._in_threads:
                with contextlib.suppress(OSError), self._socket(family) as visitor:
                    visitor.settimeout(self._look)
                    visitor.connect(address)
                with self._lock:
                    if time.monotonic() - since > self._stay and not self._over:
                        line = "if __name__ == '__main__':"
                        self._fail(f"it serves itself{place}. Put that call below `{line}`")

    def _place(self):
        """Return where the import is, also one that waits in a greenlet of gevent."""
        frames = [sys._current_frames().get(self._main)]
        if "greenlet" in sys.modules:
            kind = sys.modules["greenlet"].greenlet
            frames += [each.gr_frame for each in gc.get_objects() if isinstance(each, kind)]
        places = [
            place_in_bundle(each.f_code.co_filename, line)
            for frame in filter(None, frames)
            for each, line in traceback.walk_stack(frame)
        ]
        return next(filter(None, places), "")

    def _listening(self):
        """Return the families and addresses of the ports at which this process listens."""
        found = set()
        for number in range(3, 256):
            with contextlib.suppress(OSError):
                # To close a copy of a file would end its locks.
                if stat.S_ISSOCK(os.fstat(number).st_mode):
                    with self._socket(fileno=os.dup(number)) as copy:
                        if copy.family != socket.AF_UNIX and copy.getsockopt(
                            socket.SOL_SOCKET, socket.SO_ACCEPTCONN
                        ):
                            found.add((copy.family, copy.getsockname()))
        return found


def place_in_bundle(file, line):
    """Return a place as Python tells that of a syntax error; empty for files of others."""
    file = os.path.relpath(os.path.join(BUNDLE, file or "<"), BUNDLE)
    return "" if file.startswith((os.pardir, "<")) else f" ({file}, line {line})"


def reason_of(error):
    """Return the first line of an exception and its place; empty if only its code tells."""
    if isinstance(error, SystemExit):
        return "" if error.code is None or isinstance(error.code, int) else str(error.code)[:1000]
    if isinstance(error, SyntaxError):
        text = f"{type(error).__name__}: {error}"  # with its own file and line
    else:
        text = traceback.format_exception_only(type(error), error)[0]
    frames = reversed(traceback.extract_tb(error.__traceback__))
    places = (place_in_bundle(frame.filename, frame.lineno) for frame in frames)
    place = next(filter(None, places), "")
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    # A message may begin with an empty line, or with one that announces the next.
    return (" ".join(lines[:2]) if lines[0].endswith(":") else lines[0])[:1000] + place


def print_exception(error):
    """Print a traceback, without the frames of this file, waitress and the import system."""
    ours = [__file__, os.path.dirname(server.__file__), os.path.dirname(importlib.__file__)]
    frames = error.__traceback__
    while frames and frames.tb_frame.f_code.co_filename.startswith(("<frozen", *ours)):
        frames = frames.tb_next
    traceback.print_exception(type(error), error, frames, file=ERRORS)


# A request is answered.


class Task(task.WSGITask):
    """Calls the app for a request, and logs what is wrong with its answer."""

    multiprocess = False
    complete = False  # the status and the headers have come
    logger = logging.Logger("waitress")  # not one that the app may silence

    def execute(self):
        open_standard_files()
        try:
            super().execute()
            if not self.wrote_header:
                self.write(b"")
        except channel.ClientDisconnected:
            raise
        except Exception as error:
            print_exception(error)
            self.fail()

    def get_environment(self):
        environ = super().get_environment()
        mount = environ.pop(f"HTTP_{MOUNT_HEADER.upper().replace('-', '_')}", "")
        for name in ("HTTP_CONNECTION", "REMOTE_PORT", "waitress.client_disconnected"):
            del environ[name]
        return {
            **environ,
            "SCRIPT_NAME": mount,
            "PATH_INFO": environ["PATH_INFO"][len(mount) :],
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_SOFTWARE": "waitress",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.errors": ERRORS,
            "wsgi.multithread": False,
            "wsgi.multiprocess": self.multiprocess,
        }

    def write(self, data):
        end_child()
        if not isinstance(data, bytes):
            raise TypeError(f"the body has {type(data).__name__}, not bytes")
        if data and (self.request.command == "HEAD" or not self.has_body):
            super().write(b"")
            raise channel.ClientDisconnected  # what the app still has may never end
        super().write(data)

    def finish(self):
        end_child()
        super().finish()

    def fail(self):
        """Answer with an error, if nothing is sent yet; else visitors see that it breaks off."""
        end_child()
        if self.wrote_header:
            self.close_on_finish, self.chunked_response = True, False  # `finish` sends no end
            return
        text = b"Internal Server Error\n"
        self.status, self.complete = "500 Internal Server Error", True
        self.response_headers = [("Content-Type", "text/plain; charset=utf-8")]
        self.content_length = len(text)
        super().write(b"" if self.request.command == "HEAD" else text)


def checked(app):
    """Return a WSGI app that lets another one send what only a server may, or what bjoern takes."""

    def answer(environ, start_response):
        def start(status, headers, exc_info=None):
            if isinstance(status, str) and not re.match(r"[2-9]\d\d( |\Z)", status, re.ASCII):
                raise ValueError(f"the status {status!r} is not like '200 OK'")
            # Apps do: see pallets/werkzeug#2759.
            headers = [header for header in headers if header[0].lower() not in task.hop_by_hop]
            return start_response(status, headers, exc_info)

        chunks = app(environ, start)
        return [chunks] if isinstance(chunks, bytes) else chunks

    return answer


class Channel(channel.HTTPChannel):
    """A connection of the server, for one request."""

    task_class = Task

    def _flush_outbufs_below_high_watermark(self):
        """Wait until the server reads. waitress waits for its other thread, which is not here."""
        while self.connected and self.total_outbufs_len > self.adj.outbuf_high_watermark:
            poll = select.poll()
            poll.register(self.socket, select.POLLOUT)
            poll.poll()
            self._flush_some()


def end_child():
    """End a process that the app forked in a view, and that comes back: it must not answer, too."""
    if os.getpid() != PID:
        os._exit(1)


def open_standard_files():
    """Open what the app has closed: else a connection gets the number, and what it prints."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def serve(app, path, started):
    """Answer requests, one after the other, until the app ends the process."""
    sockets: Any = {}
    requests: Any = []
    listener = server.create_server(
        checked(app),
        map=sockets,
        _dispatcher=SimpleNamespace(add_task=requests.append),
        unix_socket=path,
        ident=None,
        clear_untrusted_proxy_headers=False,
        # More than the server in front takes.
        max_request_header_size=2**20,
        max_request_body_size=2**36,
        # What waits for the server to read is in memory.
        outbuf_high_watermark=2**20,
        outbuf_overflow=2**40,
        asyncore_use_poll=True,  # select fails at the 1,024th file
        log_socket_errors=False,
    )
    listener.channel_class = Channel
    started()
    while sockets:  # until the app closes all files
        wasyncore.loop(timeout=3600, use_poll=True, map=sockets, count=1)
        while requests:
            requests.pop(0).service()


def main():
    entrypoint, processes, seconds, path, _ = sys.argv[1:]

    def tell(text):
        if os.getpid() == PID:  # and no child that ends
            with open(path + CONTROL, "wb", 0) as control:
                control.write(text.encode("utf-8", "backslashreplace") + b"\n")

    def fail(reason):
        tell(f"failed {reason}")
        print(reason, file=ERRORS)
        os._exit(1)

    def end(error):
        faulthandler.dump_traceback_later(END_SECONDS, exit=True, file=2)
        if isinstance(error, SystemExit):
            raise error
        print_exception(error)
        sys.exit(1)

    # What the app sees is its own.
    module = entrypoint.partition(":")[0]
    sys.argv[:] = [module if module.endswith(".py") else f"{module.replace('.', os.sep)}.py"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "waitress"]:
        del sys.modules[name]
    sys.path.insert(0, BUNDLE)
    # It ends the process, too, and says where the import hangs.
    faulthandler.dump_traceback_later(float(seconds), exit=True, file=2)
    try:
        with ServingWatch(float(seconds), fail):
            app = load(entrypoint)
    except BaseException as error:
        tell(f"failed {reason_of(error)}")
        end(error)
    faulthandler.cancel_dump_traceback_later()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # else it ends when a visitor leaves
    open_standard_files()
    Task.multiprocess = int(processes) > 1
    Task.logger.addHandler(logging.StreamHandler(ERRORS))
    try:
        serve(app, path, lambda: tell(f"listens {PID}"))
    except BaseException as error:
        tell("ended")  # before the visitor sees it, and asks again
        if isinstance(error, SystemExit) and os.getpid() == PID:
            print_exception(error)
        end(error)


if __name__ == "__main__":
    main()
