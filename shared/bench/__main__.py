"""Measures what each example costs, and writes it down as a table.

Each app runs in processes of its own, started anew in every round, on one list of
greetings: the seven, and longer ones made of them. The apps take turns by fractions of a
second, so that a busy machine slows all of them alike; what is timed is processor time;
and of each app's values the least counts, since other programs can only slow an app down
(so too the documentation of timeit.repeat). The control is `credentials-example`: it is
plain Flask, and comes out at 1 where the ratios of medians are off by a fifth.

pyperf's Runner and pytest-benchmark both finish one benchmark before they start the next,
which puts minutes between the two figures of a ratio. So the turns are taken here, and
pyperf keeps the values: `--output` writes a file for `pyperf stats`, `hist` and
`compare_to`, say of two releases of a package.

All apps run in one environment with the requirements of all examples, so that they differ
by their packages alone and never by their Flask or Werkzeug. Each then imports the same
modules as in an environment of its own (worker.py sees to the one exception).
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pyperf

from ..catalogue import EXAMPLES, ROOT, Example
from ..client import Client, ClientError
from ..connect.children import Children
from ..connect.server import LocalConnect
from ..contract import GREETINGS

BASELINES = Path(__file__).with_name("baselines")
WORKER = Path(__file__).with_name("worker.py")
README = ROOT / "README.md"
MARKERS = ("<!-- bench -->", "<!-- /bench -->")

SIZES = (len(GREETINGS), 1_000, 10_000)
STARTS = 20  # processes of each app whose import is measured
TURNS = 20  # values that each round takes of each request
VALUE = 0.005  # seconds of work, at least, that make one value
CLIENTS = 4  # connections that are kept, each with a request under way
RATE = "requests/s"
REQUESTS = 2_000  # through the local Connect, in all rounds


@dataclass(frozen=True, eq=False)
class App:
    """Something to measure: a directory with an app.py, or a file that becomes one."""

    name: str
    source: Path
    urls: dict[str, str]
    is_guide: bool = False


def urls(example: Example) -> dict[str, str]:
    """The requests that are measured, by name."""
    measured = {"list": example.list_url, "item": example.item_url.format(lang="en")}
    return measured | ({"hello": example.hello_url} if example.hello_url else {})


def all_apps() -> list[App]:
    """The baselines, then each example, and the guide's code for it where there is one."""
    plain = {"list": "/greetings/", "item": "/greetings/en"}
    found = [
        App("raw WSGI", BASELINES / "raw-wsgi.py", plain),
        App("plain Flask", BASELINES / "plain-flask.py", plain),
    ]
    for example in EXAMPLES:
        found.append(App(example.directory, example.path, urls(example)))
        guide = BASELINES / f"guide-{example.id}.py"
        if guide.exists():
            found.append(App(f"{example.directory}, guide", guide, urls(example), True))
    return found


def greetings(size: int) -> dict[str, str]:
    """That many greetings: the seven, then their texts again by languages made up."""
    texts = list(GREETINGS.values())
    made_up = {f"x-{i:05}": texts[i % len(texts)] for i in range(len(texts), size)}
    return {**GREETINGS, **made_up}


def set_up(app: App, size: int, directory: Path) -> None:
    """Make the directory of an app with that many greetings."""
    if app.source.is_dir():
        ignore = shutil.ignore_patterns("__pycache__", "manifest.json")
        shutil.copytree(app.source, directory, ignore=ignore)
    else:
        directory.mkdir(parents=True)
        shutil.copy(app.source, directory / "app.py")
        (directory / "requirements.txt").write_text("Flask\n", encoding="utf-8")
    text = json.dumps(greetings(size), ensure_ascii=False, indent=4)
    (directory / "greetings.json").write_text(text, encoding="utf-8")


def expected(name: str, size: int) -> object:
    """What an app answers to a request, as parsed JSON."""
    if name == "list":
        known = sorted(greetings(size).items())
        return [{"lang": lang, "text": text} for lang, text in known]
    if name == "item":
        return {"lang": "en", "text": GREETINGS["en"]}
    return {"message": "So nice to see you, alice."}


