"""Each bundle runs in an environment of its own requirements, shared by equal ones."""

import ast
import contextlib
import io
import json
import os
import re
import shutil
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme
from packaging.version import Version

from shared.connect.archives import unpack
from shared.connect.manifest import Manifest
from shared.connect.running import environments
from shared.connect.running.children import Children
from shared.connect.running.environments import BuildError, Environments
from shared.harness.thread import serving
from tests.connect.support import make_bundle, package


@pytest.fixture(scope="module")
def children():
    with contextlib.closing(Children()) as children:
        yield children


@pytest.fixture(scope="module")
def machines_settings(tmp_path_factory, children):
    """What this machine's pip is told. To ask it takes longer than most builds do."""
    directory = tmp_path_factory.mktemp("settings")
    with contextlib.closing(Environments(directory, children)) as environments:
        return environments._pip_settings()


@pytest.fixture
def build(request, tmp_path, monkeypatch, children, machines_settings):
    """Builds the environment of a bundle's files, as a server that has just started.

    It asks pip for its settings only where a test sets them, by the fixture `pip`.
    """
    monkeypatch.chdir(tmp_path)
    if "pip" not in request.fixturenames:
        monkeypatch.setattr(Environments, "_pip_settings", lambda self: machines_settings)
    server = Environments(Path("environments"), children)
    request.addfinalizer(server.close)

    def build(name, requirements="", files=None):
        directory, lines = tmp_path / name, []
        if not directory.exists():
            bundle = make_bundle({"requirements.txt": requirements, **(files or {})})
            unpack(io.BytesIO(bundle), directory)
        private = tmp_path / f"{name}-private"
        manifest = Manifest.read(directory)
        return server.build(manifest, directory, private, lines.append, children), lines

    build.environments = server
    return build


def installed(environment):
    """The versions of the packages in an environment, by name."""
    code = "from importlib.metadata import *; print({i.name: i.version for i in distributions()})"
    command = [environment.python, "-c", code]
    return ast.literal_eval(subprocess.check_output(command, encoding="utf-8"))


# A build backend of the package's own, for builds without any other.
BACKEND = """
import zipfile
def build_wheel(directory, *_):
    name = "own_0q-VERSION-py3-none-any.whl"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as wheel:
        wheel.writestr("own_0q.py", "")
        metadata = "Metadata-Version: 2.1\\nName: own_0q\\nVersion: VERSION\\n"
        wheel.writestr("own_0q-VERSION.dist-info/METADATA", metadata)
        tags = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr("own_0q-VERSION.dist-info/WHEEL", tags)
        wheel.writestr("own_0q-VERSION.dist-info/RECORD", "")
    return name
build_editable = build_wheel
"""


def own_package(version, prefix=""):
    """The files of a package in a bundle."""
    return package(prefix, BACKEND.replace("VERSION", version))


def wheel_of(directory, version):
    """Write a wheel into a directory; return its name."""
    directory.mkdir(exist_ok=True)
    code = {}
    exec(BACKEND.replace("VERSION", version), code)
    return code["build_wheel"](directory)


def test_equal_requirements_share_an_environment(build):
    """Also between two servers that build it at the same time, and on other lines."""
    with ThreadPoolExecutor() as pool:
        both = pool.map(lambda name: build(name, "iniconfig\nsix"), "ab")
    (first, _), (second, _) = both
    third, lines = build("c", "# ours\r\nsix\r\n\r\niniconfig # theirs\r\n")
    assert first == second == third
    assert "Using environment" in lines[1]
    assert installed(first).keys() == {"iniconfig", "six"}


def test_only_names_of_packages_are_shared(tmp_path):
    for text, shared in (
        ("flask>=3  # see https://example.com/a", True),
        ("pkg-1.0.tar.gz", False),
        ("package @ git+https://example.com/a#egg=package", False),
        ("a" * 1001, False),
        ("a; " + "(" * 900, False),
    ):
        (tmp_path / "requirements.txt").write_text(text, encoding="utf-8")
        found = environments.shareable("requirements.txt", tmp_path)
        assert (found is not None) is shared, text


