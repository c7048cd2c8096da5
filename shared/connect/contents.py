"""What is deployed: contents and their bundles, each with its environment and its app."""

import http.client
import itertools
import os
import re
import shutil
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from werkzeug.exceptions import BadGateway, Conflict, HTTPException, NotFound, ServiceUnavailable

from .apps import App
from .bundles import Manifest, unpack
from .environments import BuildError, Environment, Environments
from .jobs import BUILD, PROCESS, Job, now
from .processes import Processes
from .tasks import Task
from .users import User, Users, new_guid

MOUNT = re.compile(r"/content/([0-9a-f-]{36})(?:/_bundle(\d{1,9}))?(?=/|\Z)")
REQUESTS = 100  # in progress at once for one bundle; more get a 503
JOBS = 100  # of a content; older ones go
INHERITED = ("HOME", "PATH", "TMPDIR")  # of the server's own variables, for the apps


class Bundle:
    """One upload: its files, its environment once it is built, its processes while they run."""

    def __init__(self, id: str, directory: Path, manifest: Manifest, processes: int) -> None:
        self.id = id
        self.directory = directory
        self.manifest = manifest
        self.created = now()
        self.environment: Environment | None = None
        self.failure = ""  # why it does not run
        self.apps: list[App | None] = [None] * processes
        self.locks = [
            threading.Lock() for _ in self.apps
        ]  # each held while its app starts or stops
        self.retired = False
        self._requests = 0
        self._turns = itertools.cycle(range(processes))
        self._counting = threading.Lock()

    @property
    def state(self) -> str:
        if self.failure:
            return "failed"
        return "running" if self.running else "not started"

    @property
    def running(self) -> int:
        """The number of its processes."""
        return sum(app is not None and app.alive for app in self.apps)

    @contextmanager
    def request(self) -> Iterator[int]:
        """Count a request in progress, and give the number of the process whose turn it is.

        Raises ServiceUnavailable beyond the limit.
        """
        with self._counting:
            if self._requests == REQUESTS:
                raise ServiceUnavailable("Too many requests are in progress.")
            self._requests += 1
            turn = next(self._turns)
        try:
            yield turn
        finally:
            with self._counting:
                self._requests -= 1
            self.stop_if_unused()

    def stop_if_unused(self) -> None:
        """Stop the processes once the bundle is retired and no request is in progress."""
        for number, lock in enumerate(self.locks if self.retired else ()):
            with lock:
                if (app := self.apps[number]) and not self._requests:
                    app.stop()

    def stop(self) -> None:
        """Stop the processes at once."""
        for number, lock in enumerate(self.locks):
            with lock:
                if app := self.apps[number]:
                    app.stop()


class Content:
    """One content item; visitors see its `active` bundle."""

    def __init__(
        self, number: str, name: str, owner: User, key: str, server_url: str, directory: Path
    ) -> None:
        self.guid = new_guid()
        self.number = number  # Connect's internal id
        self.name = name
        self.owner = owner
        self.key = key  # with which its app may call the server
        self.title: str | None = None
        self.description: str | None = ""
        self.access_type = "acl"  # the owner only; logged_in: all users; all: everybody
        self.mount = f"/content/{self.guid}"
        self.vanity: str | None = None
        self.vanity_created: datetime | None = None
        self.url = f"{server_url}{self.mount}/"
        self.dashboard = f"{server_url}/connect/#/apps/{self.guid}"
        self.variables: dict[str, str] = {}
        self.created = self.deployed = now()
        self.bundles: dict[str, Bundle] = {}
        self.active: Bundle | None = None
        self.jobs: deque[Job] = deque(maxlen=JOBS)  # oldest first
        self.directory = directory / self.guid
        self.directory.mkdir()

    @property
    def newest(self) -> Bundle | None:
        return next(reversed(self.bundles.values()), None)

    @property
    def drafts(self) -> list[Bundle]:
        """The bundles that are newer than the active one, and built."""
        bundles = list(self.bundles.values())
        after = bundles.index(self.active) + 1 if self.active else 0
        return [bundle for bundle in bundles[after:] if bundle.environment]

    @property
    def problem(self) -> str:
        """Why a bundle does not run, and what visitors see instead; empty if all is well."""
        for bundle in (self.newest, self.active):
            if bundle and bundle.failure:
                instead = f" Visitors still see bundle {self.active.id}." if self.active else ""
                instead = "" if bundle is self.active else instead
                return f"Bundle {bundle.id} failed: {bundle.failure}{instead}"
        return ""

    def may_be_seen_by(self, user: User | None) -> bool:
        """Whether a user, or a visitor who is not signed in, may see it."""
        if self.access_type == "acl":
            return user is self.owner
        return user is not None or self.access_type == "all"

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

    def start_job(self, tag: str, bundle: Bundle) -> Job:
        """Add a job about a bundle."""
        job = Job(tag, bundle.id)
        self.jobs.append(job)
        return job


class Contents:
    """All that is deployed on one server."""

    def __init__(
        self, url: str, directory: Path, environments: Path, users: Users, processes: int
    ) -> None:
        """Raises OSError when `environments` cannot be made.

        processes: how many run of each bundle.
        """
        self.url = url
        self.items: dict[str, Content] = {}
        self.tasks: dict[str, Task] = {}
        self.processes = Processes()
        self.environments = Environments(environments, self.processes)
        self._directory = directory
        self._users = users
        self._processes_each = processes
        self._lock = threading.Lock()  # held to take a name
        self._numbers = map(str, itertools.count(1))
        self._deployments: list[threading.Thread] = []

    def create(self, name: str, owner: User) -> Content:
        """Add a content item; raises Conflict when another one has the name."""
        with self._lock:
            if any(content.name == name for content in self.items.values()):
                raise Conflict(f"The name {name} is in use.")
            key = self._users.add_key(owner)
            content = Content(next(self._numbers), name, owner, key, self.url, self._directory)
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
        bundle_id = next(self._numbers)
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
        bundle = Bundle(bundle_id, directory, manifest, self._processes_each)
        content.bundles[bundle_id] = bundle
        return bundle

    def deploy(self, content: Content, bundle: Bundle, activate: bool) -> Task:
        """Start to build a bundle, and to show it to visitors if `activate`."""
        task = Task(content.start_job(BUILD, bundle))
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
            task.say(content.problem)
        task.finish(bundle.failure)

    @contextmanager
    def running(self, content: Content, bundle_id: str | None) -> Iterator[App]:
        """Give the app for one request, started if need be.

        Raises ServiceUnavailable beyond the limit of requests or when the server is stopping,
        NotFound without such a bundle, and BadGateway when the app does not start or crashes.
        """
        bundle = content.bundle(bundle_id)
        try:
            with bundle.request() as turn:
                with bundle.locks[turn]:
                    app = bundle.apps[turn]
                    if not (app and app.alive):
                        app = bundle.apps[turn] = self._start(content, bundle)
                try:
                    yield app
                except (OSError, http.client.HTTPException):
                    app.wait_if_ending()  # the next request then starts it again
                    what = "dropped the request" if app.alive else app.ending
                    raise BadGateway(f"The app {what}.") from None
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
        job = content.start_job(PROCESS, bundle)
        try:
            app = App(self.processes, python, bundle.manifest.entrypoint, job, **options)
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
            bundle.stop()
        shutil.rmtree(content.directory, ignore_errors=True)

    def close(self) -> None:
        """End all processes, and the deployments that need them."""
        self.processes.close()
        for thread in self._deployments:
            thread.join()
