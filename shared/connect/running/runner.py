"""Serves a bundle's app with its environment's Python.

python runner.py ENTRYPOINT PROCESSES SECONDS SOCKET

Runs in the bundle's directory. The thread that imports the app answers its requests, one at a time,
as under bjoern, which ran Flask in a Connect of 2024: see posit-dev/publisher#793. PROCESSES: how
many run of the bundle; SECONDS: for the import; SOCKET: a file descriptor, from which it reads the
token that requests have, and to which it writes a line: "listens", the process id and the port, or
"failed" and why, and later "ended" when it ends by itself.

Standard library of Python 3.8 and later only, and little of it: a module imported here hides one
of the same name in the bundle.
"""

import contextlib
import faulthandler
import hmac
import importlib
import io
import os
import re
import socket
import sys
import threading
from typing import Any
from urllib.parse import unquote_to_bytes

MOUNT_HEADER = "Connect-Mount"  # tells the app's mount, which differs between requests
TOKEN_HEADER = "Connect-Token"  # shows that a request comes from the server
OBJECTS = ("app", "application")
FACTORIES = ("create_app", "make_app")
# What blocks an import, by module and function.
SERVERS = {
    ("werkzeug.serving", "run_simple"),
    ("waitress", "serve"),
    ("gunicorn.app.base", "run"),
    ("uvicorn.main", "run"),
    ("bottle", "run"),
}
# Only a server may send these (RFC 9110, 7.6.1): apps do, see pallets/werkzeug#2759.
HOP_BY_HOP = re.compile(
    "connection|keep-alive|proxy-.*|te|trailers?|transfer-encoding|upgrade", re.I
)
HEAD_SIZE = 2**20  # bytes; the server takes less
HEAD_SECONDS = 5  # for whoever connects and says nothing
END_SECONDS = 2  # for threads that still run, and atexit
CHUNK = 2**16  # bytes


# An app is found.


def load(entrypoint):
    """Import the WSGI app of MODULE:OBJECT, or MODULE, where MODULE may be a file.

    Without an object, Connect looks for these names, in this order, and calls a factory: see
    posit-dev/rsconnect-python#101. Raises SystemExit for what is no WSGI app.
    """
    name, _, wanted = entrypoint.partition(":")
    module = importlib.import_module(name[:-3] if name.endswith(".py") else name)
    if wanted:
        app = getattr(module, wanted)
    else:
        wanted = next((name for name in OBJECTS + FACTORIES if hasattr(module, name)), None)
        if wanted is None:
            raise AttributeError(f"{name} has none of {', '.join(OBJECTS + FACTORIES)}")
        app = getattr(module, wanted)
        if wanted in FACTORIES:
            app, wanted = app(), f"{wanted}()"
    if problem := problem_of(app, module.__name__, wanted):
        raise SystemExit(f"{module.__name__}:{wanted} is {problem}")
    return app


def problem_of(app, module, name):
    """Return what an object is if it is no WSGI app, and what to do; None if it may be one."""
    import inspect

    if not callable(app):
        return f"of type {type(app).__name__}, not a WSGI app such as app = Flask(__name__)"
    if any(map(inspect.iscoroutinefunction, (app, type(app).__call__))):
        return "an ASGI app, and this is WSGI content: `rsconnect deploy fastapi` deploys those"
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):  # not written in Python
        return None
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    optional = takes(signature) and inspect.Parameter.VAR_POSITIONAL not in kinds
    if takes(signature, 2) and not (inspect.isfunction(app) and (optional or name in FACTORIES)):
        return None
    return (
        f"not a WSGI app: it does not take (environ, start_response). If it makes an app, write "
        f"app = {name}() in {module} and deploy {module}:app"
    )


def takes(signature, arguments=0):
    """Whether a function can be called with so many."""
    with contextlib.suppress(TypeError):
        return bool(signature.bind(*range(arguments)))
    return False


