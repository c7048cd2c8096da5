"""Deploys all examples to a local Connect with the README's commands, and serves them until Ctrl-C."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shared.catalogue import EXAMPLES, Example
from shared.connect.__main__ import parse, print_keys, start
from shared.connect.stopping import stop, wait
from shared.harness.servers import LINKS, Deploy, deploying

AT_A_TIME = 2  # deployments; more only wait for the processor


def main() -> None:
    """Serve; exits with one line when an example cannot be deployed."""
    # Beside the packages of this virtual environment, and removed with it.
    arguments = parse("shared.commands.serve", __doc__, Path(sys.prefix, "environments"))

    def work() -> None:
        try:
            deploy_all(deploy)
            print("The examples are open to all; new content is its owner's.")
            print(f"See the logs and sign in: {connect.url}/")
            print_keys(connect)
        except Exception as error:
            stop(str(error))

    try:
        with start(arguments, links=LINKS) as connect:
            worker = threading.Thread(target=work)
            with deploying(connect.url, connect.api_key, open_to_all=True) as deploy:
                worker.start()
                failure = wait()
            worker.join()
    except OSError as error:
        sys.exit(f"{error}. Free some space, or set TMPDIR to another directory.")
    if failure:
        sys.exit(failure)
    print("Stopped.", flush=True)


def deploy_all(deploy: Deploy) -> None:
    """Deploy all examples, and print the URLs of each, below 100 columns."""

    def run(example: Example) -> str:
        try:
            url = deploy(example)["vanity"]
        except Exception as error:
            raise RuntimeError(f"{example.directory} cannot be deployed: {error}") from error
        print(f"{example.directory} is up", flush=True)
        return url

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        urls = list(pool.map(run, EXAMPLES))
    print()
    for example, url in zip(EXAMPLES, urls):
        for number, (label, path) in enumerate(example.links):
            print(f"{'' if number else example.id:12} {label:8} {url}{path}")
    print()


if __name__ == "__main__":
    main()
