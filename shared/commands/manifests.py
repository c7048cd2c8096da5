"""Lets the rsconnect client write the manifest.json of each example."""

import shutil

from shared.catalogue import EXAMPLES
from shared.harness.client import private_client

with private_client() as client:
    for example in EXAMPLES:
        copy = client.root / example.directory
        files = client.write_manifest(copy)["files"]
        shutil.copy(copy / "manifest.json", example.path)
        print(f"{example.directory}/manifest.json lists {len(files)} files")
