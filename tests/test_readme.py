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


def test_readmes_of_the_examples_have_the_same_commands():
    """test_bundle.py runs the first example, and tests/connect/test_ways.py deploys it."""
    run = {tuple(console_commands("Run", example.readme)) for example in EXAMPLES}
    deploy = {tuple(console_commands("Deploy", example.readme)) for example in EXAMPLES}
    assert len(run) == 1
    assert deploy == {("rsconnect deploy pyproject -n myserver .",)}


def test_quick_start_serves_and_tests():
    serve, test = console_commands("Quick start")
    assert serve.endswith("/tox run -e serve")
    assert test.endswith("/tox run-parallel")
    for file, start in [(".ci/run", "\n"), (".github/workflows/test.yml", "- run: ")]:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert f"{start}{test}\n" in text, f"{file} does not run the README's test command"


@pytest.mark.parametrize(("path", "target"), LINKS)
def test_link_leads_to_a_file_or_heading(path, target):
    file, _, anchor = target.partition("#")
    linked = path.parent / file if file else path
    assert linked.exists()
    headings = HEADING.findall(linked.read_text(encoding="utf-8")) if anchor else [""]
    assert anchor in [heading.lower().replace(" ", "-") for heading in headings]


def cells(*header):
    """The words in backticks of each row, by cell, of the table with a header that starts so."""
    first = re.escape(" | ".join(header))
    text = "".join(TEXTS.values())
    table = re.search(rf"^\| {first}.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [line.strip("|").split(" | ") for line in table[1].splitlines()]
    return [[re.findall(r"`([^`]+)`", cell) for cell in row] for row in rows]


def test_tables_are_the_catalogue():
    told = [(row[0], row[2]) for row in cells("directory", "package")]
    assert told == [([e.directory], list(e.console_urls)) for e in EXAMPLES]
    told = cells("id", "list", "item")
    assert told == [[[e.id], [e.list_url], [e.item_url]] for e in EXAMPLES]
    told = [row[0] for row in cells("example", "breaks in the guide")]
    assert told == [[], *([e.id] for e in EXAMPLES)]  # the first row is about all


def test_readme_has_a_command_for_each_example():
    _, *commands = console_commands("Deploy")
    words = [command.split() for command in commands]
    deployed = [(program, directory) for program, *_, directory in words]
    assert deployed == [("rsconnect", f"./{e.directory}/") for e in EXAMPLES]


def test_tox_has_the_environments_that_are_named(tox):
    by_default = set(re.split(r"[\s,]+", re.sub(r"py\S*", "", tox["tox"]["env_list"])))
    sections = {name.partition(":")[2] for name in tox.sections()}
    told = {name for row in cells("environment", "tests") for name in row[0]}
    assert by_default - told == {"", "counts"}
    named = re.findall(r"tox run -e ([\w,-]+)", "".join(TEXTS.values()))
    named = {name for names in named for name in names.split(",")} | told
    on_one_python = {name for name in named if re.fullmatch(r"py\d+-restx(-lowest)?", name)}
    assert named - on_one_python <= sections | {example.id for example in EXAMPLES}


def test_tox_runs_the_tests_of_the_project(tox):
    """test_project.py finds each test file that no environment runs, except itself."""
    assert "tests/test_project.py" in tox["testenv:project"]["commands"]
