"""What can be wrong with a request to the API, in Connect's own numbers."""

from enum import Enum

from werkzeug.exceptions import HTTPException

# For Werkzeug's own exceptions, by their HTTP status; 2 and 1 for other errors of client and server.
CODES = {401: 30, 403: 22, 404: 4, 409: 26}


class Problem(Enum):
    """The HTTP status of an answer, and the code in it: `APIErrorCode` in Connect's API reference.

    Where the reference has no status for a code, it is the one that users report: 409 for a name
    in use (rstudio/pins-r#289), 403 for NO_VIEW (posit-dev/connect-extensions#166).
    """

    BAD_NAME = 400, 5
    NO_VIEW = 403, 19
    SIGN_IN_FIRST = 401, 24
    BAD_PARAMETER = 400, 25
    NO_BUNDLE = 400, 28
    BAD_MANIFEST = 400, 38
    VANITY_IN_USE = 409, 51
    VANITY_FORBIDDEN = 400, 52
    ACTIVE_BUNDLE = 400, 75
    BAD_BODY = 400, 87
    BAD_ACCESS_TYPE = 400, 117
    BAD_ARCHIVE = 400, 135
    NO_TASK = 404, 141
    BAD_INCLUDE = 400, 161
    EMPTY_VARIABLE_NAME = 400, 266


class ConnectError(HTTPException):
    """An HTTP error with a code of Connect's, and one line that says what is wrong."""

    def __init__(self, problem: Problem, description: str) -> None:
        super().__init__(description)
        self.code, self.number = problem.value


def error_record(error: HTTPException) -> dict:
    """Return the body of the API's answer to an error."""
    status = error.code or 500
    default = CODES.get(status, 1 if status >= 500 else 2)
    number = getattr(error, "number", default)
    return {"code": number, "error": error.description, "payload": None}
