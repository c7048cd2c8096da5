"""Jobs, which are builds and processes, with their logs; and the tasks that follow builds."""

from flask import Blueprint

from ..current import store
from ..errors import ConnectError, Problem
from ..jobs import BUILD, LINES, Job, now, timestamp
from ..store import Content
from .reading import number_of

WAIT_SECONDS = 30  # the longest wait for a task's next lines
# What nobody can set here, and is null.
UNSET = "ppid remote_id queued_time queue_name error hostname cluster image run_as skip_reason"

blueprint = Blueprint("jobs", __name__)


def job_record(content: Content, job: Job) -> dict:
    return dict.fromkeys(UNSET.split()) | {
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


@blueprint.get("/v1/content/<content>/jobs")
def list_jobs(content):
    return [job_record(content, job) for job in content.jobs[::-1]]


@blueprint.get("/v1/content/<content>/jobs/<job>")
def get_job(content, job):
    return job_record(content, job)


@blueprint.get("/v1/content/<content>/jobs/<job>/log")
def get_log(content, job):
    lines = job.entries[-number_of("maxLogLines", LINES, 1) :]
    entries = [
        {"source": source, "timestamp": timestamp(time), "data": text}
        for time, source, text in lines
    ]
    return {"entries": entries}


@blueprint.get("/v1/tasks/<id>")
def get_task(id):
    jobs = (job for content in store.all() for job in list(content.jobs))
    builds = {job.key: job for job in jobs if job.tag == BUILD}
    if id not in builds:
        raise ConnectError(Problem.NO_TASK, "There is no task with this id.")
    first, seconds = number_of("first", 0, 0), number_of("wait", 0, 0)
    return builds[id].report(first, min(seconds, WAIT_SECONDS))