@contextlib.contextmanager
def no_serving():
    """Let apps that serve themselves end with SystemExit, instead of hanging."""

    import traceback

    plain: Any = socket.socket

    def bind(self, address):
        frames = list(traceback.walk_stack(sys._getframe()))
        names = {(frame.f_globals.get("__name__"), frame.f_code.co_name) for frame, _ in frames}
        if names & SERVERS and threading.current_thread() is threading.main_thread():
            places = [place_in_bundle(frame.f_code.co_filename, line) for frame, line in frames]
            raise SystemExit(
                f"it serves itself{next(filter(None, places), '')}. "
                "Put that call below `if __name__ == '__main__':`"
            )
        return super(plain, self).bind(address)

    plain.bind = bind
    try:
        yield
    finally:
        del plain.bind


def place_in_bundle(file, line):
    """Return a place as Python tells that of a syntax error; empty for files of others."""
    file = os.path.relpath(file) if os.path.isabs(file) else file
    inside = not file.startswith((os.pardir, "<")) and "site-packages" not in file
    return f" ({file}, line {line})" if inside else ""


def reason_of(error):
    """Return the first line of an exception, as Python prints it; empty if only its code tells."""
    import traceback

    if isinstance(error, SystemExit):
        code = error.code
        text = "" if code is None or isinstance(code, int) else str(code)
    elif isinstance(error, SyntaxError):
        text = f"{type(error).__name__}: {error}"  # with the file and the line
    else:
        text = traceback.format_exception_only(type(error), error)[0].strip()
        if text.endswith(type(error).__name__):  # it has no message
            frames = reversed(traceback.extract_tb(error.__traceback__))
            places = (place_in_bundle(frame.filename, frame.lineno) for frame in frames)
            text += next(filter(None, places), "")
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    # A message may begin with an empty line, or with one that announces the next.
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


# A request is answered.


class Misuse(Exception):
    """What in an answer is against WSGI: see PEP 3333."""


class Gone(Exception):
    """Nobody waits for the answer any longer."""


class Body(io.RawIOBase):
    """The body of a request, which ends where it ends."""

    def __init__(self, read, length):
        self._read, self._left = read, length

    def readable(self):
        return True

    def readinto(self, buffer):
        data = self._read(min(len(buffer), self._left)) if self._left else b""
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def keep(self):
        """Take all that has not been read: the server sends all of it before it reads an answer."""
        if self._left:
            import tempfile

            kept = tempfile.SpooledTemporaryFile(2**20)  # noqa: SIM115 - until the request ends
            while chunk := self.read(CHUNK):
                kept.write(chunk)
            self._left = kept.tell()
            kept.seek(0)
            self._read = kept.read


def read_request(source, token):
    """Return what a request says of its environ, or None for whoever lacks the token."""
    first, size = source.readline(HEAD_SIZE), 0
    headers: dict[str, str] = {}
    while (line := source.readline(HEAD_SIZE)).strip() and (size := size + len(line)) < HEAD_SIZE:
        name, _, value = line.decode("latin-1").partition(":")
        key, value = key_of(name), value.strip(" \t\r\n")
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    # The server's is the first; a client's may follow.
    given = headers.pop(key_of(TOKEN_HEADER), "").partition(",")[0]
    if not hmac.compare_digest(given.encode("latin-1"), token):
        return None
    mount = headers.pop(key_of(MOUNT_HEADER), "")
    headers.pop("HTTP_CONNECTION", None)  # the server's own
    method, target, protocol = first.decode("latin-1").rstrip("\r\n").split(" ")
    path, _, query = target.partition("?")
    return {
        **headers,
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": mount,
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1")[len(mount) :],
        "QUERY_STRING": query,
        "REQUEST_URI": target,
        "SERVER_PROTOCOL": protocol,
    }


def key_of(header):
    """Return the name of a header in an environ."""
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"


