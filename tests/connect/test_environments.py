"""Each bundle runs in an environment of its own requirements, shared by equal ones."""

import contextlib
import io
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme
from packaging.version import Version

from shared.connect.archives import unpack
from shared.connect.manifest import Manifest
from shared.connect.running import environments
from shared.connect.running.children import Children
from shared.connect.running.environments import BuildError, Environments, Python
from shared.harness.thread import serving
from tests.connect.support import deploy_bundle, make_bundle


@pytest.fixture
def processes():
    with contextlib.closing(Children()) as processes:
        yield processes


@pytest.fixture(scope="module")
def machines_settings(tmp_path_factory):
    """What this machine's pip is told. To ask it takes longer than most builds do."""
    directory = tmp_path_factory.mktemp("settings")
    with (
        contextlib.closing(Children()) as processes,
        contextlib.closing(Environments(directory, processes)) as environments,
    ):
        return environments._pip_settings()


@pytest.fixture
def build(request, tmp_path, monkeypatch, processes, machines_settings):
    """Builds the environment of a bundle's files, as a server that has just started.

    It asks pip for its settings only where a test sets them, by the fixture `pip`.
    """
    monkeypatch.chdir(tmp_path)
    if "pip" not in request.fixturenames:
        monkeypatch.setattr(Environments, "_pip_settings", lambda self: machines_settings)
    server = Environments(Path("environments"), processes)
    request.addfinalizer(server.close)

    def build(name, requires=None, files=None, **named):
        directory = tmp_path / name
        environment = {"python": {"requires": requires}} if requires else {}
        bundle = make_bundle({**(files or {}), **named}, environment=environment)
        if not directory.exists():
            unpack(io.BytesIO(bundle), directory)
        manifest, lines, private = Manifest.read(directory), [], tmp_path / f"{name}-private"
        return server.build(manifest, directory, private, lines.append, processes), lines

    build.environments = server
    return build


def packages(environment):
    code = "from importlib.metadata import distributions as d; print(*(i.name for i in d()))"
    command = [environment.python, "-c", code]
    return sorted(subprocess.check_output(command, encoding="utf-8").split())


def version_of(environment, package):
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.check_output([environment.python, "-c", code], encoding="utf-8").strip()


# A build backend of the package's own, for builds without any other.
BACKEND = """
import zipfile
def build_wheel(directory, *_):
    name = "NAME-VERSION-py3-none-any.whl"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as wheel:
        wheel.writestr("NAME.py", "")
        metadata = "Metadata-Version: 2.1\\nName: NAME\\nVersion: VERSION\\n"
        wheel.writestr("NAME-VERSION.dist-info/METADATA", metadata)
        tags = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr("NAME-VERSION.dist-info/WHEEL", tags)
        wheel.writestr("NAME-VERSION.dist-info/RECORD", "")
    return name
build_editable = build_wheel
"""
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


def backend(version, name="own_0q"):
    return BACKEND.replace("VERSION", version).replace("NAME", name)


def own_package(version, prefix=""):
    """The files of a package in a bundle."""
    return {f"{prefix}pyproject.toml": PROJECT, f"{prefix}backend.py": backend(version)}


def wheel_of(directory, version, name="own_0q"):
    """Write a wheel into a directory; return its name."""
    directory.mkdir(exist_ok=True)
    code = {}
    exec(backend(version, name), code)
    return code["build_wheel"](directory)


def test_equal_requirements_share_an_environment(build):
    """Also between two servers that build it at the same time, and on other lines."""
    with ThreadPoolExecutor() as pool:
        both = pool.map(lambda name: build(name, **{"requirements.txt": "iniconfig\nsix"}), "ab")
    (first, _), (second, _) = both
    third, lines = build("c", **{"requirements.txt": "# ours\r\nsix\r\n\r\niniconfig # theirs\r\n"})
    assert first == second == third
    assert "Using environment" in lines[1]
    assert packages(first) == ["iniconfig", "six"]