def test_package_and_files_in_the_bundle_are_for_it_only(build, tmp_path, monkeypatch):
    """posit-dev/rsconnect-python#456; no temporary files are left."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    requirements = "-r more/requirements.txt\n-c constraints.txt"
    files = {"more/requirements.txt": "-e ${PWD}/pkg\nsix"}
    for name, six in (("1", "1.16.0"), ("2", "1.15.0")):
        changed = {"constraints.txt": f"six<={six}", **own_package(name, "pkg/")}
        environment, _ = build(name, requirements, files | changed)
        assert installed(environment) == {"own_0q": name, "six": six}
    again, lines = build("2")
    assert again == environment and "Using environment" in lines[1]
    assert list((tmp_path / "temporary").iterdir()) == []


# pip reads none of it: posit-dev/publisher#3366.
UV_PROJECT = """
[project]
name = "own-0q"
version = "1"
dependencies = ["six"]
[tool.uv.sources]
six = { path = "./six" }
"""


def test_settings_in_a_bundle_decide_nothing(build):
    files = {"uv.toml": "no-index = true\n", **own_package("1"), "six/pyproject.toml": ""}
    files["pyproject.toml"] += UV_PROJECT
    strange, _ = build("a", ".\nsix", files)
    plain, _ = build("b", "six")
    assert installed(strange)["six"] == installed(plain)["six"]


def test_environment_without_its_python_is_built_again(build):
    """With the programs of its packages, which apps find in PATH."""
    environment, _ = build("a", "waitress")
    environment.python.unlink()
    environment.python.symlink_to("/nowhere/python")
    again, _ = build("a")
    printed = subprocess.check_output([again.python.with_name("waitress-serve"), "--help"])
    assert again == environment and b"Usage" in printed


def test_next_server_removes_unfinished_environments(tmp_path, children):
    """Of a server that was killed, but none that another server is building."""
    (tmp_path / "new-killed").mkdir()
    with contextlib.closing(Environments(tmp_path, children)):
        assert not (tmp_path / "new-killed").exists()
        (tmp_path / "new-built").mkdir()
        Environments(tmp_path, children).close()
        assert (tmp_path / "new-built").exists()


def test_environment_is_of_one_python(build, monkeypatch):
    """With its whole version: after an upgrade, an old one may run with a Python that is gone."""
    (python, *_) = Environments.pythons(build.environments).values()
    found = set()
    for version in ("3.11.4", "3.11.9"):
        same = {Version(version): python}
        monkeypatch.setattr(Environments, "pythons", lambda self, same=same: same)
        found.add(build("a")[0].python)
    assert len(found) == 2


ONLY_HERE = "is not in the bundle: it is only on this machine, not on a Connect server."
OUTSIDE = [
    "-e {}",
    "FILE://localhost{}",
    "own-0q[dev] @ {} ; python_version > '3'",
    "-e ./pkg/../../outside",
    "file:%2E%2E/outside",
    "-r{}/more.txt",
    "--requirement=../outside/more.txt",
    "  --index-url file://{}\nsix",
]


@pytest.mark.parametrize("text", OUTSIDE)
def test_path_of_this_machine_is_refused(build, tmp_path, text):
    outside = tmp_path / "outside"
    outside.mkdir()
    for name, source in {**own_package("1"), "more.txt": ""}.items():
        (outside / name).write_text(source, encoding="utf-8")
    with pytest.raises(BuildError) as error:
        build("a", text.format(outside))
    assert str(error.value).endswith(ONLY_HERE)
    assert [path.name for path in tmp_path.glob("environments/*")] == ["lock"]


FOUND = "No matching distribution found for"
FAILURES = {
    "no-such-package-0q": rf"no-such-package-0q was not found in the package registry .*\({FOUND} no-such-package-0q\)",
    "iniconfig==99": rf"there is no version of iniconfig==99 .*\({FOUND} iniconfig==99\)",
    "iniconfig>99": rf"only iniconfig<=[\d.]+ is available .*\({FOUND} iniconfig>99\)",
    "pywin32==306": rf"pywin32==306 has no wheels with a matching .*\({FOUND} pywin32==306\)",
    "six<1\nsix>1": r"you require six<1 and six>1, we can conclude that .*unsatisfiable\.",
    "./bad": "RuntimeError: no compiler",
    "flask=3": "Couldn't parse requirement in `requirements.txt` at position 0: no such comparison .*",
    "é": "requirements.txt.*",
}


@pytest.mark.parametrize(("text", "reason"), FAILURES.items(), ids=repr)
def test_requirement_that_cannot_be_installed_is_told_in_one_line(build, tmp_path, text, reason):
    setup = "print('x' * 2000)\nraise RuntimeError('no compiler')"
    unpack(io.BytesIO(make_bundle({"bad/setup.py": setup})), tmp_path / "a")
    (tmp_path / "a/requirements.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(BuildError) as error:
        build("a")
    assert re.search(rf"{reason}\Z", str(error.value)) and len(str(error.value)) < 1100
    assert [path.name for path in tmp_path.glob("environments/*")] == ["lock"]
    assert not list(tmp_path.glob("new-*"))


TERMINAL = """COLUMNS=40 LINES=9 TERM=xterm-256color PAGER=false RUST_LOG=debug FORCE_COLOR=1
CLICOLOR_FORCE=1 LC_ALL=C LANGUAGE=de PIP_QUIET=1"""
# A build backend that says how long a line it prints, and what it learns of a terminal.
WRAPPING = """
import argparse, shutil, sys
usage = argparse.ArgumentParser(usage="word " * 30).format_usage().split("\\n")
about = sys.stderr.encoding, shutil.get_terminal_size(), usage
raise SystemExit(f"no compiler: {about}")
"""


def test_terminal_changes_nothing_of_a_build(build, pip, monkeypatch):
    """Neither its width nor what a shell exports cuts, wraps or colors what a build says."""
    bundle = package("bad/", WRAPPING)
    messages = []
    for exported in ({}, dict(each.split("=") for each in TERMINAL.split())):
        pip("[global]\nno-index = true\n", exported)
        for text in ("./bad", "six<1\nsix>1", "git+https://127.0.0.1:9/a.git"):
            with pytest.raises(BuildError) as error:
                build("a", text, bundle)
            # git tells how long it took, and uv whether it has asked this server before.
            messages.append(re.sub(r"\d+ ms|clone|fetch", "", str(error.value)))
            shutil.rmtree("a")
    assert messages[:3] == messages[3:]
    assert "no compiler: ('utf-8', os.terminal_size(columns=80, lines=24)" in messages[0]


VERSIONS = ["3.14.0", "3.13.3", "3.13.1", "3.11.9", "3.11.4", "3.8.18"]


def test_python_is_the_one_that_connect_takes(build, monkeypatch):
    pythons = {Version(each): "python" for each in VERSIONS}
    monkeypatch.setattr(Environments, "pythons", lambda self: pythons)
    for version, requires, chosen in (
        ("3.11.4", "~=3.11", "3.14.0"),  # posit-dev/rsconnect-python#678
        ("3.11.4", "", "3.11.4"),
        ("3.11.0", "", "3.11.9"),
        ("3.12.4", "", "3.14.0"),
    ):
        manifest = Manifest("app", "r.txt", version, requires)
        assert str(build.environments.choose(manifest)) == chosen, version


def test_pythons_are_looked_for_once_and_only_those_that_run_apps(build, monkeypatch):
    kinds = ("version", "implementation", "variant", "path")
    found = ["3.13.1", "3.13.1", "3.8.18", "3.7.1", "3.16.0a1", "3.14.0"]
    found = [(version, "cpython", "default", version) for version in found]
    found += [("3.14.1", "cpython", "freethreaded", ""), ("3.11.9", "pypy", "default", "")]
    found = json.dumps([dict(zip(kinds, each)) for each in found])
    runs = iter([["warning", found]])
    monkeypatch.setattr(Environments, "_found", {})
    monkeypatch.setattr(Environments, "_uv", lambda *_, **__: next(runs))
    for _ in range(2):
        versions = list(map(str, build.environments.pythons()))
        assert versions == ["3.14.0", "3.13.1", "3.8.18"]


@pytest.fixture
def index(tmp_path):
    """A package index with a certificate of its own: what pip's settings may name of it."""
    wheels, authority = tmp_path / "wheels", trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    names = {"own-0q": wheel_of(wheels, "77"), "older/own-0q": wheel_of(wheels, "76")}

    def app(environ, start_response):
        path = environ["PATH_INFO"].strip("/")
        is_file = (wheels / path).is_file()
        status = "200 OK" if is_file or path in names else "404 Not Found"
        start_response(status, [("Content-Type", "text/html")])
        if is_file:
            return [(wheels / path).read_bytes()]
        return [f'<a href="/{names[path]}">{names[path]}</a>'.encode()] if path in names else []

    with serving(app, ssl_context=context) as port:
        host, cert = f"localhost:{port}", tmp_path / "authority.pem"
        yield {"url": f"https://{host}/", "host": host, "cert": cert, "links": wheels}


