"""What is deployed: contents and their bundles, each with its environment and its app."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

from werkzeug.exceptions import BadGateway, HTTPException, NotFound, ServiceUnavailable

from .apps import App
from .bundles import Manifest, unpack
from .environments import BuildError, Environment, Environments
from .processes import Processes
from .tasks import Task
from .users import User, Users

MOUNT = re.compile(r"(/content/([0-9a-f-]{36})(?:/_bundle(\d{1,9}))?)(/.*)?", re.DOTALL)
REQUESTS = 100  # in progress at once for one bundle; more get a 503
ALL_REQUESTS = 400  # for all bundles together
INHERITED = ("HOME", "PATH", "TMPDIR")  # of the server's own variables, for the apps


class Bundle:
    """One upload: its files, its environment once it is built, its app while that runs."""

    def __init__(self, id: int, directory: Path, manifest: Manifest) -> None:
        self.id = id
        self.directory = directory
        self.archive = directory.with_suffix(".tar.gz")
        self.manifest = manifest
        self.created = now()
        self.environment: Environment | None = None
        self.failure = ""  # why it does not run
        self.lock = threading.Lock()  # held while the app starts
        self.slots = threading.BoundedSemaphore(REQUESTS)
        self.app: App | None = None

    @property
    def state(self) -> str:
        if self.failure:
            return "failed"
        return "running" if self.app and self.app.alive else "not started"

    def retire(self) -> None:
        """Let the app stop after the requests in progress."""
        with self.lock:
            app, self.app = self.app, None
        if app:
            app.retire()


class Content:
    """One content item; visitors see its `active` bundle."""

    def __init__(self, name: str, owner: User, key: str, directory: Path) -> None:
        self.guid = str(uuid.uuid4())
        self.name = name
        self.owner = owner
        self.key = key  # with which its app may call the server
        self.title: str | None = None
        self.description: str | None = ""
        self.vanity: str | None = None
        self.variables: dict[str, str] = {}
        self.created = self.deployed = now()
        self.bundles: dict[int, Bundle] = {}
        self.active: Bundle | None = None
        self.apps: list[App] = []  # retired ones, too
        self.directory = directory / self.guid
        self.directory.mkdir()
        self.log = self.directory / "log"
        self.log.touch()

    @property
    def mount(self) -> str:
        return f"/content/{self.guid}"

    @property
    def newest(self) -> Bundle | None:
        return self.bundles[max(self.bundles)] if self.bundles else None

    def bundle(self, id: int | None) -> Bundle:
        """Return a bundle, the active one for None; raises NotFound."""
        bundle = self.active if id is None else self.bundles.get(id)
        if bundle is None:
            raise NotFound("There is no such bundle." if id else "Nothing is deployed here yet.")
        return bundle


class Contents:
    """All that is deployed on one server."""

    def __init__(self, url: str, directory: Path, environments: Path, users: Users) -> None:
        self.url = url
        self.items: dict[str, Content] = {}
        self.tasks: dict[str, Task] = {}
        self.processes = Processes()
        self.environments = Environments(environments, self.processes)
        self._directory = directory
        self._users = users
        self._slots = threading.BoundedSemaphore(ALL_REQUESTS)
        self._lock = threading.Lock()  # held to change what is deployed, for a moment only
        self._bundles = 0
        self._deployments: list[threading.Thread] = []

    def create(self, name: str, owner: User) -> Content | None:
        """Add a content item; return None when another one has the name."""
        with self._lock:
            if any(content.name == name for content in self.items.values()):
                return None
            content = Content(name, owner, self._users.add(owner), self._directory)
            self.items[content.guid] = content
            return content

    def get(self, guid: str) -> Content:
        """Return a content item; raises NotFound."""
        if guid not in self.items:
            raise NotFound("There is no content with this GUID.")
        return self.items[guid]

    def find(self, path: str) -> tuple[Content, str, int | None] | None:
        """Return the content at a path, the path of its mount, and the id of a draft's bundle."""
        if match := MOUNT.fullmatch(path):
            mount, guid, bundle, _ = match.groups()
            content = self.items.get(guid)
            return content and (content, mount, int(bundle) if bundle else None)
        for content in list(self.items.values()):
            if content.vanity and f"{path}/".startswith(f"{content.vanity}/"):
                return content, content.vanity, None
        return None

    def upload(self, content: Content, archive: BinaryIO) -> Bundle:
        """Add a bundle; raises BadRequest, and keeps nothing then."""
        aside = Path(tempfile.mkdtemp(prefix="upload-", dir=self._directory))
        try:
            with (aside / "archive").open("w+b") as copy:
                shutil.copyfileobj(archive, copy)
                copy.seek(0)
                manifest = unpack(copy, aside / "files")
            with self._lock:
                self.get(content.guid)  # it may be deleted by now
                self._bundles += 1
                directory = content.directory / str(self._bundles)
                bundle = Bundle(self._bundles, directory, manifest)
                (aside / "files").rename(bundle.directory)
                (aside / "archive").rename(bundle.archive)
                content.bundles[bundle.id] = bundle
            return bundle
        finally:
            shutil.rmtree(aside)

    def deploy(self, content: Content, bundle: Bundle, activate: bool) -> Task:
        """Start to build a bundle, and to show it to visitors if `activate`."""
        task = Task(content.log)
        self.tasks[task.id] = task
        arguments = (task, content, bundle, activate)
        thread = threading.Thread(target=self._deploy, args=arguments)
        self._deployments.append(thread)
        thread.start()
        return task

    def _deploy(self, task: Task, content: Content, bundle: Bundle, activate: bool) -> None:
        try:
            for option in bundle.manifest.ignored:
                task.say(f"{option} has no effect on a local Connect.")
            bundle.environment = self.environments.build(
                bundle.manifest, bundle.directory, task.say
            )
            if activate:
                with self._lock:
                    self.get(content.guid)  # it may be deleted by now
                    content.active, content.deployed = bundle, now()
                    others = [other for other in content.bundles.values() if other is not bundle]
                # They still answer the requests in progress.
                for other in others:
                    other.retire()
                task.say(f"Bundle {bundle.id} is active.")
        except (BuildError, HTTPException, OSError) as error:
            bundle.failure = getattr(error, "description", None) or str(error)
            if content.guid not in self.items:
                bundle.failure = "The content has been deleted."
            with suppress(OSError):  # the log of a deleted content
                task.say(bundle.failure)
            task.finish(bundle.failure)
        else:
            task.finish()

    @contextmanager
    def running(self, content: Content, bundle_id: int | None) -> Iterator[App]:
        """Give the app for one request, started if need be.

        Raises ServiceUnavailable beyond the limit of requests or when the server is stopping,
        NotFound without such a bundle, and BadGateway when the app does not start.
        """
        with ExitStack() as stack:
            for slots in (content.bundle(bundle_id).slots, self._slots):
                if not slots.acquire(blocking=False):
                    raise ServiceUnavailable("Too many requests are in progress.")
                stack.callback(slots.release)
            app = self._enter(content, bundle_id)
            stack.callback(app.leave)
            yield app

    def _enter(self, content: Content, bundle_id: int | None) -> App:
        while True:
            bundle = content.bundle(bundle_id)
            with bundle.lock:
                # Otherwise another one was activated meanwhile, and this one has retired.
                if bundle_id is not None or bundle is content.active:
                    if not (bundle.app and bundle.app.alive):
                        bundle.app = self._start(content, bundle)
                    bundle.app.enter()
                    return bundle.app

    def _start(self, content: Content, bundle: Bundle) -> App:
        if bundle.environment is None:
            raise NotFound("The bundle is not built yet.")
        python = bundle.environment.python
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        # The names that Posit's SDK reads, and the variables that came with -E.
        env = {
            **inherited,
            "PATH": os.pathsep.join([str(python.parent), inherited.get("PATH", os.defpath)]),
            "LANG": "C.UTF-8",
            "POSIT_PRODUCT": "CONNECT",
            "RSTUDIO_PRODUCT": "CONNECT",
            "CONNECT_SERVER": f"{self.url}/",
            "CONNECT_CONTENT_GUID": content.guid,
            "CONNECT_API_KEY": content.key,
            **content.variables,
        }
        options = {"cwd": bundle.directory, "env": env}
        try:
            app = App(self.processes, python, bundle.manifest.entrypoint, content.log, **options)
        except BadGateway as error:
            bundle.failure = error.description
            raise
        bundle.failure = ""
        content.apps = [other for other in content.apps if other.alive] + [app]
        return app

    def delete(self, content: Content) -> None:
        """Remove a content item and its files, and stop its apps at once."""
        with self._lock:
            self.items.pop(content.guid, None)
            self._users.by_key.pop(content.key, None)
            bundles, content.bundles, content.active = content.bundles, {}, None
        for bundle in bundles.values():
            with bundle.lock:  # its app may be starting
                pass
        for app in content.apps:
            app.stop()
        shutil.rmtree(content.directory, ignore_errors=True)

    def close(self) -> None:
        """End all processes, and the deployments that need them."""
        self.processes.close()
        for thread in self._deployments:
            thread.join()


def now() -> str:
    """Return the time as Connect's API writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
