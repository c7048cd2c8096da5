"""What the recipe of a database promises: processes share it, and a restart changes nothing."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from werkzeug.test import Client

from shared import contract
from shared.harness.thread import CannotImport, load

TITLES = ["Add a greeting by POST", "Change and delete a greeting", "Keep the data in a database"]


@pytest.fixture
def client(cook):
    """A client of a copy that keeps its data in a database, and can change it."""
    return cook(*TITLES)


def test_apps_that_start_at_once_lose_nothing(client, example, monkeypatch):
    (client.copy.parent / "greetings.sqlite").unlink()
    barrier, started, connect = threading.Barrier(4, timeout=60), set(), sqlite3.connect

    def connect_at_once(*args, **options):
        if threading.get_ident() not in started:
            started.add(threading.get_ident())
            barrier.wait()
        return connect(*args, **options)

    def work(name):
        client = Client(load(copy))
        for number in range(4):
            item = {"lang": f"{name}-{number}", "text": "first"}
            url = example.item_url.format(lang=item["lang"])
            assert client.post(example.list_url, json=item).status_code == 201
            assert client.put(url, json={**item, "text": "second"}).status_code == 200
            if number % 2:
                assert client.delete(url).status_code == 204

    copy = client.copy
    with monkeypatch.context() as patch, ThreadPoolExecutor(4) as pool:
        patch.setattr(sqlite3, "connect", connect_at_once)
        list(pool.map(work, ["worker1", "worker2", "worker3", "worker4"]))
    listed = Client(load(copy)).get(example.list_url).json
    added = [item for item in listed if item not in contract.greetings()]
    langs = {f"worker{worker}-{number}" for worker in (1, 2, 3, 4) for number in (0, 2)}
    assert {item["lang"]: item["text"] for item in added} == dict.fromkeys(langs, "second")
    assert len(listed) == len(contract.greetings()) + len(langs)


def test_restart_changes_nothing_even_when_all_is_deleted(client, example):
    added = {"lang": "et", "text": "Tere"}
    assert client.post(example.list_url, json=added).status_code == 201
    other = Client(load(client.copy))
    assert added in other.get(example.list_url).json
    for item in client.get(example.list_url).json:
        assert other.delete(example.item_url.format(lang=item["lang"])).status_code == 204
    for each in (client, other, Client(load(client.copy))):
        assert each.get(example.list_url).json == []


def test_item_is_one_row_and_each_connection_is_closed(client, example, monkeypatch):
    connections, statements, connect = [], [], sqlite3.connect

    def recorded(*args, **options):
        connections.append(connect(*args, **options))
        connections[-1].set_trace_callback(statements.append)
        return connections[-1]

    monkeypatch.setattr(sqlite3, "connect", recorded)
    client.get(example.item_url.format(lang="en"))
    assert statements == ["SELECT text FROM greetings WHERE lang = 'en'"]
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connections[0].execute("SELECT 1")


def test_failed_start_leaves_a_database_that_the_next_one_fills(client, example):
    """Such as by a greeting that is no text."""
    (client.copy.parent / "greetings.sqlite").unlink()
    file = client.copy / "greetings.json"
    text = file.read_text(encoding="utf-8")
    file.write_text('{"en": "Hello", "es": {}}', encoding="utf-8")
    with pytest.raises(CannotImport):
        load(client.copy)
    file.write_text(text, encoding="utf-8")
    assert Client(load(client.copy)).get(example.list_url).json == contract.greetings()
