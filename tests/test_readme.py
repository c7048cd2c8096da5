"""What the README and CONTRIBUTING say is true: their commands, links and tables."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from shared.catalogue import EXAMPLES, ROOT
from shared.harness.readme import DEPLOYING, README, commands, joined

PATTERNS = ("*.md", ".github/*.md", "*-example/*.md", "shared/connect/*.md")
FILES = sorted(path for pattern in PATTERNS for path in ROOT.glob(pattern))
TEXTS = {path: path.read_text(encoding="utf-8") for path in FILES}


def test_every_command_of_the_readme_is_run():
    """By a test or a command that asks for the commands below its heading."""
    pages = {README: "", DEPLOYING: ", DEPLOYING"}
    sections = [(s, pages[p]) for p in pages for s in re.split(r"(?m)^##+ ", TEXTS[p])]
    shown = {(s.splitlines()[0], page) for s, page in sections if "```sh" in s}
    files = [*ROOT.glob("shared/**/*.py"), *ROOT.glob("tests/**/*.py")]
    code = "".join(path.read_text(encoding="utf-8") for path in files)
    assert shown == set(re.findall(r'\bcommands\("([^"]+)"(|, DEPLOYING)\)', code))


def test_readmes_of_the_examples_have_the_same_commands():
    """test_bundle.py runs the first example, and tests/connect/test_client.py deploys it."""
    run = {tuple(commands("Run", example.readme)) for example in EXAMPLES}
    deploy = {tuple(commands("Deploy", example.readme)) for example in EXAMPLES}
    assert len(run) == 1
    assert deploy == {(".venv/bin/rsconnect deploy api -n myserver --entrypoint app:app .",)}


def test_quick_start_serves_and_tests():
    """tests/connect/test_serve.py runs what serves, and CI runs the tests."""
    serve, test = commands("Quick start")
    assert serve.endswith(
        " -r shared/requirements.txt && .venv/bin/python -m shared.commands.serve"
    )
    assert test.endswith("/tox run-parallel")
    for file, start in [(".ci/run", "\n"), (".github/workflows/test.yml", "- run: ")]:
        text = joined((ROOT / file).read_text(encoding="utf-8"))
        assert f"{start}{test}\n" in text, f"{file} does not run the README's test command"


# deploy/action.yml of posit-dev/connect-actions at 8cb5ac2, the commit that the page names.
INPUTS = {"connect-server", "connect-api-key", "audience", "content-guid", "deployment-file"}
INPUTS |= {"path", "draft", "github-token", "rsconnect-args"}


def test_workflow_of_the_page_passes_the_linters(tmp_path):
    [workflow] = re.findall(r"```yaml\n(.*?)```", TEXTS[DEPLOYING], re.DOTALL)
    *_, action = yaml.safe_load(workflow)["jobs"]["deploy"]["steps"]
    assert action["with"].keys() <= INPUTS
    file = tmp_path / ".github" / "workflows" / "deploy.yml"
    file.parent.mkdir(parents=True)
    file.write_text(workflow, encoding="utf-8")
    schema = ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"]
    for program, *options in (schema, ["zizmor", "--offline", "--quiet"]):
        command = [Path(sys.executable).with_name(program), *options, file]
        run = subprocess.run(command, capture_output=True, encoding="utf-8")
        assert run.returncode == 0, run.stdout + run.stderr


def test_each_call_of_the_pages_sends_a_key_as_connect_reads_it():
    """In curl, Python and R: `Authorization: Key ...`."""
    sent = re.findall(r"\bAuthorization\W+((?:\w+ )?[$\w-]*KEY)", "".join(TEXTS.values()))
    assert len(sent) > 5
    assert set(sent) == {"Key YOUR-API-KEY", "Key $CONNECT_API_KEY"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings_and_to_the_names_that_they_show(path):
    link = r'(?:\[([^]]*)\]\(|src=")(?!https?:)([^)"]+)'
    for shown, target in re.findall(link, TEXTS[path]):
        file, _, anchor = target.partition("#")
        linked = path.parent / file if file else path
        assert linked.exists(), target
        name = shown.strip("`") if shown.startswith("`") and not anchor else ""
        assert name in linked.as_posix() or name in linked.read_text(encoding="utf-8"), target
        if anchor:
            headings = re.findall(r"(?m)^#+ (.*)", linked.read_text(encoding="utf-8"))
            anchors = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings]
            assert anchor in anchors, target


def test_readme_names_each_example_and_its_paths():
    for example in EXAMPLES:
        assert f"({example.directory}/README.md)" in TEXTS[README], f"README.md lacks {example.id}"
        contract = TEXTS[README].partition("## The contract")[2]
        for path in (example.list_url, example.item_url):
            assert f"`{path}`" in contract, f"README.md, The contract: {example.id} has {path}"


def test_environments_on_the_pages_are_those_of_tox(tox):
    """`tox list` shows the others, with their descriptions."""
    commands = re.findall(r"tox run -e ([\w,-]+)", "".join(TEXTS.values()))
    named = {name for names in commands for name in names.split(",")}
    assert named <= set(tox["env"]) | {example.id for example in EXAMPLES}
