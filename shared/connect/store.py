"""What is deployed: content items with their bundles and jobs."""

import itertools
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

from werkzeug.exceptions import BadGateway, Conflict, NotFound

from .bundles import Bundle
from .errors import ConnectError, Problem, http_error
from .jobs import BUILD, PROCESS, Job, now
from .limits import Limits
from .running.apps import App, NotStarted, Pool, variables
from .running.children import Children
from .running.environments import BuildError, Environments
from .users import Group, User, Users, new_guid, new_key

JOBS = 100  # of a content that have ended; older ones go
MOUNT = re.compile(r"/content/([0-9a-f-]{36})(?:/_bundle(\d+))?(?=/|\Z)")


@dataclass
class Permission:
    """What a user or a group may do with a content: the role is `viewer` or `owner`."""

    id: str
    principal: User | Group
    role: str


class Content:
    """One content item; visitors see its `active` bundle."""

    def __init__(self, number: str, name: str, owner: User, url: str, directory: Path) -> None:
        """url: of the server; directory: where it makes another one."""
        self.guid = new_guid()
        self.number = number  # Connect's internal id
        self.name = name
        self.owner = owner
        self.key = new_key()  # with which its app may call the server
        self.title: str | None = None
        self.description: str | None = ""
        # acl: the owner and those with a permission; logged_in: all users; all: everybody
        self.access_type = "acl"
        self.permissions: dict[str, Permission] = {}
        self.mount = f"/content/{self.guid}"
        self.vanity: str | None = None
        self.vanity_created: datetime | None = None
        self.url = f"{url}{self.mount}/"
        self.log = f"{url}/connect/apps/{self.guid}/logs"  # text, so for curl, too
        self.settings: dict = {}  # of Connect's processes, which the API gives back
        self.variables: dict[str, str] = {}
        self.created = self.deployed = now()
        self.bundles: dict[str, Bundle] = {}
        self.active: Bundle | None = None
        self.pools: dict[str, Pool] = {}  # of the bundles that are built, by their id
        self.children = Children()  # its builds and apps
        self.lock = threading.Lock()  # of the bundles, the pools and these
        self.last_deployment = self.active_deployment = 0  # numbers
        self.jobs: list[Job] = []  # oldest first
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
        return [bundle for bundle in bundles[after:] if bundle.id in self.pools]

    @property
    def pool(self) -> Pool | None:
        """What runs for visitors."""
        return self.pools.get(self.active.id) if self.active else None

    @property
    def state(self) -> str:
        """What became of the active bundle, in words."""
        failed = self.active.failure if self.active else self.problem
        if failed or not self.pool:
            return "failed" if failed else "not deployed"
        return "running" if self.pool.running else "not started"

    @property
    def problem(self) -> str:
        """Why the newest or the active bundle does not run; empty if both do."""
        failed = next((b for b in (self.newest, self.active) if b and b.failure), None)
        return self.explain(failed) if failed else ""

    def explain(self, failed: Bundle) -> str:
        """Say why a bundle does not run, and what visitors see instead."""
        other = self.active if self.active is not failed else None
        instead = f" Visitors still see bundle {other.id}." if other else ""
        return f"Bundle {failed.id} failed: {failed.failure.rstrip('.')}.{instead}"

    def role_of(self, user: User | None) -> str:
        """Return Connect's `app_role`: owner, editor (a collaborator), viewer or none."""
        principals = (user, *user.groups) if user else ()
        permissions = list(self.permissions.values())
        roles = {each.role for each in permissions if each.principal in principals}
        if user is self.owner or "owner" in roles:
            return "owner" if user is self.owner else "editor"
        is_open = self.access_type == "all" or (user and self.access_type == "logged_in")
        return "viewer" if roles or is_open else "none"

    def bundle(self, id: str | None) -> Bundle:
        """Return a bundle, the active one for None; raises NotFound."""
        bundle = self.active if id is None else self.bundles.get(id)
        if bundle:
            return bundle
        if id:
            raise NotFound("There is no such bundle.")
        message = self.cause(self.newest)
        if self.drafts and not message:
            draft = self.drafts[-1].id
            message = f"Bundle {draft} is a draft that is not active: see {self.url}_bundle{draft}/"
        raise NotFound(message or "Nothing is deployed here yet.")

    def cause(self, bundle: Bundle | None) -> str:
        """Say why a bundle does not run, and where its log is; empty if it did not fail."""
        return f"{self.explain(bundle)} Its log: {self.log}" if bundle and bundle.failure else ""

    def add_pool(self, bundle: Bundle, pool: Pool) -> None:
        """Let a pool run a bundle that is built; raises NotFound if the bundle is deleted."""
        with self.lock:
            self.check_kept(bundle)
            old = self.pools.get(bundle.id)
            if old is None or old.environment != pool.environment:
                self.pools[bundle.id] = pool
                if old:
                    old.retire()

    def activate(self, bundle: Bundle, deployment: int) -> bool:
        """Show a bundle to visitors, and no other; False if a later deployment was faster."""
        with self.lock:
            self.check_kept(bundle)
            if deployment < self.active_deployment:
                return False
            self.active, self.deployed, self.active_deployment = bundle, now(), deployment
            for bundle_id, pool in self.pools.items():
                pool.retire(bundle_id != bundle.id)
            return True

    def restart(self) -> None:
        """Let other processes answer from now on; those that run answer what is in progress."""
        with self.lock:
            for bundle_id, pool in self.pools.items():
                self.pools[bundle_id] = pool.successor()
                pool.retire()

    def check_kept(self, bundle: Bundle) -> None:
        """Raise NotFound if a bundle has been deleted, maybe with its content."""
        if self.bundles.get(bundle.id) is not bundle:
            raise NotFound(f"Bundle {bundle.id} has been deleted.")

    def start_job(self, tag: str, bundle: Bundle) -> Job:
        """Add a job about a bundle."""
        job = Job(tag, bundle.id)
        self.jobs.append(job)
        for old in [each for each in self.jobs if each.ended][:-JOBS]:
            self.jobs.remove(old)
        return job

    def update(self, texts: dict[str, str | None], settings: dict) -> None:
        """Set the title, the description or the access type, or several of them, and settings."""
        for name, value in texts.items():
            setattr(self, name, value)
        self.settings = settings

    def delete_bundle(self, bundle: Bundle) -> None:
        """Remove a bundle and its files; raises ConnectError for the active one."""
        with self.lock:
            if bundle is self.active:
                raise ConnectError(Problem.ACTIVE_BUNDLE, "The active bundle cannot be deleted.")
            self.bundles.pop(bundle.id, None)
            pool = self.pools.pop(bundle.id, None)
        if pool:
            pool.stop()
        bundle.remove_files()

    @contextmanager
    def connected(self, bundle_id: str | None) -> Iterator[HTTPConnection]:
        """Give a connection to the app for one request, started if need be; raises HTTPException.

        bundle_id: of a draft, None for the active bundle.
        """
        bundle = self.bundle(bundle_id)
        pool = self.pools.get(bundle.id)
        if pool is None:
            raise NotFound(self.cause(bundle) or f"Bundle {bundle.id} is not deployed yet.")
        try:
            with pool.connected() as connection:
                bundle.failure = ""
                yield connection
        except BadGateway as error:
            if isinstance(error, NotStarted):
                bundle.failure = error.description
            message = f"{error.description.rstrip('.')}. Its log: {self.log}"
            raise BadGateway(message) from None


