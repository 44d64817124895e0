"""Progress: values that say how far a job is, without a word on how they look.

In: the job's state (`runner.job`), and the batches that the account had before. Out: a Progress
after every step of a run, with a Message about the latest of them; a JobSummary of all there is to
show, forecast and money included (`job_summary`); and a Report of a job that has ended.
"""

from batchsim.runner.progress.messages import Message
from batchsim.runner.progress.report import Report
from batchsim.runner.progress.snapshot import Progress, ShardProgress

__all__ = ["Message", "Progress", "Report", "ShardProgress"]
