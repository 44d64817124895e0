"""The journal: what a job intended and what came of it, on the disk, in order.

Entries go in one by one and come out again in the same order: those of the job in `job_entries`,
those of one shard in `shard_entries`. What is written is JSON in SQLite (`codec`, `store`), and
stays readable for later versions.
"""

from batchsim.runner.journal.anomalies import Anomaly, AnomalyKind
from batchsim.runner.journal.store import Journal, JournalReader

__all__ = ["Anomaly", "AnomalyKind", "Journal", "JournalReader"]
