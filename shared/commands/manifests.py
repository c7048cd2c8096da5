"""Lets the rsconnect client write the manifest.json of each example."""

from shared.catalogue import EXAMPLES
from shared.harness.bundle import write_manifest
from shared.harness.client import private_client

with private_client() as client:
    for example in EXAMPLES:
        files = write_manifest(client, example.path)["files"]
        print(f"{example.directory}/manifest.json lists {len(files)} files")