SHAREABLE = {
    "flask>=3  # see https://example.com/a": True,
    'Flask [async] >=3,<4 ; python_version > "3"': True,
    "\n# ./not/used\n": True,
    ".[dev]": False,
    "flask\n./package  # ours": False,
    "pkg@file:./pkg": False,
    "pkg-1.0-py3-none-any.WHL[dev]": False,
    "pkg-1.0.tar.gz": False,
    "-rmore.txt": False,
    "--index-url https://example.com/simple\nflask": False,
    "flask==${VERSION}": False,
    "package @ git+https://example.com/a#egg=package": False,
    "a" * 1001: False,
    "a; " + "(" * 900: False,
}


@pytest.mark.parametrize(("text", "shared"), SHAREABLE.items(), ids=lambda value: repr(value)[:50])
def test_only_names_of_packages_are_shared(tmp_path, text, shared):
    (tmp_path / "requirements.txt").write_text(text, encoding="utf-8")
    assert (environments.shareable("requirements.txt", tmp_path) is not None) is shared


@pytest.mark.parametrize(
    ("text", "prefix"), {".": "", "-e ${PWD}/pkg": "pkg/", "-r a/more.txt": "pkg/"}.items()
)
def test_package_in_the_bundle_is_installed_for_it_only(build, text, prefix):
    """posit-dev/rsconnect-python#456"""
    more = {"more.txt": "./pkg", "a/more.txt": "-r ../more.txt"}
    files = {"requirements.txt": f"{text}\nsix\n", **more}
    one, _ = build("one", files=files | own_package("1", prefix))
    two, _ = build("two", files=files | own_package("2", prefix))
    assert [version_of(environment, "own-0q") for environment in (one, two)] == ["1", "2"]
    again, lines = build("one")
    assert again == one and "Using environment" in lines[1]


@pytest.mark.parametrize("text", ["own-0q @ ./{}", "-f .\n--no-index\nown-0q"])
def test_archive_in_the_bundle_is_installed_for_it_only(build, tmp_path, text):
    for name in "12":
        wheel = wheel_of(tmp_path / name, name)
        (tmp_path / name / "requirements.txt").write_text(text.format(wheel), encoding="utf-8")
        unpack(io.BytesIO(make_bundle()), tmp_path / f"plain-{name}")
        shutil.copy(tmp_path / f"plain-{name}/manifest.json", tmp_path / name)
        assert version_of(build(name)[0], "own-0q") == name


def test_requirements_that_refer_to_files_depend_on_them(build):
    files = {"requirements.txt": "-r more.txt\n-c constraints.txt", "more.txt": "six"}
    first, _ = build("a", files=files | {"constraints.txt": "six<1.17"})
    second, _ = build("b", files=files | {"constraints.txt": "six<1.16", "unrelated.txt": ""})
    assert version_of(first, "six") == "1.16.0" and version_of(second, "six") == "1.15.0"


def test_requirements_that_refer_to_each_other_end(build):
    files = {"requirements.txt": "six\n-c more.txt", "more.txt": "-c requirements.txt"}
    assert packages(build("a", files=files)[0]) == ["six"]


SETTINGS = {
    # posit-dev/publisher#3366
    "pyproject.toml": '[tool.uv]\nexclude-newer = "2022-01-01T00:00:00Z"\n',
    "uv.toml": "no-index = true\n",
    "pip.conf": "[global]\nno-index = true\n",
    ".python-version": "3.16\n",
}


@pytest.mark.parametrize("requirement", ["six", "-r more.txt"])
def test_settings_in_a_bundle_decide_nothing(build, requirement):
    files = {"requirements.txt": requirement, "more.txt": "six"}
    strange, _ = build("a", files=files | SETTINGS)
    plain, _ = build("b", files=files)
    assert version_of(strange, "six") == version_of(plain, "six")