class Answer:
    """Sends what an app answers, as it comes."""

    def __init__(self, connection, method, body):
        self._connection, self._method, self._body = connection, method, body
        self._head = b""
        self._length: int | None = None  # of the body, as far as it is not sent
        self._sent = self._bodiless = False  # the head is; there is no body

    def start_response(self, status, headers, exc_info=None):
        """Take the status and the headers, unless it is too late."""
        if exc_info and self._sent:
            raise exc_info[1].with_traceback(exc_info[2])
        if self._head and not exc_info:
            raise Misuse("it called start_response twice")
        if not (isinstance(status, str) and re.match(r"[2-9]\d\d( |\Z)", status, re.ASCII)):
            raise Misuse(f"its status is {status!r}, not like '200 OK'")
        lines, length = [f"HTTP/1.1 {status}"], None
        for header in headers:
            if not (isinstance(header, tuple) and [*map(type, header)] == [str, str]):
                raise Misuse(f"its header {header!r} is not a tuple of two str")
            name, value = header
            if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII):
                raise Misuse(f"its header {name!r} is no name")
            if name.lower() == "content-length":
                if not re.fullmatch(r"\d+", value, re.ASCII):
                    raise Misuse(f"its Content-Length is {value!r}")
                length = int(value)
            elif not HOP_BY_HOP.fullmatch(name):
                lines.append(f"{name}: {value}")
        for line in lines:
            if re.search(r"[\r\n\0]", line):
                raise Misuse(f"it has a line end in {line!r}")
            if any(character > "\xff" for character in line):
                raise Misuse(f"it has a character in {line!r} which is not Latin-1")
        self._bodiless = self._method == "HEAD" or status[:3] in ("204", "304")
        self._length = None if status[:3] == "204" else length
        self._head = "\r\n".join([*lines, "Connection: close\r\n"]).encode("latin-1")
        return self.write

    def write(self, data, length=None):
        """Send bytes of the body; length: of all of it, if it is known."""
        if not isinstance(data, bytes):
            raise Misuse(f"its body has {type(data).__name__}, not bytes")
        if data or length is not None:
            self._send_head(length)
            if not self._bodiless:
                self._send_part(data)

    def _send_head(self, length):
        if not self._head:
            raise Misuse("it did not call start_response")
        if self._sent:
            return
        if self._length is None and not self._bodiless:
            self._length = length
        if self._length is not None:
            self._head += b"Content-Length: %d\r\n" % self._length
        elif not self._bodiless:
            self._head += b"Transfer-Encoding: chunked\r\n"
        self._body.keep()
        self._sent = True
        self._send(self._head + b"\r\n")

    def _send_part(self, data):
        if self._length is None:
            self._send(b"%x\r\n%b\r\n" % (len(data), data) if data else b"")
            return
        part = data[: self._length]
        self._length -= len(part)
        self._send(part)
        if len(part) < len(data):
            raise Misuse("its body is longer than its Content-Length")

    def _send(self, data):
        try:
            self._connection.sendall(data)
        except OSError:
            raise Gone from None

    @property
    def has_all(self):
        """Whether nothing more is sent, as after the head of an answer to HEAD."""
        return self._sent and self._bodiless

    def end(self):
        """Send what is still due."""
        if self._length and not self._bodiless:
            raise Misuse(f"its body is {self._length} bytes shorter than its Content-Length")
        self._send_head(0)
        if self._length is None and not self._bodiless:
            self._send(b"0\r\n\r\n")

    def fail(self):
        """Answer with an error, if there is no answer yet; else visitors see that it breaks off."""
        if not self._sent:
            self._head, text = b"", b"Internal Server Error\n"
            headers = [("Content-Type", "text/plain; charset=utf-8")]
            self.start_response("500 Internal Server Error", headers)
            self.write(text, len(text))