# What pip's configuration has, and its variables.
PIP_SETTINGS = {
    "two indexes": (
        "[global]\nindex-url = {url}\nextra-index-url =\n  {url}older/\n  {url}\ncert = {cert}\n",
        {},
    ),
    "install": (
        "[install]\nindex-url = {url}\ntrusted-host = {host}\n[global]\nindex-url = x\n",
        {},
    ),
    "variable": ("[global]\ncert = {cert}\nindex-url = x\n", {"PIP_INDEX_URL": "{url}"}),
    "find-links": ("[global]\nno-index = true\nfind-links = {links} /nowhere\n", {}),
}


@pytest.fixture
def pip(index, tmp_path, monkeypatch):
    """Sets pip's settings, and no others."""

    def set_up(file, variables):
        for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
            monkeypatch.delenv(name)
        (tmp_path / "pip.conf").write_text(file.format(**index), encoding="utf-8")
        monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
        for name, value in variables.items():
            monkeypatch.setenv(name, value.format(**index))

    return set_up


@pytest.mark.parametrize(("file", "variables"), PIP_SETTINGS.values(), ids=PIP_SETTINGS)
def test_settings_of_pip_are_taken_over(build, pip, file, variables):
    pip(file, variables)
    assert installed(build("a", "own-0q")[0]) == {"own_0q": "77"}


def test_certificate_that_is_not_trusted_is_told(build, pip):
    pip("[global]\nindex-url = {url}\n", {})
    reason = "^Failed to fetch: https://localhost:.*: invalid peer certificate: UnknownIssuer$"
    with pytest.raises(BuildError, match=reason):
        build("a", "own-0q")


def test_settings_of_uv_win_over_those_of_pip(build, pip, index, tmp_path, monkeypatch):
    """Its variables, and its file of the user's."""
    pip("[global]\nno-index = true\nfind-links = /nowhere\n", {})
    monkeypatch.setenv("UV_NO_INDEX", "0")
    monkeypatch.setenv("UV_INSECURE_HOST", index["host"])
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv/uv.toml").write_text(f'index-url = "{index["url"]}"\n', encoding="utf-8")
    assert installed(build("a", "own-0q")[0]) == {"own_0q": "77"}
