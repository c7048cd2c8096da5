"""What operations read of a request: JSON bodies, and the parts of the query."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

from flask import request

from ..errors import ConnectError, Problem, not_implemented, quoted

T = TypeVar("T")
KINDS = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}
MAX_JSON = 2**20  # bytes of a body: Python parses it in one go, while nobody else is answered


def json_body(kind: type[T]) -> T:
    """The request's JSON; raises HTTPException unless it is of the kind."""
    request.max_content_length = MAX_JSON
    return parse_json(request.get_data(), kind, "The body")


def fields_of(value: object, /, **fields: type) -> dict[str, Any]:
    """Return a JSON object with fields of these kinds, None for those that are not there.

    fields: str, bool, int, or float for a number, which may be whole, by name. Raises ConnectError
    for another field, as Connect does (posit-dev/publisher#1061), and for a value of another kind.
    """
    if not isinstance(value, dict):
        raise ConnectError(Problem.BAD_BODY, "A part of the body is not a JSON object.")
    for name in value:
        if name not in fields:
            raise ConnectError(Problem.UNKNOWN_FIELD, f"There is no field {quoted(name)} here.")
        kind = fields[name]
        # true is an int in Python, not in JSON.
        if type(value[name]) not in (type(None), kind, int if kind is float else kind):
            raise ConnectError(Problem.BAD_BODY, f"{name} is not {KINDS[kind]}.")
    return dict.fromkeys(fields) | value


def parse_json(data: bytes, kind: type[T], what: str) -> T:
    """Parse JSON; raises ConnectError, with `what` it is, unless it is of the kind.

    It is strict, so that an answer can repeat whatever is kept: UTF-8 without lone surrogates, no
    NaN, no number that is infinite, no key twice, and no more nesting than Python can follow.
    """

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(found := dict(pairs)) < len(pairs):
            raise ValueError("a key comes twice")
        return found

    reason = ""
    try:
        value = json.loads(data.decode(), object_pairs_hook=unique)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        value, reason = None, f": {str(error)[:100]}"
    if reason or not isinstance(value, kind):
        expected = "object" if kind is dict else "array"
        raise ConnectError(Problem.BAD_BODY, f"{what} is not a JSON {expected}{reason}.")
    return value


def number_of(argument: str, default: int, least: int, most: int = 10**9) -> int:
    """A number in the request's query; raises ConnectError."""
    try:
        number = int(request.args.get(argument, default))
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        message = f"{argument} is not a number from {least} to {most}."
        raise ConnectError(Problem.BAD_PARAMETER, message)
    return number


def page_of(items: list) -> list:
    """The page of a list that the request's query names."""
    for argument in {"asc_order", "sort", "user_role", "account_status"} & request.args.keys():
        not_implemented(argument)
    number, size = number_of("page_number", 1, 1), number_of("page_size", 20, 1, 500)
    return items[(number - 1) * size : number * size]


def page_record(items: dict, record: Callable) -> dict:
    """A page of the records of items, those whose name starts with the query's prefix, by name."""
    prefix = request.args.get("prefix", "").lower()
    found = [item for name, item in sorted(items.items()) if name.lower().startswith(prefix)]
    return {
        "results": [record(item) for item in page_of(found)],
        "current_page": number_of("page_number", 1, 1),
        "total": len(found),
    }
