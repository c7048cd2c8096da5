"""What the rsconnect client makes of each example's directory."""

import functools
import json
import os
import re
import shutil
import subprocess
import threading
from contextlib import contextmanager

import httpx
from packaging.specifiers import SpecifierSet

from shared import contract
from shared.catalogue import EXAMPLES, ROOT
from shared.harness.client import private_client
from shared.harness.readme import DEPLOYING, commands
from shared.harness.recipes import recipes_for

REPAIR = "to write it again, tox run -e manifests"


def test_committed_manifest_is_that_of_its_directory(example):
    """Connect publishes from git by the manifest alone."""
    with private_client() as client:
        manifest = client.write_manifest(client.root / example.directory)
    committed = json.loads((example.path / "manifest.json").read_text(encoding="utf-8"))
    listed, there = set(committed.pop("files")), set(manifest["files"])
    assert listed == there, f"manifest.json lists {listed}; the client bundles {there}: {REPAIR}"
    for key in sorted(committed.keys() - {"locale", "python"}):  # these are the machine's
        assert committed[key] == manifest[key], f"{key} of manifest.json is stale: {REPAIR}"
    assert manifest["python"]["package_manager"]["package_file"] == "requirements.txt"
    # Without a constraint, Connect takes the minor version of the person who deploys.
    pythons = SpecifierSet(manifest["environment"]["python"]["requires"])
    assert list(pythons.filter(["3.9", "3.10", "3.15"])) == ["3.10", "3.15"]


PAGES = [ROOT / name for name in ("README.md", "DEPLOYING.md", "RECIPES.md", ".github/SUPPORT.md")]
PAGES += [ROOT / "shared/connect/README.md", *(example.readme for example in EXAMPLES)]


def shown(pattern):
    """What the pages show in lines of code or between backticks, with the page's name."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(rf"(?:^|`){pattern}(?:`|$)", text, re.MULTILINE):
            yield page.name, match


def test_client_has_the_options_that_the_pages_show():
    """-E is for variables, -e for the entrypoint."""
    with private_client() as client:
        help_of = functools.cache(lambda command: client.run(*command.split(), "--help"))
        shown_commands = list(shown(r"rsconnect ((?:deploy |write-manifest )?[a-z]+)( [^`\n]+)?"))
        variables = list(shown(r"(-+\w+) [A-Z_]+(?:=[^`\n]*)?"))
        assert shown_commands and variables
        for page, match in shown_commands:
            for option in re.findall(r" (-[\w-]+)", match[2] or ""):
                known = re.search(rf"^ .*(?<!\S){option}[,\s]", help_of(match[1]), re.MULTILINE)
                assert known, f"{page}: {match[0]}: there is no {option}"
        for page, match in variables:
            # The help of an option goes on until the next one.
            about = re.search(rf"\n  {match[1]}, (?:.|\n(?!  -))*", help_of("deploy api"))
            assert about and "NAME=VALUE" in about[0], f"{page}: {match[0]}: {match[1]}"


@contextmanager
def run_from_readme(command, directory, **variables):
    """Run a command that serves in a directory, at a free port; give the URL that it prints."""
    options = {"cwd": directory, "env": {**os.environ, **variables}, "encoding": "utf-8"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(["sh", "-c", f"exec {command}"], **options, **pipes) as process:
        printed, url = "", None
        for line in process.stdout:
            printed += line
            if url := re.search(r"(?:Running on|Listening at:) (http://\S+)", line):
                break
        # A full pipe would block the command.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        try:
            assert url, f"{command} ends before it serves:\n{printed}"
            yield url[1]
        finally:
            process.terminate()


def test_pages_run_an_example_and_call_it_also_with_four_processes_below_a_path(tmp_path):
    """test_readme.py compares the commands of the other examples."""
    copy = shutil.copytree(EXAMPLES[0].path, tmp_path / "copy")
    *steps, command = commands("Run", EXAMPLES[0].readme)
    subprocess.run(["sh", "-c", " && ".join(steps)], cwd=copy, check=True)
    with run_from_readme(command, copy, FLASK_RUN_PORT="0") as url:
        recipes_for(EXAMPLES[0])["Call"].check(url, copy)
    subprocess.run([".venv/bin/pip", "install", "--quiet", "gunicorn"], cwd=copy, check=True)
    (command,) = commands("Run several processes", DEPLOYING)
    variables, _, gunicorn = command.replace(":8000", ":0").partition(" gunicorn ")
    command = f"env {variables} .venv/bin/gunicorn {gunicorn}"
    # gunicorn writes below HOME.
    with run_from_readme(command, copy, HOME=str(tmp_path)) as url:
        spec = httpx.get(f"{url}/greetings-api{EXAMPLES[0].spec_url}", timeout=60).json()
        listed = httpx.get(f"{url}/greetings-api{EXAMPLES[0].list_url}", timeout=60).json()
    assert spec["basePath"] == "/greetings-api"
    assert listed == contract.greetings()


def test_page_renames_the_app_and_adds_a_file():
    """Connect publishes the files from git that the manifest lists."""
    [[_, *words, directory]] = map(str.split, commands("From git", DEPLOYING))
    [rename] = commands("Rename `app.py` or `app`", DEPLOYING)
    assert rename.split() == ["rsconnect", *words, "."]
    with private_client() as client:
        copy = client.root / directory
        text = (copy / "app.py").read_text(encoding="utf-8")
        (copy / "app.py").rename(copy / "helper.py")
        (copy / "server.py").write_text(re.sub(r"\bapp\b", "service", text), encoding="utf-8")
        project = copy / "pyproject.toml"
        text = project.read_text(encoding="utf-8").replace("app:app", "server:service")
        project.write_text(text, encoding="utf-8")
        client.run(*words, directory)
        manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["metadata"]["entrypoint"] == "server:service"
    assert {"helper.py", "server.py"} < set(manifest["files"])
