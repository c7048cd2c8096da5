"""Audits what each example's requirements resolve to for known vulnerabilities."""

from __future__ import annotations

import json
import subprocess
import sys

from .catalogue import EXAMPLES, Example


def audit(example: Example) -> tuple[int, list[str]]:
    """Look an example's packages up; return how many those are and the bad news.

    Raises LookupError with the reason when pip-audit could not look all of them up.
    """
    requirements = str(example.path / "requirements.txt")
    # Strict: a package that cannot be looked up is an error, not a warning.
    options = ["--strict", "--format", "json", "--progress-spinner", "off"]
    command = [sys.executable, "-m", "pip_audit", *options, "-r", requirements]
    result = subprocess.run(command, capture_output=True, check=False, encoding="utf-8")
    said = result.stderr.strip().rpartition("\n")[2]
    said = said.removeprefix("ERROR:pip_audit._cli:")
    try:
        packages = json.loads(result.stdout)["dependencies"]
    except ValueError:
        raise LookupError(said or f"code {result.returncode}, no word") from None
    news = [
        f"{package['name']} {package['version']}: {known['id']}, "
        f"mended in {', '.join(known['fix_versions']) or 'no release yet'}"
        for package in packages
        for known in package["vulns"]
    ]
    # As strict as pip-audit, should the two ever say different things.
    if not packages or bool(result.returncode) != bool(news):
        raise LookupError(
            said or f"code {result.returncode} of {len(packages)} packages"
        )
    return len(packages), news


def main() -> None:
    """Audit all; exit with one line when one is vulnerable or was not looked up."""
    failed = []
    for example in EXAMPLES:
        try:
            count, news = audit(example)
        except LookupError as error:
            failed.append(example.directory)
            print(f"{example.directory}: could not look: {error}", flush=True)
            continue
        if news:
            failed.append(example.directory)
        found = "".join(f"\n  {one}" for one in news) or " no known vulnerability"
        print(f"{example.directory}: {count} packages:{found}", flush=True)
    if failed:
        sys.exit(f"audit: not known to be safe: {', '.join(failed)}")


if __name__ == "__main__":
    main()
