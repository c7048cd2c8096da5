"""Measures what each example costs beside plain Flask; pyperf prints the comparison."""

import json
import shutil
import subprocess
import sys
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

from shared.catalogue import CANONICAL, EXAMPLES, ROOT

BASE = "plain"
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
SETUP = """\
from werkzeug.test import EnvironBuilder
from app import app
assert len(app.test_client().get("{url}").json) == {count}
environ = EnvironBuilder("{url}").get_environ()
start_response = lambda status, headers, exc_info=None: None
"""
REQUEST = "answer = app(environ.copy(), start_response); b''.join(answer); answer.close()"


def main() -> None:
    """Measure a request of a short and of a long list, and the import; then compare."""
    urls = {BASE: "/greetings/"} | {example.directory: example.list_url for example in EXAMPLES}
    with TemporaryDirectory() as directory:
        for app, url in urls.items():
            for count in (7, 10_000):
                path = copy(app, Path(directory, str(count)), count)
                setup = SETUP.format(url=url, count=count)
                timeit = ["timeit", "--fast", "--setup", setup, REQUEST]
                pyperf(*timeit, "--name", f"list of {count}", "--append", f"../../{app}", cwd=path)
            command = ["--", sys.executable, "-c", "import app"]
            save = ["--name", "import", "--append", f"../../{app}"]
            pyperf("command", "--fast", *save, *command, cwd=path)
        pyperf("compare_to", "--table", "--table-format=md", *urls, cwd=Path(directory))


def copy(app: str, parent: Path, count: int) -> Path:
    """Copy an app below a directory with so many greetings, in made-up languages; return it."""
    path = parent / app
    if app == BASE:
        path.mkdir(parents=True)
        (path / "app.py").write_text(BASE_APP, "utf-8")
    else:
        shutil.copytree(ROOT / app, path)
    texts = json.loads(CANONICAL.read_text("utf-8")).values()
    greetings = {f"x-{number:05}": text for number, text in zip(range(count), cycle(texts))}
    (path / "greetings.json").write_text(json.dumps(greetings), "utf-8")
    return path


def pyperf(*arguments: str, cwd: Path) -> None:
    """Run pyperf in a directory; exits as it does when it fails, after it has printed why."""
    if code := subprocess.run([sys.executable, "-m", "pyperf", *arguments], cwd=cwd).returncode:
        sys.exit(code)


if __name__ == "__main__":
    main()
