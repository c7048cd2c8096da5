"""Tests that a named server cannot pass are marked `local`."""

import inspect
import re

INTO_THE_SERVER = re.compile(r"\bserver\.(?!url\b|api_key\b)\w+")


def test_tests_that_reach_into_the_server_are_local(request):
    """They would fail on a real Connect only, which few have."""
    for item in request.session.items:
        if item.get_closest_marker("local") or "tests/connect/" not in item.path.as_posix():
            continue
        local = {"monkeypatch", "viewer", "staffed"} & set(item.fixturenames)
        reached = {*local, *INTO_THE_SERVER.findall(inspect.getsource(item.function))}
        assert not reached, f"mark {item.nodeid} `local`: it uses {', '.join(reached)}"