def test_sources_of_uv_are_not_read(build):
    """pip does not read them either."""
    sources = '[tool.uv.sources]\nsix = { path = "./six" }\n'
    project = f'[project]\nname = "a"\nversion = "1"\ndependencies = ["six"]\n{PROJECT}{sources}'
    files = {"requirements.txt": ".\nsix", **own_package("1"), "six/pyproject.toml": ""}
    environment, _ = build(
        "a", files=files | {"pyproject.toml": project.replace('"a"', '"own-0q"')}
    )
    assert version_of(environment, "six") >= "1.16"


def test_programs_of_an_environment_run(build):
    """Apps find them in PATH."""
    environment, _ = build("a", **{"requirements.txt": "waitress"})
    told = subprocess.check_output([environment.python.with_name("waitress-serve"), "--help"])
    assert b"Usage" in told


def test_environment_without_its_python_is_built_again(build):
    environment, _ = build("a", **{"requirements.txt": "six"})
    environment.python.unlink()
    environment.python.symlink_to("/nowhere/python")
    assert packages(build("a")[0]) == ["six"]


def test_next_server_removes_unfinished_environments(tmp_path, processes):
    """Of a server that was killed, but none that another server is building."""
    (tmp_path / "new-killed").mkdir()
    with contextlib.closing(Environments(tmp_path, processes)):
        assert not (tmp_path / "new-killed").exists()
        (tmp_path / "new-built").mkdir()
        Environments(tmp_path, processes).close()
        assert (tmp_path / "new-built").exists()


def test_environment_is_of_one_python(build, monkeypatch):
    """With its whole version: after an upgrade, an old one may run with a Python that is gone."""
    (python, *_) = Environments.pythons(build.environments)
    found = set()
    for version in ("3.11.4", "3.11.9"):
        same = [Python(Version(version), python.path)]
        monkeypatch.setattr(Environments, "pythons", lambda self, same=same: same)
        found.add(build("a")[0].python)
    assert len(found) == 2


ONLY_HERE = "is not in the bundle: it is only on this machine, not on a Connect server."
OUTSIDE = [
    "-e {}",
    "FILE://localhost{}",
    "own-0q[dev] @ {} ; python_version > '3'",
    "../outside",
    "-e ./pkg/../../outside",
    "file:%2E%2E/outside",
    "-r{}/more.txt",
    "--requirement=../outside/more.txt",
    "-c {}/more.txt",
    "-f file://{}\nsix",
    "  --index-url file://{}\nsix",
    "${{OUTSIDE}}",
]


@pytest.mark.parametrize("text", OUTSIDE)
def test_path_of_this_machine_is_refused(build, tmp_path, monkeypatch, text):
    outside = tmp_path / "outside"
    outside.mkdir()
    for name, source in {**own_package("1"), "more.txt": ""}.items():
        (outside / name).write_text(source, encoding="utf-8")
    monkeypatch.setenv("OUTSIDE", str(outside))
    with pytest.raises(BuildError) as error:
        build("a", files={"requirements.txt": text.format(outside)})
    assert str(error.value).endswith(ONLY_HERE)
    assert [path.name for path in tmp_path.glob("environments/*")] == ["lock"]


def test_path_of_this_machine_in_a_package_is_refused(build, tmp_path):
    wheel = wheel_of(tmp_path / "outside", "1")
    project = f'dependencies = ["own-0q @ file://{tmp_path}/outside/{wheel}"]\n'
    project = f'[project]\nname = "a-0q"\nversion = "1"\n{project}' + PROJECT.replace(
        "[]", '["setuptools"]', 1
    )
    project = (
        project.partition("build-backend")[0]
        + 'build-backend = "setuptools.build_meta"\n[tool.setuptools]\npy-modules = []\n'
    )
    with pytest.raises(BuildError, match=f"^own_0q from file://.* {ONLY_HERE}$"):
        build("a", files={"requirements.txt": ".", "pyproject.toml": project})