class Worker:
    """An app in a fresh process; ends with a `with` block, or with this process.

    imported: the seconds that the import of app.py took; resident: the bytes of memory that
    the process then has. Raises RuntimeError when the app does not start.
    """

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER)],
            cwd=directory,
            # The guide's code opens a file of UTF-8 without saying so.
            env={**os.environ, "PYTHONUTF8": "1", "PYTHONWARNDEFAULTENCODING": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        try:
            self.imported = float(self._line())
            self.resident = psutil.Process(self.process.pid).memory_info().rss
        except BaseException:
            self.close()
            raise

    def call(self, path: str, calls: int) -> tuple[float, int, str]:
        """Make calls of one path; return the seconds of all, the status and the body."""
        self.process.stdin.write(json.dumps([path, calls]) + "\n")
        self.process.stdin.flush()
        return tuple(json.loads(self._line()))

    def _line(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("an app under measurement ended: see its error above")
        return line

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


class Results:
    """The values of every measurement, by app and by what was measured."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], list[float]] = {}

    def add(self, app: App, what: str, value: float) -> None:
        self.values.setdefault((app.name, what), []).append(value)

    def best(self, name: str, what: str) -> float:
        """The value that other programs disturbed least."""
        return (max if what == RATE else min)(self.values[name, what])

    def ratio(self, name: str, what: str, base: str) -> float | None:
        """What an app takes over what another takes; None where it was not measured."""
        if (name, what) in self.values and (base, what) in self.values:
            return self.best(name, what) / self.best(base, what)
        return None

    def dump(self, file: Path) -> None:
        """Write the values in pyperf's format."""
        units = {"memory": "byte", RATE: "integer"}
        pyperf.BenchmarkSuite(
            [
                pyperf.Benchmark(
                    [
                        pyperf.Run(
                            values,
                            metadata={
                                "name": f"{name}: {what}",
                                "unit": units.get(what, "second"),
                            },
                        )
                    ]
                )
                for (name, what), values in self.values.items()
            ]
        ).dump(str(file), replace=True)


def measure_starts(apps: list[App], results: Results) -> None:
    """Measure the import and the memory of fresh processes, each time in another order."""
    with tempfile.TemporaryDirectory(prefix="bench-") as root:
        for app in apps:
            set_up(app, SIZES[0], Path(root, app.name))
        for start in range(1 + STARTS):
            say(f"start {start} of {STARTS}" if start else "compiling")
            for app in random.sample(apps, len(apps)):
                with contextlib.closing(Worker(Path(root, app.name))) as worker:
                    if start:
                        results.add(app, "import", worker.imported)
                        results.add(app, "memory", worker.resident)


def measure(apps: list[App], rounds: int, results: Results) -> None:
    """Measure the requests in process."""
    calls: dict[tuple[str, str], int] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as root:
        directories = {}
        for size in SIZES:
            for app in apps:
                directories[app.name, size] = Path(root, app.name, str(size))
                set_up(app, size, directories[app.name, size])
        for step in range(rounds):
            for size in SIZES:
                say(f"round {step + 1} of {rounds}, {size:,} greetings")
                with contextlib.ExitStack() as stack:
                    workers = {}
                    for app in apps:
                        worker = Worker(directories[app.name, size])
                        stack.callback(worker.close)
                        workers[app] = worker
                    take_turns(workers, size, calls, results)


def take_turns(
    workers: dict[App, Worker],
    size: int,
    calls: dict[tuple[str, str], int],
    results: Results,
) -> None:
    """Let the apps make their requests by turns, each time in another order."""
    requests = []
    for app, worker in workers.items():
        for name, path in app.urls.items():
            if checked(app, worker, name, size):
                what = f"{name}, {size:,}"
                warm_up(worker, path, calls, (app.name, what))
                requests.append((app, what, path))
    for _ in range(TURNS):
        random.shuffle(requests)
        for app, what, path in requests:
            count = calls[app.name, what]
            results.add(app, what, workers[app].call(path, count)[0] / count)


def checked(app: App, worker: Worker, name: str, size: int) -> bool:
    """Whether the app has the request at all, which only the guide's code may lack.

    Raises RuntimeError when its answer is not the one that the others give.
    """
    _, status, body = worker.call(app.urls[name], 1)
    if status == 404 and app.is_guide:
        return False
    if status != 200 or json.loads(body) != expected(name, size):
        raise RuntimeError(f"{app.name} answers {app.urls[name]} wrongly ({status})")
    return True


def warm_up(
    worker: Worker, path: str, calls: dict[tuple[str, str], int], key: tuple[str, str]
) -> None:
    """Make calls enough for one value; the first time, find out how many those are."""
    seconds = worker.call(path, calls.setdefault(key, 1))[0]
    while seconds < VALUE:
        calls[key] = max(2 * calls[key], int(calls[key] * VALUE / seconds))
        seconds = worker.call(path, calls[key])[0]


def measure_connect(apps: list[App], rounds: int, results: Results) -> None:
    """Measure requests for an item through the local Connect, deployed by its client."""
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        children = stack.enter_context(contextlib.closing(Children()))
        connect = stack.enter_context(LocalConnect())
        client = Client(root / "client", children)
        served = {}
        for app in apps:
            say(f"deploying {app.name} to the local Connect")
            set_up(app, SIZES[0], root / app.name)
            served[app] = deploy(client, connect, root / app.name) + app.urls["item"]
        for step in range(rounds):
            for app in random.sample(apps, len(apps)):
                say(f"round {step + 1} of {rounds}, {app.name} by the local Connect")
                rate = requests_per_second(served[app], REQUESTS // rounds)
                results.add(app, RATE, rate)


def deploy(client: Client, connect: LocalConnect, directory: Path) -> str:
    """Deploy a directory; return the URL of the content, without a slash at its end."""
    server = ["--server", connect.url, "--api-key", connect.api_key]
    new = ["--new", "--entrypoint", "app:app", "--title", directory.name]
    printed = client.run("deploy", "api", *server, *new, str(directory))
    return connect.url + re.search(r"/content/[0-9a-f-]{36}", printed)[0]


def requests_per_second(url: str, count: int, clients: int = CLIENTS) -> float:
    """The rate at which a number of clients, on connections that they keep, have answers.

    The clients share the machine, and its processors, with the server. Raises
    httpx.HTTPError when an answer is not a success.
    """

    def run(client: httpx.Client) -> None:
        for _ in range(count // clients):
            client.get(url).raise_for_status()

    with contextlib.ExitStack() as stack:
        opened = [
            stack.enter_context(httpx.Client(trust_env=False, timeout=30))
            for _ in range(clients)
        ]
        for client in opened:
            client.get(url).raise_for_status()  # connects, and starts the app
        pool = stack.enter_context(ThreadPoolExecutor(clients))
        start = time.perf_counter()
        list(pool.map(run, opened))
        return count // clients * clients / (time.perf_counter() - start)


def columns() -> Iterator[str]:
    """What the table shows, in order."""
    for name in ("list", "item"):
        yield from (f"{name}, {size:,}" for size in SIZES)
    yield from ("import", "memory", RATE)


def table(apps: list[App], results: Results) -> str:
    """The table, in Markdown: ratios to plain Flask, and to raw WSGI for requests."""
    shown = list(columns())
    lines = [["", *shown], ["---"] + ["---:"] * len(shown)]
    for app in apps:
        cells = [cell(results, app.name, what) for what in shown]
        if set(cells) != {"–"}:
            name = "– the guide's code" if app.is_guide else label(app)
            lines.append([name, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def label(app: App) -> str:
    return f"`{app.name}`" if app.source.is_dir() else app.name


def cell(results: Results, name: str, what: str) -> str:
    to_flask = results.ratio(name, what, "plain Flask")
    if to_flask is None:
        return "–"
    to_wsgi = results.ratio(name, what, "raw WSGI") if "," in what else None
    return f"{to_flask:.2f}" + (f" ({to_wsgi:.3g})" if to_wsgi else "")


def legend() -> str:
    """What the table means, when and on what it was measured, and how to do it again."""
    sizes = ", ".join(f"{size:,}" for size in SIZES[:-1]) + f" and {SIZES[-1]:,}"
    return (
        "Processor time, memory and requests per second as multiples of plain Flask's; in "
        "brackets, of raw WSGI's with `json.dumps`. List and item: one request in process, "
        f"at {sizes} greetings. Import and memory: of a fresh process. Requests per second: "
        f"an item through the local Connect, {CLIENTS} clients. Measured on "
        f"{datetime.date.today()} by `tox run -e bench -- --write`, Python "
        f"{platform.python_version()}, {', '.join(versions())}."
    )


def versions() -> list[str]:
    """The packages that the examples require, each with the version that is here."""
    names = {"Flask", "Werkzeug"}
    for example in EXAMPLES:
        requirements = (example.path / "requirements.txt").read_text(encoding="utf-8")
        names.update(re.findall(r"^[\w.-]+", requirements, re.MULTILINE))
    return [f"{name} {importlib.metadata.version(name)}" for name in sorted(names)]


def costs(apps: list[App], results: Results) -> Iterator[str]:
    """Each example's times over the guide's, and its longest list over plain Flask's."""
    yield "Each example's time over that of the guide's code:"
    for app in apps:
        for name in app.urls:
            for size in SIZES:
                what = f"{name}, {size:,}"
                ratio = results.ratio(app.name, what, f"{app.name}, guide")
                if ratio is not None:
                    yield f"  {app.name}: {what}: {ratio:.2f}"
    yield "The longest list over json.dumps of the same list in plain Flask:"
    for app in apps:
        ratio = results.ratio(app.name, f"list, {SIZES[-1]:,}", "plain Flask")
        if ratio is not None and app.source.is_dir():
            yield f"  {app.name}: {ratio:.2f}"


def around_the_table() -> tuple[str, str]:
    """The README up to the table's place and from there on; exits when it has none."""
    start, end = MARKERS
    before, _, rest = README.read_text(encoding="utf-8").partition(start)
    _, found, after = rest.partition(end)
    if not found:
        sys.exit(f"{README.name} has no {start} with {end} after it: add both.")
    return before + start, end + after


def write(text: str) -> None:
    """Put the table into the README, between its markers."""
    before, after = around_the_table()
    README.write_bytes(f"{before}\n{text}\n{after}".encode())


def say(what: str) -> None:
    """Show progress, apart from the table."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Measure what each example costs; print the table in Markdown.",
    )
    parser.add_argument(
        "--write", action="store_true", help=f"put the table into {README.name}, too"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write all values, for pyperf, too"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=4,
        metavar="N",
        help="rounds of requests, each by fresh processes (default: %(default)s)",
    )
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds: one at least")
    if arguments.output and not arguments.output.parent.is_dir():
        parser.error(f"--output: there is no directory {arguments.output.parent}")
    return arguments


def main() -> None:
    """The command line; exits with one line that says what is wrong, if something is."""
    arguments = parse()
    if arguments.write:
        around_the_table()  # before the work of minutes, rather than after
    apps, results = all_apps(), Results()
    try:
        measure_starts(apps, results)
        measure(apps, arguments.rounds, results)
        deployed = [a for a in apps if a.source.is_dir() or a.name == "plain Flask"]
        measure_connect(deployed, arguments.rounds, results)
    except (RuntimeError, ClientError, FileNotFoundError, httpx.HTTPError) as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit("bench: stopped, nothing written")
    text = f"{table(apps, results)}\n\n{legend()}"
    print(text, "", *costs(apps, results), sep="\n")
    if arguments.output:
        results.dump(arguments.output)
    if arguments.write:
        write(text)


if __name__ == "__main__":
    main()
