"""The JSON records of the API, with the fields of Connect's API reference and of real answers.

See https://docs.posit.co/connect/api/, and the answers that posit-dev/connectapi and
posit-dev/posit-sdk-py have recorded for their tests.
"""

from .contents import Bundle, Content
from .jobs import Job, now, timestamp
from .users import Group, User, Users

# What nobody can set here, and is null.
CONTENT_UNSET = """
    connection_timeout read_timeout init_timeout idle_timeout max_processes min_processes
    max_conns_per_process load_factor memory_request memory_limit cpu_request cpu_limit
    amd_gpu_limit nvidia_gpu_limit service_account_name default_image_name image_name
    default_environment_guid environment_guid default_r_environment_management
    default_py_environment_management r_version r_environment_management quarto_version
    node_version run_as metrics_collection_enabled notify_on_share public_content_status
"""
BUNDLE_UNSET = "environment_guid image_name r_version r_environment_management quarto_version"
JOB_UNSET = "ppid remote_id queued_time queue_name error hostname cluster image run_as skip_reason"

CONTENT = dict.fromkeys(CONTENT_UNSET.split()) | {
    "locked": False,
    "locked_message": "",
    "content_category": "",
    "parameterized": False,
    "run_as_current_user": False,
    "otel_enabled": False,
}
BUNDLE = dict.fromkeys(BUNDLE_UNSET.split())
JOB = dict.fromkeys(JOB_UNSET.split())
UNNAMED = {"first_name": "", "last_name": ""}


def content_record(content: Content, user: User, include: set[str] = frozenset()) -> dict:
    """A content item as the user sees it; include: `owner` or `vanity_url`, or both."""
    bundle, owner = content.active, content.owner
    record = CONTENT | {
        "guid": content.guid,
        "id": content.number,
        "name": content.name,
        "title": content.title,
        "description": content.description,
        "access_type": content.access_type,
        "owner_guid": owner.guid,
        "app_mode": "python-api" if bundle else "unknown",
        "bundle_id": bundle and bundle.id,
        "created_time": timestamp(content.created),
        "last_deployed_time": timestamp(content.deployed),
        "content_url": content.url,
        "dashboard_url": content.dashboard,
        "app_role": "owner" if user is owner else "viewer",
        **built_record(bundle),
    }
    if "owner" in include:
        record["owner"] = {"guid": owner.guid, "username": owner.name} | UNNAMED
    if "vanity_url" in include and content.vanity:
        record["vanity_url"] = content.url.replace(content.mount, content.vanity)
    return record


def built_record(bundle: Bundle | None) -> dict:
    """What is known of a bundle once it is built; content has the same of its active bundle."""
    environment = bundle and bundle.environment
    return {
        "cluster_name": environment and "Local",
        "py_version": environment and environment.version,
        "py_environment_management": environment and True,
    }


def bundle_record(content: Content, bundle: Bundle) -> dict:
    return BUNDLE | {
        "id": bundle.id,
        "content_guid": content.guid,
        "created_by": content.owner.guid,
        "created_time": timestamp(bundle.created),
        "active": bundle is content.active,
        "size": bundle.size,
        "metadata": bundle.metadata,
        **built_record(bundle),
    }


def vanity_record(content: Content) -> dict:
    return {
        "content_guid": content.guid,
        "path": f"{content.vanity}/",
        "created_time": timestamp(content.vanity_created),
    }


def user_record(user: User) -> dict:
    created = timestamp(user.created)
    return UNNAMED | {
        "guid": user.guid,
        "username": user.name,
        "user_role": user.role,
        "email": "",
        "created_time": created,
        "updated_time": created,
        "active_time": None,
        "confirmed": True,
        "locked": False,
    }


def group_record(group: Group, users: Users) -> dict:
    return {
        "guid": group.guid,
        "name": group.name,
        "owner_guid": None,
        "gid": None,
        "member_count": sum(group in user.groups for user in users.by_name.values()),
    }


def job_record(content: Content, job: Job) -> dict:
    return JOB | {
        "id": job.number,
        "key": job.key,
        "pid": str(job.pid or 0),
        "app_id": content.number,
        "content_id": content.number,
        "content_guid": content.guid,
        "variant_id": "0",
        "variant_key": "",
        "bundle_id": job.bundle_id,
        "tag": job.tag,
        "start_time": timestamp(job.started),
        "end_time": timestamp(job.ended),
        "last_heartbeat_time": timestamp(job.ended or now()),
        "exit_code": job.exit_code,
        "status": 2 if job.ended else 0,  # finalized, active
    }


def log_record(job: Job, lines: int) -> dict:
    """The last lines of a job's log."""
    return {
        "entries": [
            {"source": source, "timestamp": timestamp(time), "data": text}
            for time, source, text in job.entries[-lines:]
        ]
    }
