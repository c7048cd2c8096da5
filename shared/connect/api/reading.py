"""What operations read of a request: JSON bodies, numbers, and the page of a list."""

import json
from collections.abc import Callable
from typing import NoReturn, TypeVar

from flask import abort, request

from ..errors import ConnectError, Problem

T = TypeVar("T")
KINDS = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}


def not_implemented(what: str) -> NoReturn:
    abort(501, f"Not implemented here: {what}.")


def json_body(kind: type[T]) -> T:
    """The request's JSON; raises ConnectError unless it is of the kind."""
    return parse_json(request.get_data(), kind, "The body")


def parse_json(data: bytes, kind: type[T], what: str) -> T:
    """Parse JSON; raises ConnectError, with `what` it is, unless it is of the kind.

    It is strict, so that an answer can tell whatever is kept: UTF-8 without lone surrogates, no
    NaN, no number that is infinite, no key twice, and no more nesting than Python can follow.
    """
    reason = ""
    try:
        value = json.loads(data.decode(), object_pairs_hook=object_of)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        value, reason = None, f": {str(error)[:100]}"
    if reason or not isinstance(value, kind):
        expected = "object" if kind is dict else "array"
        raise ConnectError(Problem.BAD_BODY, f"{what} is not a JSON {expected}{reason}.")
    return value


def object_of(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return a JSON object; raises ValueError when a key comes twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found


def value_of(body: dict, key: str, kind: type[T]) -> T | None:
    """A value of a JSON object; raises ConnectError unless it is of the kind or null.

    kind: str, bool, int, or float for a number, which may be whole.
    """
    value = body.get(key)
    # true is an int in Python, not in JSON.
    if value is not None and type(value) not in (kind, int if kind is float else kind):
        raise ConnectError(Problem.BAD_BODY, f"{key} is not {KINDS[kind]}.")
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
    """The page of a list that the request's query wants."""
    number, size = number_of("page_number", 1, 1), number_of("page_size", 20, 1, 500)
    return items[(number - 1) * size : number * size]


def page_record(items: dict, record: Callable) -> dict:
    """A page of the records of items, those whose name starts with the query's prefix, by name."""
    prefix = request.args.get("prefix", "")
    found = [item for name, item in sorted(items.items()) if name.startswith(prefix)]
    return {
        "results": [record(item) for item in page_of(found)],
        "current_page": number_of("page_number", 1, 1),
        "total": len(found),
    }
