"""What can be wrong with a request to the API, in Connect's own numbers."""

import errno
import json
import traceback
from enum import Enum
from pathlib import Path
from typing import NoReturn

from werkzeug.exceptions import HTTPException, InternalServerError, abort
from werkzeug.wrappers import Response

# For Werkzeug's own exceptions, by their HTTP status; 2 and 1 for other errors of client and server.
CODES = {401: 30, 403: 22, 404: 4, 409: 26}

# What an app prints or raises is text, whatever it looks like.
PLAIN = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}


class Problem(Enum):
    """The HTTP status of an answer, and the code in it: `APIErrorCode` in Connect's API reference.

    The reference's part "API Error Codes" has both, with a sentence for each. It ends at 195 in the
    copy of edavidaja/cnctapi (2023.09.0): the status of later codes is not known.
    """

    NO_OPERATION = 404, 2
    BAD_NAME = 400, 5
    NO_VIEW = 403, 19
    BAD_ROLE = 400, 23
    SIGN_IN_FIRST = 401, 24
    BAD_PARAMETER = 400, 25
    NO_BUNDLE = 404, 28
    BAD_COLLABORATOR = 400, 34
    BAD_MANIFEST = 400, 38
    VANITY_IN_USE = 409, 51
    VANITY_FORBIDDEN = 400, 52
    ACTIVE_BUNDLE = 400, 75
    BAD_BODY = 400, 87
    BAD_CHECKSUM = 400, 104
    BAD_ACCESS_TYPE = 400, 117
    UNKNOWN_FIELD = 400, 121
    BAD_TITLE = 400, 122
    BAD_DESCRIPTION = 400, 123
    BAD_ARCHIVE = 400, 135
    NO_TASK = 404, 141
    VARIABLE_TWICE = 409, 149
    BAD_PRINCIPAL_TYPE = 400, 152
    BAD_USER = 400, 261
    BAD_GROUP = 400, 262
    EMPTY_VARIABLE_NAME = 400, 266


class ConnectError(HTTPException):
    """An HTTP error with a code of Connect's, and one line that says what is wrong."""

    def __init__(self, problem: Problem, description: str) -> None:
        super().__init__(description)
        self.code, self.number = problem.value


def not_implemented(what: str) -> NoReturn:
    """Refuse what Connect has and this server has not."""
    abort(501, f"Not implemented here: {what}.")


def quoted(text: str) -> str:
    """Return the beginning of what a client sent, on one line."""
    return repr(text[:100])[1:-1]


class StorageFull(HTTPException):
    """The disk is full, or the quota of the user who runs the server."""

    code = 507  # werkzeug has no class for it
    description = "No space is left on the server's disk. Free some, or set TMPDIR to another one."


def http_error(error: Exception) -> HTTPException:
    """Return what to answer to a request that failed with any exception."""
    if isinstance(error, HTTPException):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull()
    return InternalServerError(f"The server failed: {one_line(error)}")


def one_line(error: BaseException) -> str:
    """Return what an exception is and where it was raised, without line breaks."""
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({Path(frame.filename).name}, line {frame.lineno})" for frame in place)
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}{where}"


def answer_to(error: HTTPException, path: str) -> Response:
    """Return the answer to an error: JSON below the API, else one line of text."""
    if not path.startswith("/__api__/"):
        return Response(f"{error.description}\n", error.code, PLAIN)
    status = error.code or 500
    number = getattr(error, "number", CODES.get(status, 1 if status >= 500 else 2))
    body = {"code": number, "error": error.description or "", "payload": None}
    return Response(json.dumps(body), status, mimetype="application/json")
