"""Five commands deploy an example, and each keeps the contract."""

import re

import pytest

from shared import contract
from shared.catalogue import EXAMPLES

DEEP = False

pytestmark = pytest.mark.local

WAYS = {
    "api": ("--entrypoint", "app:app", "./{directory}/"),
    "flask": ("--entrypoint", "app:app", "./{directory}/"),
    "pyproject": ("./{directory}",),
    "manifest": ("./{directory}/manifest.json",),
    "bundle": ("./{directory}.tar.gz",),
}


@pytest.mark.parametrize("deployed", EXAMPLES if DEEP else EXAMPLES[:1], ids=lambda e: e.id)
def test_five_ways_to_deploy_keep_one_contract(rsconnect, publisher, deployed):
    """Of one example; in the deep run, of all."""
    guid = None
    for way, arguments in WAYS.items():
        if way == "bundle":
            archive = ("-o", f"./{deployed.directory}.tar.gz")
            rsconnect.run("content", "download-bundle", "-n", "local", "-g", guid, *archive)
        words = [word.format(directory=deployed.directory) for word in arguments]
        printed = rsconnect.run("deploy", way, "-n", "local", *words)
        url, guid = re.search(r"Direct content URL: (\S+/content/(\S+))/", printed).groups()
        answers = publisher.get(url + deployed.list_url).json()
        assert answers == contract.greetings(), way
        unknown = publisher.get(url + deployed.item_url.format(lang="xx")).json()
        assert unknown == contract.greeting("xx"), way
