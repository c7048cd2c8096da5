"""What the recipe of a database promises: processes share it, and a restart changes nothing."""

import shutil
import sqlite3
import subprocess
import sys

import pytest
from werkzeug.test import Client

from shared import contract
from shared.harness.recipes import apply, recipes_for
from shared.harness.thread import CannotImport, load

TITLES = ["Add a greeting by POST", "Change and delete a greeting", "Keep the data in a database"]
WORKERS = 4
# Imports the packages once, with a database that does not count. Each worker then starts the app,
# and waits for the others before it opens the database for the first time.
START = """
import importlib, multiprocessing, os, sqlite3, sys

count, list_url, item_url, database = sys.argv[1:]
wanted, os.environ["GREETINGS_DB"] = os.environ["GREETINGS_DB"], database
import app

fork = multiprocessing.get_context("fork")

def connect(*args, wait=fork.Barrier(int(count)).wait, connect=sqlite3.connect, **options):
    sqlite3.connect = connect
    wait()
    return connect(*args, **options)

def work(own):
    sqlite3.connect = connect
    client = importlib.reload(app).app.test_client()
    for number in range(6):
        lang = f"{own}-{number}"
        item = item_url.format(lang=lang)
        assert client.post(list_url, json={"lang": lang, "text": "first"}).status_code == 201
        assert client.put(item, json={"lang": lang, "text": "second"}).status_code == 200
        if number % 2:
            assert client.delete(item).status_code == 204

os.environ["GREETINGS_DB"] = wanted
workers = [fork.Process(target=work, args=[f"worker{each}"]) for each in range(int(count))]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
sys.exit(any(worker.exitcode for worker in workers))
"""


@pytest.fixture
def database(example, tmp_path, monkeypatch):
    """A copy of the example that keeps its data in a database, and can change it."""
    copy = shutil.copytree(example.path, tmp_path / "copy")
    apply([recipes_for(example)[title] for title in TITLES], copy)
    monkeypatch.setenv("GREETINGS_DB", str(tmp_path / "greetings.sqlite"))
    return copy


def test_four_processes_that_start_at_once_lose_nothing(database, example, tmp_path):
    words = [str(WORKERS), example.list_url, example.item_url, str(tmp_path / "other.sqlite")]
    command = [sys.executable, "-c", START, *words]
    run = subprocess.run(command, cwd=database, stderr=subprocess.PIPE, encoding="utf-8")
    assert run.returncode == 0, run.stderr
    kept = {f"worker{worker}-{number}" for worker in range(WORKERS) for number in range(0, 6, 2)}
    listed = Client(load(database)).get(example.list_url).json
    added = [item for item in listed if item not in contract.greetings()]
    assert {item["lang"] for item in added} == kept
    assert {item["text"] for item in added} == {"second"}
    assert len(listed) == len(contract.greetings()) + len(kept)


def test_restart_changes_nothing(database, example):
    """Not even when all is deleted."""
    first, second = (Client(load(database)) for _ in range(2))
    assert first.get(example.list_url).json == contract.greetings()
    added = {"lang": "et", "text": "Tere"}
    assert first.post(example.list_url, json=added).status_code == 201
    for client in (first, second, Client(load(database))):
        assert client.get(example.item_url.format(lang="et")).json == added
        assert added in client.get(example.list_url).json
    for item in first.get(example.list_url).json:
        assert second.delete(example.item_url.format(lang=item["lang"])).status_code == 204
    for client in (first, second, Client(load(database))):
        assert client.get(example.list_url).json == []


def test_item_is_one_row_and_each_connection_is_closed(database, example, monkeypatch):
    client = Client(load(database))
    connections, statements = [], []
    connect = sqlite3.connect

    def recorded(*args, **options):
        connections.append(connect(*args, **options))
        connections[-1].set_trace_callback(statements.append)
        return connections[-1]

    monkeypatch.setattr(sqlite3, "connect", recorded)
    assert client.get(example.item_url.format(lang="en")).json["text"] == "Hello"
    assert statements == ["SELECT text FROM greetings WHERE lang = 'en'"]
    client.get(example.item_url.format(lang="tlh"))
    client.get(example.list_url)
    client.post(example.list_url, json={"lang": "et", "text": "Tere"})
    client.delete(example.item_url.format(lang="et"))
    for connection in connections:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_missing_variable_is_named(database, monkeypatch):
    monkeypatch.delenv("GREETINGS_DB")
    with pytest.raises(CannotImport, match="KeyError: 'GREETINGS_DB'"):
        load(database)


def test_failed_start_leaves_a_database_that_the_next_one_fills(database, example):
    """Such as by a greeting that is no text."""
    file = database / "greetings.json"
    text = file.read_text(encoding="utf-8")
    file.write_text('{"en": "Hello", "es": {}}', encoding="utf-8")
    with pytest.raises(CannotImport):
        load(database)
    file.write_text(text, encoding="utf-8")
    assert Client(load(database)).get(example.list_url).json == contract.greetings()