FOUND = "No matching distribution found for"
# The last one is uv's alone: it reads the file.
FAILURES = {
    "no-such-package-0q": rf"no-such-package-0q was not found in the package registry .*\({FOUND} no-such-package-0q\)",
    "iniconfig==99": rf"there is no version of iniconfig==99 .*\({FOUND} iniconfig==99\)",
    "iniconfig>99": rf"only iniconfig<=[\d.]+ is available .*\({FOUND} iniconfig>99\)",
    "pywin32==306": rf"pywin32==306 has no wheels with a matching .*\({FOUND} pywin32==306\)",
    "six<1\nsix>1": r"you require six<1 and six>1, we can conclude that .*unsatisfiable\.",
    "pandas>=2\nnumpy<1.20": "And because you require .* and .*, .*unsatisfiable.",
    "git+https://127.0.0.1:9/a.git": "fatal: unable to access 'https://127.0.0.1:9/a.git/': .*",
    "./bad": "cannot find mysql_config",
    "./worse": "RuntimeError: no compiler",
    "-r gone.txt": "failed to read from file `gone.txt`: No such file or directory .*",
    "flask=3": "Couldn't parse requirement in `requirements.txt` at position 0: no such comparison .*",
    "é": "requirements.txt.*",
}
FAILING = {
    "bad/setup.py": "import sys\nsys.exit('cannot find mysql_config')",
    "worse/setup.py": "print('x' * 2000)\nraise RuntimeError('no compiler')",
}


