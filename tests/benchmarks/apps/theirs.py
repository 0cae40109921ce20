"""uWSGI's side of a benchmark: imported in its master before the fork."""

import uwsgi
import work

JOB = work.JOB
HANDLERS = {"sync": work.handle, "note": work.note}

for signum in work.numbers():
    uwsgi.register_signal(signum, JOB["target"], HANDLERS[JOB["handler"]])


def claim() -> None:
    """Take this process's slot of the counters; uWSGI calls it in each process after the fork."""
    work.claim(uwsgi.worker_id() or work.MULES + uwsgi.mule_id())
    if JOB["kind"] == "up" and (last := work.all_up(JOB["workers"], 0)):
        work.report({"start": last - JOB["started"]})


uwsgi.post_fork_hook = claim