class Store:
    """All that is deployed on one server, and what builds and runs it."""

    def __init__(
        self,
        url: str,
        directory: Path,
        environments: Path,
        users: Users,
        processes: int,
        limits: Limits,
    ) -> None:
        """processes: of each bundle. Raises OSError when `environments` cannot be made."""
        self.url = url
        self.by_guid: dict[str, Content] = {}
        self.paths = threading.Lock()  # of names and vanity paths, which are unique
        self.children = Children()
        self.processes = processes
        self._limits = limits
        self.environments = Environments(environments, self.children)
        self._directory = directory
        self.users = users
        self._builds: set[threading.Thread] = set()
        # Apart, so that a first deployment is of bundle 1.
        self._content_ids = map(str, itertools.count(1))
        self._bundle_ids = map(str, itertools.count(1))

    def all(self) -> list[Content]:
        """Return all content items; others may come and go meanwhile."""
        return list(self.by_guid.values())

    def get(self, guid: str) -> Content:
        """Return a content item; raises NotFound."""
        if guid not in self.by_guid:
            raise NotFound("There is no content with this GUID.")
        return self.by_guid[guid]

    def find(self, path: str) -> tuple[Content, str, str | None] | None:
        """Return the content at a path, the path of its mount, and the id of a draft's bundle."""
        if match := MOUNT.match(path):
            content = self.by_guid.get(match[1])
            return (content, match[0], match[2]) if content else None
        for content in self.all():
            if content.vanity and below(path, content.vanity):
                return content, content.vanity, None
        return None

    # Content comes, gets another name, and goes.

    def create(self, name: str) -> Content:
        """Add a content item of `admin`; raises Conflict when another one has the name."""
        owner = self.users.admin
        with self.paths:
            self._check_name(name)
            content = Content(next(self._content_ids), name, owner, self.url, self._directory)
            self.users.by_key[content.key] = owner
            self.by_guid[content.guid] = content
        return content

    def rename(self, content: Content, name: str) -> None:
        """Change a name; raises Conflict when another content item has it."""
        with self.paths:
            if name != content.name:
                self._check_name(name)
                content.name = name

    def _check_name(self, name: str) -> None:
        if any(content.name == name for content in self.all()):
            raise Conflict(f"The name {name} is in use.")

    def delete(self, content: Content) -> None:
        """Remove a content item and its files, and stop its apps at once."""
        self.by_guid.pop(content.guid, None)
        self.users.by_key.pop(content.key, None)
        with content.lock:
            content.active = None
            content.bundles.clear()
            content.pools.clear()
        content.children.close()
        shutil.rmtree(content.directory, ignore_errors=True)

    def close(self) -> None:
        """End all processes, and wait for the builds to remove what they made."""
        self.children.close()
        for content in self.all():
            content.children.close()
        for build in list(self._builds):
            build.join()
        self.environments.close()

    # Bundles are uploaded, built and run.

    def upload(self, content: Content, *upload) -> Bundle:
        """Add a bundle; upload, and what it raises: see Bundle, which then keeps nothing."""
        number = next(self._bundle_ids)
        bundle = Bundle(number, content.directory / number, *upload)
        with content.lock:
            if content.guid in self.by_guid:
                content.bundles[number] = bundle
                return bundle
        shutil.rmtree(content.directory, ignore_errors=True)
        raise NotFound("The content has been deleted.")

    def deploy(self, content: Content, bundle: Bundle, activate: bool) -> Job:
        """Start to build a bundle, and to show it to visitors if `activate`."""
        job = content.start_job(BUILD, bundle)
        with content.lock:
            content.last_deployment += activate
            deployment = content.last_deployment if activate else None
        build = threading.Thread(target=self._deploy, args=(job, content, bundle, deployment))
        self._builds.add(build)
        build.start()
        return job

    def _deploy(self, job: Job, content: Content, bundle: Bundle, deployment: int | None) -> None:
        """Build a bundle, and show it to visitors if it has a number; ends the job in any case."""
        bundle.failure = failure = ""
        # These lines are Connect's (posit-dev/publisher#793); Posit Publisher reads them.
        job.add("Building Python API...")
        try:
            private = bundle.directory / "environment"
            built = self.environments.build(
                bundle.manifest, bundle.files, private, job.add, content.children
            )
            job.add(f"Completed Python build using Local against Python version: '{built.version}'")
            start = partial(self._start, content, bundle, built.python)
            content.add_pool(bundle, Pool(built, start, self.processes))
            job.add("Launching Python API...")
            if deployment is not None:
                active = content.activate(bundle, deployment)
                later = "is built; one that was deployed after it is active."
                job.add(f"Bundle {bundle.id} {'is active.' if active else later}")
        except Exception as error:  # whatever it is, clients wait for the end
            known = isinstance(error, BuildError)
            bundle.failure = str(error) if known else http_error(error).description or ""
            if content.bundles.get(bundle.id) is not bundle:
                # With what the build has written since.
                kept = content.guid in self.by_guid
                gone = bundle.directory if kept else content.directory
                shutil.rmtree(gone, ignore_errors=True)
                bundle.failure = "It has been deleted"
            failure = content.explain(bundle)
            job.add(failure)
        finally:
            job.end(1 if failure else 0, failure)
            self._builds.discard(threading.current_thread())

    def _start(self, content: Content, bundle: Bundle, python: Path) -> App:
        job = content.start_job(PROCESS, bundle)
        given = {
            "CONNECT_SERVER": f"{self.url}/",
            "CONNECT_CONTENT_GUID": content.guid,
            "CONNECT_CONTENT_JOB_KEY": job.key,  # posit-dev/commons, R/tracing.R
            "CONNECT_API_KEY": content.key,
            **content.variables,
        }
        return App(
            content.children,
            python,
            bundle.manifest.entrypoint,
            job,
            self._directory / job.number,
            self.processes,
            self._limits.start_seconds,
            cwd=bundle.files,
            env=variables(python, given),
        )


def below(path: str, above: str) -> bool:
    """Whether a path is another one or below it: /team/a is below /team, /teams is not."""
    return f"{path}/".startswith(f"{above}/")
