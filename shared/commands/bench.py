"""Measures what each example costs beside plain Flask. With --write, CONTRIBUTING shows it."""

import argparse
import json
import re
import shutil
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from platform import python_version
from tempfile import TemporaryDirectory

from pyperf import BenchmarkSuite

from shared.catalogue import CANONICAL, EXAMPLES, ROOT

CONTRIBUTING = ROOT / ".github" / "CONTRIBUTING.md"
MARKED = re.compile(r"(?<=<!-- bench -->\n).*?(?=<!-- /bench -->)", re.DOTALL)

BASE = "plain Flask"
BASE_APP = """\
import json
from flask import Flask
app = Flask(__name__)
with app.open_resource("greetings.json") as file:
    db = json.load(file)
@app.route("/greetings/")
def greetings():
    return [{"lang": lang, "text": text} for lang, text in sorted(db.items())]
"""
LIST_URLS = {BASE: "/greetings/"} | {example.directory: example.list_url for example in EXAMPLES}

SETUP = """\
from werkzeug.test import EnvironBuilder
from app import app
assert len(app.test_client().get("{url}").json or ()) == {count}, "{url} is incomplete"
environ = EnvironBuilder("{url}").get_environ()
start_response = lambda status, headers, exc_info=None: None
"""
REQUEST = "answer = app(environ.copy(), start_response); b''.join(answer); answer.close()"
TIMEIT = ["timeit", "-p1", "-w1", "--setup", SETUP, REQUEST]
IMPORT = ["--", sys.executable, "-c", "import app"]
# How many greetings the app has, and what pyperf runs in its directory.
COLUMNS = {
    "list of 7": (7, [*TIMEIT, "-n200", "--loops=20"]),
    "list of 10,000": (10_000, [*TIMEIT, "-n40", "--loops=1"]),
    "import": (7, ["command", "-p1", "-w1", "-n3", "--loops=1", *IMPORT]),
    "memory": (7, ["command", "-p1", "-w0", "-n1", "--loops=1", "--track-memory", *IMPORT]),
}
LEGEND = (
    "For plain Flask, the lowest value that was measured; for each example, how many times that is. "
    "List: one request in process. Import and memory: a new process that imports `app.py`."
)


def main() -> None:
    """Measure, and print the table; exits with one line when something goes wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="update CONTRIBUTING.md")
    parser.add_argument("--rounds", type=int, default=8, help="(default: %(default)s)")
    arguments = parser.parse_args()
    try:
        with TemporaryDirectory() as directory:
            suites = measure(Path(directory), arguments.rounds)
    except KeyboardInterrupt:
        sys.exit("\nStopped.")
    table = tabulate(suites)
    print(f"\n{table}")
    if arguments.write:
        text = f"{table}\n{LEGEND} {conditions()}\n"
        old = CONTRIBUTING.read_text("utf-8")
        CONTRIBUTING.write_text(MARKED.sub(lambda _: text, old), "utf-8")


def measure(directory: Path, rounds: int) -> dict[str, BenchmarkSuite]:
    """Let the apps take turns, so that a busy machine slows all of them alike."""
    for number in range(1, rounds + 1):
        print(f"Round {number} of {rounds}:", end="", flush=True)
        for column, (count, arguments) in COLUMNS.items():
            print(f" {column} ", end="", flush=True)
            for app, url in LIST_URLS.items():
                path = directory / str(count) / app
                if not path.exists():
                    copy(app, path, count)
                command, *rest = (part.format(url=url, count=count) for part in arguments)
                saved = ["--name", column, "--append", f"{directory}/{app}.json"]
                run_pyperf([command, *saved, *rest], path)
                print(".", end="", flush=True)
        print()
    return {app: BenchmarkSuite.load(f"{directory}/{app}.json") for app in LIST_URLS}


def copy(app: str, path: Path, count: int) -> None:
    """Copy an app, and give it so many greetings, in made-up languages."""
    if app == BASE:
        path.mkdir(parents=True)
        (path / "app.py").write_text(BASE_APP, "utf-8")
    else:
        shutil.copytree(ROOT / app, path)
    texts = json.loads(CANONICAL.read_text("utf-8")).values()
    greetings = {f"x-{number:05}": text for number, text in zip(range(count), cycle(texts))}
    (path / "greetings.json").write_text(json.dumps(greetings), "utf-8")


def run_pyperf(arguments: list[str], path: Path) -> None:
    """Run pyperf in the directory of an app; exits with the app's own error when it fails."""
    command = [sys.executable, "-m", "pyperf", *arguments]
    done = subprocess.run(command, cwd=path, capture_output=True, encoding="utf-8")
    if done.returncode:
        error = re.search(r"^[\w.]+: .+|\Z", done.stderr, re.MULTILINE)[0]
        sys.exit(f"\n{path.name} cannot be measured: {error or 'pyperf failed'}")


def ratio(suites: dict[str, BenchmarkSuite], app: str, column: str) -> float:
    """Compare the lowest values: other work on the machine can only raise a value."""
    own, base = (suites[name].get_benchmark(column).get_values() for name in (app, BASE))
    return min(own) / min(base)


def tabulate(suites: dict[str, BenchmarkSuite]) -> str:
    """Return a Markdown table, aligned for the terminal."""
    line = "| {:13} |" + " {:>14} |" * len(COLUMNS) + "\n"
    text = line.format("", *COLUMNS) + line.format("---", *["---:"] * len(COLUMNS))
    base = [suites[BASE].get_benchmark(column) for column in COLUMNS]
    values = [benchmark.format_value(min(benchmark.get_values())) for benchmark in base]
    text += line.format(BASE, *(f"1 ({value})" for value in values)).replace(" us)", " µs)")
    for example in EXAMPLES:
        ratios = (f"{ratio(suites, example.directory, column):.1f}" for column in COLUMNS)
        text += line.format(f"`{example.id}`", *ratios)
    return text


def conditions() -> str:
    """Return the date, and the versions of Python and of the packages that the examples require."""
    files = [(example.path / "requirements.txt").read_text("utf-8") for example in EXAMPLES]
    names = sorted(set(re.findall(r"^\w[\w.-]*", "\n".join(files), re.MULTILINE)), key=str.lower)
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    return f"Measured on {date.today()} with Python {python_version()}, {packages}."


if __name__ == "__main__":
    main()