def answer(app, environ, sending):
    """Call the app, send its answer, and log what fails."""
    import traceback

    chunks: Any = None
    with contextlib.suppress(Gone):
        try:
            chunks = app(environ, sending.start_response)
            if isinstance(chunks, bytes):  # bjoern takes it as one chunk
                chunks = [chunks]
            if not hasattr(chunks, "__iter__") and not hasattr(chunks, "__getitem__"):
                raise Misuse(f"it returned {chunks!r}, not an iterable of bytes")
            one = isinstance(chunks, (list, tuple)) and len(chunks) == 1
            for chunk in chunks:
                sending.write(chunk, len(chunk) if one and isinstance(chunk, bytes) else None)
                if sending.has_all:
                    break  # the rest may never end
            sending.end()
        except Gone:
            pass
        except Misuse as misuse:
            print(f"The app's answer is not WSGI: {misuse}.", file=sys.stderr)
            sending.fail()
        except Exception:
            traceback.print_exc()
            sending.fail()
        finally:
            try:
                getattr(chunks, "close", str)()
            except Exception:
                traceback.print_exc()


def serve(app, listener, token, multiprocess, tell_end):
    """Answer requests, one after the other, until the app ends the process."""
    from wsgiref.util import FileWrapper

    host, port = listener.getsockname()
    while True:
        connection, address = listener.accept()
        with connection, connection.makefile("rb") as source:
            # Else a body waits up to 40 ms, until the proxy's system confirms the head.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(HEAD_SECONDS)
            head = None
            with contextlib.suppress(OSError, ValueError):
                head = read_request(source, token)
            if not head:
                with contextlib.suppress(OSError):
                    connection.sendall(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n")
                continue
            connection.settimeout(None)
            body = Body(source.read1, int(head.get("CONTENT_LENGTH") or 0))
            environ = {
                **head,
                "SERVER_NAME": host,
                "SERVER_PORT": str(port),
                "REMOTE_ADDR": address[0],
                "wsgi.version": (1, 0),
                "wsgi.url_scheme": "http",
                "wsgi.input": io.BufferedReader(body),
                "wsgi.errors": sys.stderr,
                "wsgi.file_wrapper": FileWrapper,
                "wsgi.multithread": False,
                "wsgi.multiprocess": multiprocess,
                "wsgi.run_once": False,
            }
            try:
                answer(app, environ, Answer(connection, head["REQUEST_METHOD"], body))
            except BaseException:
                tell_end()  # before the visitor sees it, and asks again
                raise


def main():
    entrypoint, processes, seconds, number = sys.argv[1:]
    control = int(number)
    token = os.read(control, 100)

    def tell(text):
        os.write(control, text.encode("utf-8", "backslashreplace") + b"\n")

    # What the app sees is its own.
    module = entrypoint.partition(":")[0]
    sys.argv[:] = [module if module.endswith(".py") else f"{module.replace('.', os.sep)}.py"]
    if sys.path[0] == os.path.dirname(__file__):  # not with PYTHONSAFEPATH
        del sys.path[0]
    sys.path.insert(0, os.getcwd())
    # It ends the process, too, and says where the import hangs.
    faulthandler.dump_traceback_later(float(seconds), exit=True)
    try:
        with no_serving():
            app = load(entrypoint)
    except BaseException as error:
        tell(f"failed {reason_of(error)[:1000]}")
        faulthandler.dump_traceback_later(END_SECONDS, exit=True)
        raise
    faulthandler.cancel_dump_traceback_later()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    tell(f"listens {os.getpid()} {listener.getsockname()[1]}")

    def tell_end():
        listener.close()
        tell("ended")

    try:
        serve(app, listener, token, int(processes) > 1, tell_end)
    except BaseException as error:
        tell_end()
        faulthandler.dump_traceback_later(END_SECONDS, exit=True)
        if isinstance(error, SystemExit):
            import traceback

            traceback.print_exc()  # Python does so for others
        raise


if __name__ == "__main__":
    main()
