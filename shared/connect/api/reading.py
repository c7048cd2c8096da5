"""What operations read of a request: JSON bodies, numbers, and the page of a list."""

from collections.abc import Callable
from typing import NoReturn, TypeVar

from flask import abort, request

from ..errors import ConnectError, Problem

T = TypeVar("T")


def not_implemented(what: str) -> NoReturn:
    abort(501, f"Not implemented here: {what[:200]}.")


def json_body(kind: type[T]) -> T:
    """The request's JSON; raises ConnectError unless it is of the kind."""
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, kind):
        expected = "object" if kind is dict else "array"
        raise ConnectError(Problem.BAD_BODY, f"The body is not a JSON {expected}.")
    return body


def value_of(body: dict, key: str, kind: type[T]) -> T | None:
    """A value of a JSON object; raises ConnectError unless it is of the kind or null."""
    value = body.get(key)
    if not isinstance(value, kind | None):
        expected = {str: "a text", bool: "true or false"}[kind]
        raise ConnectError(Problem.BAD_BODY, f"{key} is not {expected}.")
    return value


def number_of(argument: str, default: int, least: int, most: int = 10**9) -> int:
    """A number in the request's query; raises ConnectError."""
    try:
        number = int(request.args.get(argument, default))
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        told = f"{argument} is not a number from {least} to {most}."
        raise ConnectError(Problem.BAD_PARAMETER, told)
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
