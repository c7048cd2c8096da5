"""What is deployed: contents, their bundles, and the tasks that build and activate them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

from .bundles import Manifest, unpack
from .children import Children, Stopping
from .environments import BuildError, Environment, Environments
from .processes import AppProcess, StartError

MOUNT = re.compile(r"(/content/([0-9a-f-]{36})(?:/_bundle(\d+))?)(/.*)?", re.DOTALL)
# What an app needs of the server's own environment, on any platform; no more.
INHERITED = ("HOME", "PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")


class NotDeployed(Exception):
    """There is no such content or bundle, or none that can run."""


class Task:
    """What a deployment says, line by line, and how it ends."""

    def __init__(self, log: Path) -> None:
        self.id = uuid.uuid4().hex
        self._log = log
        self._lines: list[str] = []
        self._code: int | None = None
        self._news = threading.Condition()

    def say(self, line: str) -> None:
        with self._news, self._log.open("a", encoding="utf-8") as log:
            print(line, file=log)
            self._lines.append(line)
            self._news.notify_all()

    def finish(self, code: int) -> None:
        with self._news:
            self._code = code
            self._news.notify_all()

    def report(self, first: int, seconds: float) -> dict:
        """The lines from `first` on, as soon as there are any or the end, at most `seconds` later.

        The fields are those that `RSConnectClient.wait_for_task` reads, in the client's api.py.
        """
        with self._news:
            self._news.wait_for(
                lambda: self._code is not None or len(self._lines) > first, seconds
            )
            failure = {
                "type": "build-failed-error",
                "data": "An error occurred while building your content.",
            }
            return {
                "id": self.id,
                "output": self._lines[first:],
                "last": len(self._lines),
                "finished": self._code is not None,
                "code": self._code or 0,
                "error": "",
                "result": failure if self._code else None,
            }


class Bundle:
    """One upload: its files, its environment once built, its process while one runs."""

    def __init__(self, id: int, directory: Path, manifest: Manifest) -> None:
        self.id = id
        self.directory = directory
        self.manifest = manifest
        self.log = directory.with_suffix(".log")
        self.lock = (
            threading.Lock()
        )  # held while its process starts, never during a build
        self.environment: Environment | None = None
        self.failure = ""  # why it does not run, if it should
        self._process: AppProcess | None = None

    def running(self, start: Callable[[Bundle], AppProcess]) -> AppProcess:
        """The process, started unless it runs. Call it with the lock held."""
        if self._process is None or not self._process.alive:
            self.stop()
            try:
                self._process = start(self)
            except StartError as error:
                self.failure = str(error)
                raise
            self.failure = ""
        return self._process

    @property
    def state(self) -> str:
        process = self._process
        if process is not None and process.alive:
            return "running"
        return "failed" if self.failure or process is not None else "not started"

    def retire(self) -> None:
        """Let the process stop once its requests have their answers."""
        with self.lock:
            process, self._process = self._process, None
        if process:
            process.retire()

    def stop(self) -> None:
        process, self._process = self._process, None
        if process:
            process.stop()


class Content:
    """One content item; its `active` bundle is what visitors see."""

    def __init__(self, name: str, directory: Path, key: str) -> None:
        self.guid = str(uuid.uuid4())
        self.name = name
        self.title: str | None = None
        self.description = ""
        self.vanity: str | None = None
        self.environment: dict[str, str] = {}
        self.directory = directory / self.guid
        self.key = key  # what its app may call the server with
        self.created = now()
        self.deployed = self.created
        self.bundles: dict[int, Bundle] = {}
        self.active: Bundle | None = None
        self.deleted = False
        self.lock = threading.Lock()  # held to change these, for a moment only
        self.directory.mkdir()

    @property
    def mount(self) -> str:
        return f"/content/{self.guid}"

    @property
    def state(self) -> str:
        if self.active:
            return self.active.state
        return "failed" if self.failure else "not deployed"

    @property
    def failure(self) -> str:
        """Why the newest bundle does not run; empty when it does."""
        return self.bundles[max(self.bundles)].failure if self.bundles else ""

    def bundle(self, id: int | None) -> Bundle:
        """A bundle by its id, the active one without; raises NotDeployed."""
        bundle = self.active if id is None else self.bundles.get(id)
        if bundle is None:
            raise NotDeployed(
                "There is no such bundle." if id else "Nothing is deployed here yet."
            )
        return bundle

    def log(self) -> str:
        """What its bundles' builds and processes have said, the newest bundle first."""
        parts = []
        for bundle in sorted(self.bundles.values(), key=lambda bundle: -bundle.id):
            with contextlib.suppress(FileNotFoundError):
                text = bundle.log.read_text(encoding="utf-8", errors="replace")
                parts.append(f"Bundle {bundle.id}\n\n{text}")
        return "\n\n".join(parts) or "Nothing has been deployed yet.\n"


