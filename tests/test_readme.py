"""What the README says is true: its commands, its links, its tables."""

import configparser
import re

import pytest

from shared.catalogue import EXAMPLES, ROOT
from shared.readme import README, console_commands

TEXT = README.read_text(encoding="utf-8")
# Each heading with console blocks, and the test that runs its commands.
RUN_BY = {
    "Quick start": "tests/test_connect.py, .ci/run",
    "Run one by itself": "tests/test_bundle.py",
    "Deploy": "shared/places.py",
}


def test_every_console_block_is_run_by_a_test():
    sections = re.split(r"^## ", TEXT, flags=re.MULTILINE)
    with_commands = {s.splitlines()[0] for s in sections if "```console" in s}
    assert with_commands == set(RUN_BY)
    for runners in RUN_BY.values():
        for runner in runners.split(", "):
            assert (ROOT / runner).exists()


def test_quick_start_is_the_main_job_and_the_tests():
    serve, test = console_commands("Quick start")
    assert serve.endswith("/tox run -e serve")
    assert test.endswith("/tox run-parallel")


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"\]\((?!https?:|#)([^)#]+)", TEXT)))
)
def test_linked_file_exists(target):
    assert (ROOT / target).exists()


def rows(*header):
    """The rows of the README's table whose header starts with these cells."""
    table = re.search(
        rf"^\| {re.escape(' | '.join(header))}.*\n\|[-|]+\n((?:\|.*\n)+)",
        TEXT,
        re.MULTILINE,
    )
    for line in table[1].splitlines():
        yield [cell.strip() for cell in line.strip("|").split(" | ")]


def code(cell):
    """What a cell sets as code."""
    return tuple(re.findall(r"`([^`]+)`", cell))


def test_table_of_examples_is_the_catalogue():
    told = [(code(row[0])[0], code(row[2])) for row in rows("directory", "package")]
    assert told == [(e.directory, e.console_urls) for e in EXAMPLES]


def test_table_of_urls_is_the_catalogue():
    told = [[code(cell)[0] for cell in row] for row in rows("id", "list", "item")]
    assert told == [[e.id, e.list_url, e.item_url] for e in EXAMPLES]


def test_tox_has_every_environment_that_the_readme_names():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    factors = set(re.findall(r"[a-z]+|\d+", tox["tox"]["env_list"]))
    sections = {name.partition(":")[2] for name in tox.sections()}
    named = set(re.findall(r"tox run -e ([\w,-]+)", TEXT))
    assert named
    for environment in {name for names in named for name in names.split(",")}:
        parts = set(re.findall(r"[a-z]+|\d+", environment))
        assert environment in sections or parts <= factors, environment