@pytest.mark.parametrize(("text", "reason"), FAILURES.items(), ids=repr)
def test_requirement_that_cannot_be_installed_is_told_in_one_line(build, tmp_path, text, reason):
    unpack(io.BytesIO(make_bundle(FAILING)), tmp_path / "a")
    (tmp_path / "a/requirements.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(BuildError) as error:
        build("a")
    assert re.search(rf"{reason}\Z", str(error.value)) and len(str(error.value)) < 1100
    assert [path.name for path in tmp_path.glob("environments/*")] == ["lock"]
    assert not list(tmp_path.glob("new-*"))


def test_requirements_in_utf_16_are_read(build, tmp_path):
    """As PowerShell writes them, and pip reads them."""
    unpack(io.BytesIO(make_bundle()), tmp_path / "a")
    (tmp_path / "a/requirements.txt").write_bytes("six\r\n# é\r\n".encode("utf-16"))
    assert packages(build("a")[0]) == ["six"]


TERMINAL = {
    **{
        "COLUMNS": "40",
        "LINES": "9",
        "TERM": "xterm-256color",
        "PAGER": "false",
        "RUST_LOG": "debug",
    },
    **{
        "FORCE_COLOR": "1",
        "CLICOLOR_FORCE": "1",
        "LC_ALL": "C",
        "LANGUAGE": "de",
        "PIP_QUIET": "1",
    },
}
# A build backend that says how long a line it prints, and what it learns of a terminal.
WRAPPING = """
import argparse, os, shutil, sys
usage = argparse.ArgumentParser(usage="word " * 30).format_usage().split("\\n")
about = sys.stderr.encoding, shutil.get_terminal_size(), usage, sorted(os.environ)
raise SystemExit(f"no compiler: {about}")
"""


def test_terminal_changes_nothing_of_a_build(build, pip, monkeypatch):
    """Neither its width nor what a shell exports cuts, wraps or colors what a build says."""
    said = []
    bundle = {**own_package("1", "bad/"), "bad/backend.py": WRAPPING}
    for exported in ({}, TERMINAL):
        pip("[global]\nno-index = true\n", exported)
        for text in ("./bad", "own-0q", "six<1\nsix>1", "git+https://127.0.0.1:9/a.git"):
            with pytest.raises(BuildError) as error:
                build("a", files={**bundle, "requirements.txt": text})
            said.append(str(error.value))
            shutil.rmtree("a")
    assert said[:4] == said[4:]
    assert "no compiler: ('utf-8', os.terminal_size(columns=80, lines=24)" in said[0]


def test_build_of_a_package_leaves_no_temporary_files(build, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    environment, _ = build("a", files={"requirements.txt": "./p", **own_package("1", "p/")})
    assert packages(environment) == ["own_0q"]
    assert list((tmp_path / "temporary").iterdir()) == []


def test_no_python_is_downloaded(build, tmp_path, monkeypatch):
    monkeypatch.delenv("UV_PYTHON_DOWNLOADS", raising=False)
    monkeypatch.setattr(Environments, "_found", {})
    told = "#!/bin/sh\necho error: downloads: $UV_PYTHON_DOWNLOADS\nexit 1\n"
    (tmp_path / "uv").write_text(told, encoding="utf-8")
    (tmp_path / "uv").chmod(0o700)
    monkeypatch.setattr(environments, "UV", str(tmp_path / "uv"))
    with pytest.raises(BuildError, match="^downloads: never$"):
        build("a")


VERSIONS = ["3.14.0", "3.13.3", "3.13.1", "3.11.9", "3.11.4", "3.8.18"]
CHOICES = [
    # posit-dev/rsconnect-python#678
    ("3.11.4", "~=3.11", "3.14.0"),
    ("3.11.4", "~=3.11,<3.14", "3.13.3"),
    ("3.11.4", "~=3.11.0", "3.11.9"),
    ("3.11.4", ">= 3.8 , < 3.12", "3.11.9"),
    ("3.11.4", "", "3.11.4"),
    ("3.11.0", "", "3.11.9"),
    ("3.13.0rc1", "", "3.13.3"),
    ("3.12.4", "", "3.14.0"),
    ("3.16.0", "", "3.14.0"),
    ("2.7.18", "", None),
    ("3.11.4", "==3.12.*", None),
]


@pytest.mark.parametrize(("version", "requires", "chosen"), CHOICES)
def test_python_is_the_one_that_connect_takes(
    tmp_path, processes, monkeypatch, version, requires, chosen
):
    pythons = [Python(Version(each), "python") for each in VERSIONS]
    monkeypatch.setattr(Environments, "pythons", lambda self: pythons)
    server, manifest = (
        Environments(tmp_path, processes),
        Manifest("app", "r.txt", version, requires),
    )
    server.close()
    if chosen:
        assert str(server.choose(manifest).version) == chosen
    else:
        told = f"No Python here meets {requires or '2.*'}: there are {', '.join(VERSIONS)}."
        with pytest.raises(BuildError, match=f"^{told}$".replace("*", r"\*")):
            server.choose(manifest)


def test_pythons_are_looked_for_once_and_only_those_that_run_apps(tmp_path, processes, monkeypatch):
    def item(version, implementation="cpython", variant="default"):
        return {
            "version": version,
            "implementation": implementation,
            "variant": variant,
            "path": version,
        }

    told = [item("3.13.1"), item("3.13.1"), item("3.8.18"), item("3.7.1"), item("3.16.0a1")]
    told += [item("3.14.1", variant="freethreaded"), item("3.11.9", "pypy"), item("3.14.0")]
    asked = []
    monkeypatch.setattr(Environments, "_found", {})
    monkeypatch.setattr(
        Environments, "_uv", lambda *_, **__: asked.append(1) or ["warning", json.dumps(told)]
    )
    server = Environments(tmp_path, processes)
    server.close()
    for _ in range(2):
        assert [str(python.version) for python in server.pythons()] == [
            "3.14.0",
            "3.13.1",
            "3.8.18",
        ]
    assert len(asked) == 1


def test_no_python_for_a_bundle_is_told(api, owner, content):
    requires = {"python": {"requires": ">=3.99"}}
    _, task = deploy_bundle(api, content, make_bundle(environment=requires))
    assert task["code"] == 1
    assert "No Python here meets >=3.99: there are 3." in task["error"]
    assert owner.get(content["content_url"]).status_code == 404


def test_python_meets_the_constraint(api, content):
    own = "{}.{}".format(*sys.version_info)
    listed = api.get("server_settings/python").json()["installations"]
    versions = [item["version"] for item in listed]
    assert len(set(versions)) == len(versions)
    found = {version.rpartition(".")[0] for version in versions}
    wanted = max(found - {own}, key=lambda v: int(v.partition(".")[2]), default=own)
    requires = {"python": {"requires": f"=={wanted}.*"}}
    _, task = deploy_bundle(api, content, make_bundle(environment=requires))
    assert task["code"] == 0, task["output"]
    record = api.get(f"content/{content['guid']}").json()
    assert record["py_version"].startswith(f"{wanted}.")


@pytest.fixture
def index(tmp_path):
    """A package index with a certificate of its own: what pip's settings may name of it."""
    wheels, authority, context = (
        tmp_path / "wheels",
        trustme.CA(),
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
    )
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    names = {"own_0q": wheel_of(wheels, "77", "own_0q")}
    names["older/own_0q"] = wheel_of(wheels, "76", "own_0q")

    def app(environ, start_response):
        path = environ["PATH_INFO"].strip("/")
        name = path.replace("-", "_")
        found = (wheels / path).is_file() or name in names
        start_response("200 OK" if found else "404 Not Found", [("Content-Type", "text/html")])
        if (wheels / path).is_file():
            return [(wheels / path).read_bytes()]
        return [f'<a href="/{names[name]}">{names[name]}</a>'.encode()] if found else []

    with serving(app, ssl_context=context) as port:
        url = f"https://localhost:{port}/"
        yield {
            "url": url,
            "host": f"localhost:{port}",
            "cert": tmp_path / "authority.pem",
            "links": wheels,
        }


# What pip's configuration has, and its variables.
PIP_SETTINGS = {
    "variables": ("", {"PIP_INDEX_URL": "{url}", "PIP_CERT": "{cert}"}),
    "file": (
        "[global]\nindex-url = {url}\nextra-index-url =\n  {url}\n  {url}\ncert = {cert}\n",
        {},
    ),
    "two indexes": (
        "[global]\nindex-url = {url}\nextra-index-url = {url}older/\ncert = {cert}\n",
        {},
    ),
    "trusted host": ("[global]\nextra-index-url = {url}\ntrusted-host = {host}\n", {}),
    "install": (
        "[install]\nindex-url = {url}\ntrusted-host = {host}\n[global]\nindex-url = x\n",
        {},
    ),
    "variable": ("[global]\ntrusted-host = {host}\nindex-url = x\n", {"PIP_INDEX_URL": "{url}"}),
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
    environment, _ = build("a", **{"requirements.txt": "own-0q"})
    assert version_of(environment, "own-0q") == "77"


def test_certificate_that_is_not_trusted_is_told(build, pip):
    pip("[global]\nindex-url = {url}\n", {})
    with pytest.raises(
        BuildError,
        match="^Failed to fetch: https://localhost:.*: invalid peer certificate: UnknownIssuer$",
    ):
        build("a", **{"requirements.txt": "own-0q"})


def test_settings_of_uv_win_over_those_of_pip(build, pip, index, tmp_path, monkeypatch):
    """Its variables, and its file of the user's."""
    pip("[global]\nno-index = true\nfind-links = /nowhere\n", {})
    monkeypatch.setenv("UV_NO_INDEX", "0")
    monkeypatch.setenv("UV_INSECURE_HOST", index["host"])
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv/uv.toml").write_text(f'index-url = "{index["url"]}"\n', encoding="utf-8")
    assert version_of(build("a", **{"requirements.txt": "own-0q"})[0], "own-0q") == "77"
