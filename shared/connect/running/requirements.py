"""What a requirements file refers to: packages of the index only, or also files of the bundle."""

import codecs
import os
import re
from pathlib import Path
from urllib.parse import unquote

from packaging.requirements import InvalidRequirement, Requirement

ARCHIVE = re.compile(r"\.(?:whl|egg|zip|tar|t[bglx]z2?|tar\.\w+)$", re.IGNORECASE)
# The options that name a file or a directory, as uv reads them.
OPTION = re.compile(
    r"(-[cefir]|--(?:editable|requirements?|constraints?|find-links|index-url|extra-index-url))"
    r"(?:\s*=\s*|\s+)(.+)"
)
FILE_URL = re.compile(r"(?:\w+\+)?file:(?://(?:localhost)?)?([^?#]*)", re.IGNORECASE)
FILES = ("-r", "-c", "--req", "--con")  # the options whose file has more lines


class BuildError(Exception):
    """Why there is no environment, in one line."""


def shareable(text: str) -> list[str] | None:
    """Return the requirements in a file's text, if each is the name of a package with versions.

    None if there is anything else, such as a path, a URL, an archive, an option or a variable: what
    that installs depends on more than the text.
    """
    found = set()
    for line in logical_lines(text):
        try:
            requirement = Requirement(re.sub(r"\s--hash[=\s]\S+", "", line))
        except InvalidRequirement:
            return None
        if requirement.url or ARCHIVE.search(requirement.name):
            return None
        found.add(line)
    return sorted(found)


def check(name: str, bundle: Path, seen: set[str]) -> str:
    """Return the text of a requirements file of a bundle, given by its path from there.

    seen: files that were checked before. Raises BuildError when a line, also one of a file that it
    names, leads out of the bundle.
    """
    seen.add(name)
    path = bundle / name
    text = read(path, name)
    for line in logical_lines(text):
        option = OPTION.match(line)
        value = option[2] if option else re.sub(r"^[\w.-]+\s*(\[[^]]*\])?\s*@\s*", "", line)
        target = local_path(expand(value.replace("${PWD}", str(bundle))), path.parent)
        if target and not target.is_relative_to(bundle):
            raise BuildError(outside(f"{name}: {value}"))
        if target and option and option[1].startswith(FILES):
            if not target.is_file():
                raise BuildError(f"{name} names {value}, which is not in the bundle.")
            if (other := str(target.relative_to(bundle))) not in seen:
                check(other, bundle, seen)
    return text


def expand(value: str) -> str:
    """Replace ${NAME} by a variable of this process, as pip does."""
    return re.sub(r"\$\{([A-Z0-9_]+)\}", lambda name: os.environ.get(name[1], name[0]), value)


def outside(what: str) -> str:
    return f"{what} is not in the bundle: it is only on this machine, not on a Connect server."


def local_path(value: str, base: Path) -> Path | None:
    """Return the path that a file: URL or a relative or absolute path means; None for other URLs."""
    if url := FILE_URL.match(value):
        value = unquote(url[1])
    elif "://" in value:
        return None
    return Path(os.path.realpath(base / value))


def logical_lines(text: str) -> list[str]:
    """The lines of a requirements file, continued ones as one, without comments and empty ones."""
    lines = re.sub(r"\\\r?\n", " ", text).splitlines()
    return list(filter(None, (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines)))


def read(path: Path, name: str) -> str:
    """Return the text of a requirements file in UTF-8, or with a BOM, as pip does."""
    data = path.read_bytes()
    utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    told = "in UTF-16 without a BOM" if b"\0" in data and not utf_16 else ""
    try:
        text = data.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        kind, line = "UTF-16" if utf_16 else "UTF-8", data.count(b"\n", 0, error.start) + 1
        told = told or f"not in {kind}: byte {data[error.start]:#x} in line {line}"
    if told:
        raise BuildError(f"{name} is {told}. Save it as UTF-8.")
    return text
