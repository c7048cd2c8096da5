"""Measures what each example costs beside plain Flask; pyperf prints the comparison."""

import json
import shutil
import subprocess
import sys
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

from shared.catalogue import CANONICAL, EXAMPLES, Example

SETUP = """\
from werkzeug.test import EnvironBuilder
from app import app
assert len(app.test_client().get("{url}").json) == {count}
environ = EnvironBuilder("{url}").get_environ()
start_response = lambda status, headers, exc_info=None: None
"""
REQUEST = "answer = app(environ.copy(), start_response); b''.join(answer); answer.close()"


def main() -> None:
    """Measure the list of 7 and of 10,000 greetings, and the import; then compare."""
    examples = sorted(EXAMPLES, key=lambda example: example.name != "plain Flask")
    with TemporaryDirectory() as directory:
        for example in examples:
            for count in (7, 10_000):
                path = copy(example, Path(directory, str(count)), count)
                save = ["--fast", "--append", f"../../{example.id}", "--name"]
                setup = SETUP.format(url=example.list_url, count=count)
                pyperf(path, "timeit", *save, f"list of {count}", "--setup", setup, REQUEST)
            pyperf(path, "command", *save, "import", "--", sys.executable, "-c", "import app")
        ids = [example.id for example in examples]
        pyperf(Path(directory), "compare_to", "--table", "--table-format=md", *ids)


def copy(example: Example, parent: Path, count: int) -> Path:
    """Copy an example below a directory with so many greetings, in made-up languages; return it."""
    path = shutil.copytree(example.path, parent / example.id)
    texts = json.loads(CANONICAL.read_text("utf-8")).values()
    greetings = {f"x-{number:05}": text for number, text in zip(range(count), cycle(texts))}
    (path / "greetings.json").write_text(json.dumps(greetings), "utf-8")
    return path


def pyperf(directory: Path, *arguments: str) -> None:
    """Run pyperf in a directory."""
    subprocess.run([sys.executable, "-m", "pyperf", *arguments], cwd=directory, check=True)


if __name__ == "__main__":
    main()