class Contents:
    """All that is deployed on one server."""

    def __init__(
        self, url: str, data: Path, environments: Path, make_key: Callable[[], str]
    ) -> None:
        self.url = url
        self.tasks: dict[str, Task] = {}
        self.items: dict[str, Content] = {}
        self._children = Children()
        self._environments = Environments(environments, self._children, ("waitress",))
        self._directory = data / "contents"
        self._directory.mkdir(parents=True)
        self._make_key = make_key
        self._lock = threading.Lock()
        self._last_bundle = 0
        self._deployments: list[threading.Thread] = []

    def create(self, name: str) -> Content | None:
        """A new content item, None when one has the name."""
        with self._lock:
            if any(content.name == name for content in self.items.values()):
                return None
            content = Content(name, self._directory, self._make_key())
            self.items[content.guid] = content
            return content

    def find(self, path: str) -> tuple[Content, str, int | None] | None:
        """The content at a decoded path, its mount there, and a draft's bundle id, else None."""
        match = MOUNT.fullmatch(path)
        if match:
            mount, guid, bundle, _ = match.groups()
            content = self.items.get(guid)
            return content and (content, mount, int(bundle) if bundle else None)
        for content in list(self.items.values()):
            vanity = content.vanity
            if vanity and (path + "/").startswith(vanity + "/"):
                return content, vanity, None
        return None

    def upload(self, content: Content, archive: BinaryIO) -> Bundle:
        """Add a bundle; raises BundleError, and nothing is kept then."""
        aside = Path(tempfile.mkdtemp(prefix="upload-", dir=self._directory))
        try:
            manifest = unpack(archive, aside)
            with content.lock:
                if content.deleted:
                    raise NotDeployed("The content has been deleted.")
                with self._lock:
                    self._last_bundle += 1
                    number = self._last_bundle
                bundle = Bundle(number, content.directory / str(number), manifest)
                aside.rename(bundle.directory)
                content.bundles[number] = bundle
            return bundle
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def deploy(self, content: Content, bundle: Bundle, activate: bool) -> Task:
        """Begin to build `bundle` and, if asked to, put it in the active one's place."""
        task = Task(bundle.log)
        self.tasks[task.id] = task
        thread = threading.Thread(
            target=self._deploy, args=(task, content, bundle, activate)
        )
        self._deployments.append(thread)
        thread.start()
        return task

    def _deploy(
        self, task: Task, content: Content, bundle: Bundle, activate: bool
    ) -> None:
        code = 1
        try:
            if bundle.environment is None:
                bundle.environment = self._environments.build(
                    bundle.manifest, bundle.directory, task.say
                )
            if activate:
                self._activate(content, bundle)
                task.say(f"Bundle {bundle.id} is active")
            code = 0
        except (BuildError, StartError, NotDeployed, Stopping, OSError) as error:
            bundle.failure = str(error)
            task.say(str(error))
        finally:
            task.finish(code)

    def _activate(self, content: Content, bundle: Bundle) -> None:
        """Swap once the new process is ready; the old one still answers what it was asked."""
        with bundle.lock:
            bundle.running(self._starter(content))
        with content.lock:
            if content.deleted:
                bundle.retire()
                raise NotDeployed("The content has been deleted.")
            content.active = bundle
            content.deployed = now()
            others = [
                other for other in content.bundles.values() if other is not bundle
            ]
        for other in others:
            other.retire()

    def enter(self, content: Content, bundle_id: int | None) -> AppProcess:
        """The process for one request, started if need be; the caller must `leave` it.

        Raises NotDeployed, StartError or Stopping.
        """
        while True:
            bundle = content.bundle(bundle_id)
            with bundle.lock:
                # Else it was replaced meanwhile, and must not be started again.
                if bundle_id is not None or bundle is content.active:
                    process = bundle.running(self._starter(content))
                    process.enter()
                    return process

    def _starter(self, content: Content) -> Callable[[Bundle], AppProcess]:
        def start(bundle: Bundle) -> AppProcess:
            if bundle.environment is None:
                raise NotDeployed("This bundle has not been built.")
            return AppProcess(
                self._children,
                bundle.environment.python,
                bundle.manifest.entrypoint,
                bundle.directory,
                self._app_environment(content, bundle.environment),
                bundle.log,
            )

        return start

    def _app_environment(
        self, content: Content, environment: Environment
    ) -> dict[str, str]:
        """The variables that Connect sets, and those that came with -E."""
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        binaries = str(environment.python.parent)
        return {
            **inherited,
            "PATH": os.pathsep.join([binaries, inherited.get("PATH", os.defpath)]),
            "LANG": "C.UTF-8",
            "POSIT_PRODUCT": "CONNECT",
            "RSTUDIO_PRODUCT": "CONNECT",
            "CONNECT_SERVER": self.url + "/",
            "CONNECT_CONTENT_GUID": content.guid,
            "CONNECT_API_KEY": content.key,
            **content.environment,
        }

    def restart(self, content: Content) -> None:
        """Let the processes end, so that the next requests start them anew."""
        for bundle in list(content.bundles.values()):
            bundle.retire()

    def delete(self, content: Content) -> None:
        """Remove a content item at once, with all that it has on disk."""
        with content.lock:
            content.deleted, content.active = True, None
            bundles, content.bundles = list(content.bundles.values()), {}
        self.items.pop(content.guid, None)
        for bundle in bundles:
            with bundle.lock:
                bundle.stop()
        shutil.rmtree(content.directory, ignore_errors=True)

    def close(self) -> None:
        """End every process, and wait for the deployments that this makes fail."""
        self._children.close()
        for thread in self._deployments:
            thread.join()


def now() -> str:
    """The time as Connect's API writes it."""
    return (
        datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    )
