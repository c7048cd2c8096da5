"""What is deployed: contents and their bundles, each with its environment and its app."""

import http.client
import itertools
import os
import re
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

from werkzeug.exceptions import BadGateway, Conflict, HTTPException, NotFound, ServiceUnavailable

from .apps import App
from .bundles import Manifest, unpack
from .environments import BuildError, Environment, Environments
from .processes import Processes
from .tasks import Task
from .users import User, Users

MOUNT = re.compile(r"/content/([0-9a-f-]{36})(?:/_bundle(\d{1,9}))?(?=/|\Z)")
REQUESTS = 100  # in progress at once for one bundle; more get a 503
INHERITED = ("HOME", "PATH", "TMPDIR")  # of the server's own variables, for the apps


class Bundle:
    """One upload: its files, its environment once it is built, its app while that runs."""

    def __init__(self, id: str, directory: Path, manifest: Manifest) -> None:
        self.id = id
        self.directory = directory
        self.manifest = manifest
        self.created = now()
        self.environment: Environment | None = None
        self.failure = ""  # why it does not run
        self.app: App | None = None
        self.lock = threading.Lock()  # held while the app starts or stops
        self.retired = False
        self._requests = 0
        self._counting = threading.Lock()

    @property
    def state(self) -> str:
        if self.failure:
            return "failed"
        return "running" if self.app and self.app.alive else "not started"

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request in progress; raises ServiceUnavailable beyond the limit."""
        with self._counting:
            if self._requests == REQUESTS:
                raise ServiceUnavailable("Too many requests are in progress.")
            self._requests += 1
        try:
            yield
        finally:
            with self._counting:
                self._requests -= 1
            self.stop_if_unused()

    def stop_if_unused(self) -> None:
        """Stop the app once the bundle is retired and no request is in progress."""
        if self.retired:
            with self.lock:
                if self.app and not self._requests:
                    self.app.stop()


class Content:
    """One content item; visitors see its `active` bundle."""

    def __init__(self, name: str, owner: User, key: str, server_url: str, directory: Path) -> None:
        self.guid = str(uuid.uuid4())
        self.name = name
        self.owner = owner
        self.key = key  # with which its app may call the server
        self.title: str | None = None
        self.description: str | None = ""
        self.mount = f"/content/{self.guid}"
        self.vanity: str | None = None
        self.url = f"{server_url}{self.mount}/"
        self.dashboard = f"{server_url}/connect/apps/{self.guid}"
        self.variables: dict[str, str] = {}
        self.created = self.deployed = now()
        self.bundles: dict[str, Bundle] = {}
        self.active: Bundle | None = None
        self.directory = directory / self.guid
        self.directory.mkdir()
        self.log = self.directory.with_suffix(".log")
        self.log.touch()

    @property
    def newest(self) -> Bundle | None:
        return next(reversed(self.bundles.values()), None)

    def bundle(self, id: str | None) -> Bundle:
        """Return a bundle, the active one for None; raises NotFound."""
        bundle = self.active if id is None else self.bundles.get(id)
        if bundle is None:
            raise NotFound("There is no such bundle." if id else "Nothing is deployed here yet.")
        return bundle

    def activate(self, bundle: Bundle) -> None:
        """Show a bundle to visitors. The others answer the requests in progress, and stop."""
        self.active, self.deployed = bundle, now()
        for other in list(self.bundles.values()):
            other.retired = other is not bundle
            other.stop_if_unused()


class Contents:
    """All that is deployed on one server."""

    def __init__(self, url: str, directory: Path, environments: Path, users: Users) -> None:
        """Raises OSError when `environments` cannot be made."""
        self.url = url
        self.items: dict[str, Content] = {}
        self.tasks: dict[str, Task] = {}
        self.processes = Processes()
        self.environments = Environments(environments, self.processes)
        self._directory = directory
        self._users = users
        self._lock = threading.Lock()  # held to take a name
        self._bundle_ids = map(str, itertools.count(1))
        self._deployments: list[threading.Thread] = []

    def create(self, name: str, owner: User) -> Content:
        """Add a content item; raises Conflict when another one has the name."""
        with self._lock:
            if any(content.name == name for content in self.items.values()):
                raise Conflict(f"The name {name} is in use.")
            content = Content(name, owner, self._users.add(owner), self.url, self._directory)
            self.items[content.guid] = content
            return content

    def get(self, guid: str) -> Content:
        """Return a content item; raises NotFound."""
        if guid not in self.items:
            raise NotFound("There is no content with this GUID.")
        return self.items[guid]

    def find(self, path: str) -> tuple[Content, str, str | None] | None:
        """Return the content at a path, the path of its mount, and the id of a draft's bundle."""
        if match := MOUNT.match(path):
            content = self.items.get(match[1])
            return content and (content, match[0], match[2])
        for content in list(self.items.values()):
            if content.vanity and f"{path}/".startswith(f"{content.vanity}/"):
                return content, content.vanity, None
        return None

    def upload(self, content: Content, archive: BinaryIO) -> Bundle:
        """Add a bundle; raises BadRequest, and keeps nothing then."""
        bundle_id = next(self._bundle_ids)
        directory = content.directory / bundle_id
        directory.mkdir()
        try:
            with (directory / "bundle.tar.gz").open("w+b") as copy:
                shutil.copyfileobj(archive, copy)
                copy.seek(0)
                manifest = unpack(copy, directory / "files")
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        bundle = content.bundles[bundle_id] = Bundle(bundle_id, directory, manifest)
        return bundle

    def deploy(self, content: Content, bundle: Bundle, activate: bool) -> Task:
        """Start to build a bundle, and to show it to visitors if `activate`."""
        task = Task(content.log)
        self.tasks[task.id] = task
        thread = threading.Thread(target=self._deploy, args=(task, content, bundle, activate))
        self._deployments.append(thread)
        thread.start()
        return task

    def _deploy(self, task: Task, content: Content, bundle: Bundle, activate: bool) -> None:
        bundle.failure = ""
        try:
            for option in bundle.manifest.ignored:
                task.say(f"{option} has no effect on a local Connect.")
            files = bundle.directory / "files"
            bundle.environment = self.environments.build(bundle.manifest, files, task.say)
            if activate:
                content.activate(bundle)
                task.say(f"Bundle {bundle.id} is active.")
        except (BuildError, HTTPException, OSError, ValueError) as error:
            bundle.failure = getattr(error, "description", None) or str(error)
            task.say(bundle.failure)
        task.finish(bundle.failure)

    @contextmanager
    def running(self, content: Content, bundle_id: str | None) -> Iterator[App]:
        """Give the app for one request, started if need be.

        Raises ServiceUnavailable beyond the limit of requests or when the server is stopping,
        NotFound without such a bundle, and BadGateway when the app does not start or crashes.
        """
        bundle = content.bundle(bundle_id)
        try:
            with bundle.request():
                with bundle.lock:
                    if not (bundle.app and bundle.app.alive):
                        bundle.app = self._start(content, bundle)
                    app = bundle.app
                try:
                    yield app
                except (OSError, http.client.HTTPException):
                    app.wait_if_ending()  # the next request then starts it again
                    raise BadGateway("The app crashed or dropped the request.") from None
        except BadGateway as error:
            raise BadGateway(f"{error.description} Its log: {content.dashboard}/logs") from None

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
        options = {"cwd": bundle.directory / "files", "env": env}
        try:
            app = App(self.processes, python, bundle.manifest.entrypoint, content.log, **options)
        except BadGateway as error:
            bundle.failure = error.description
            raise
        bundle.failure = ""
        return app

    def delete(self, content: Content) -> None:
        """Remove a content item and its files, and stop its apps at once."""
        self.items.pop(content.guid, None)
        self._users.by_key.pop(content.key, None)
        content.active = None
        for bundle in list(content.bundles.values()):
            with bundle.lock:
                if bundle.app:
                    bundle.app.stop()
        shutil.rmtree(content.directory, ignore_errors=True)
        content.log.unlink(missing_ok=True)

    def close(self) -> None:
        """End all processes, and the deployments that need them."""
        self.processes.close()
        for thread in self._deployments:
            thread.join()


def now() -> str:
    """Return the time as Connect's API writes it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
