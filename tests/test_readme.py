"""What the README and CONTRIBUTING say is true: their commands, links and tables."""

import re

import pytest

from shared.catalogue import EXAMPLES, ROOT
from shared.harness.readme import README, console_commands

CONTRIBUTING = ROOT / ".github" / "CONTRIBUTING.md"
TEXTS = {path: path.read_text(encoding="utf-8") for path in (README, CONTRIBUTING)}
HEADING = re.compile(r"^#+ (.*)", re.MULTILINE)
LINKS = [
    (path, target)
    for path, text in TEXTS.items()
    for target in re.findall(r'(?:\]\(|src=")(?!https?:)([^)"]+)', text)
]


def test_every_console_block_of_the_readme_is_run():
    """By a test or a command that asks for the commands below its heading."""
    sections = re.split(r"^## ", TEXTS[README], flags=re.MULTILINE)
    shown = {section.splitlines()[0] for section in sections if "```console" in section}
    code = "".join(
        path.read_text(encoding="utf-8")
        for directory in ("shared", "tests")
        for path in (ROOT / directory).rglob("*.py")
    )
    assert shown == set(re.findall(r'console_commands\("([^"]+)"\)', code))


def test_quick_start_serves_and_tests():
    serve, test = console_commands("Quick start")
    assert serve.endswith("/tox run -e serve")
    assert test.endswith("/tox run-parallel")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "## Quick start" in script


def test_console_commands_are_those_below_the_heading(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(
        "# A\n```console\n$ no\n```\n## Deploy\n```console\n$ one\nanswer\n# comment\n"
        "$ two \\\n  --more\n```\n### Below\n```console\n$ three\n```\n"
        "```python\n$ no\n```\n## B\n```console\n$ no\n```\n",
        encoding="utf-8",
    )
    assert console_commands("Deploy", readme) == ["one", "two --more", "three"]
    with pytest.raises(LookupError):
        console_commands("Nothing", readme)


@pytest.mark.parametrize(("path", "target"), LINKS)
def test_link_leads_to_a_file_or_heading(path, target):
    file, _, anchor = target.partition("#")
    linked = path.parent / file if file else path
    assert linked.exists()
    headings = HEADING.findall(linked.read_text(encoding="utf-8")) if anchor else [""]
    assert anchor in [heading.lower().replace(" ", "-") for heading in headings]


def rows(path, *header):
    """The rows of the table whose header starts with these cells."""
    first = re.escape(" | ".join(header))
    table = re.search(rf"^\| {first}.*\n\|[-|]+\n((?:\|.*\n)+)", TEXTS[path], re.MULTILINE)
    for line in table[1].splitlines():
        yield [cell.strip() for cell in line.strip("|").split(" | ")]


def code(cell):
    """What a cell has in backticks."""
    return tuple(re.findall(r"`([^`]+)`", cell))


def test_table_of_examples_is_the_catalogue():
    told = [(code(row[0])[0], code(row[2])) for row in rows(README, "directory", "package")]
    assert told == [(e.directory, e.console_urls) for e in EXAMPLES]


def test_table_of_urls_is_the_catalogue():
    told = [[code(cell)[0] for cell in row] for row in rows(README, "id", "list", "item")]
    assert told == [[e.id, e.list_url, e.item_url] for e in EXAMPLES]


def test_table_of_differences_has_all_examples():
    (all_examples, *told) = [row[0] for row in rows(README, "example", "breaks in the guide")]
    assert [all_examples, *told] == ["all", *(f"`{e.id}`" for e in EXAMPLES)]


def test_readme_has_a_command_for_each_example():
    _, *commands = console_commands("Deploy")
    assert [command.split("/")[-2] for command in commands] == [e.directory for e in EXAMPLES]


def expand(pattern):
    """The names that an entry of tox's env_list stands for."""
    if match := re.search(r"\{([^}]*)\}", pattern):
        before, after = pattern[: match.start()], pattern[match.end() :]
        return {name for part in match[1].split(",") for name in expand(before + part + after)}
    return {pattern}


def test_tox_has_the_environments_that_are_named(tox):
    by_default = set().union(*map(expand, tox["tox"]["env_list"].split()))
    sections = {name.partition(":")[2] for name in tox.sections()}
    known = by_default | sections | {example.id for example in EXAMPLES}
    named = re.findall(r"tox run -e ([\w,-]+)", "".join(TEXTS.values()))
    told = {name for row in rows(CONTRIBUTING, "environment", "tests") for name in code(row[0])}
    assert {name for names in named for name in names.split(",")} | told <= known
    untold = {name for name in by_default if not re.match(r"py\d", name)} - told
    assert untold == {"counts"}
