"""The names of a job at the service: of input files, in the metadata of batches, of requests.

By these names alone everything that a job makes can be told from everything else at the service,
and led back to its shard. A job that lost its journal is found again by them.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping

from batchsim.domain.batches import Batch
from batchsim.runner.journal.job_entries import Started
from batchsim.runner.journal.shard_entries import Planned

NAMING = "1"
"""The version of these names; it is `bs_v` in the metadata."""

OUR_METADATA = ("bs_v", "bs_run", "bs_job", "bs_shard", "bs_round", "bs_try")
"""The metadata keys that name a batch as ours; the other pairs are the user's."""

_SHARD = re.compile(r"([1-9]\d{0,8})/\d+")
_FILE = re.compile(
    r"bs-(?P<job>[0-9a-f]{12})-r\d+-s\d+-t\d+-(?P<content>[0-9a-f]{16})-(?P<site>[0-9a-f]{8})\.jsonl"
)


def new_run() -> str:
    """Make the name of a run: 128 random bits in hex."""
    return secrets.token_hex(16)


def job_of(run: str, service: str, account: str, plans: Iterable[Planned]) -> str:
    """Return the hash of the run, of its service and account, and of the lines that it sends."""
    digest = hashlib.sha256()
    for text in (run, service, account):
        digest.update(f"{text}\n".encode())
    for plan in plans:
        digest.update(f"{plan.endpoint}\n{plan.fingerprint}\n".encode())
    return digest.hexdigest()


def filename_of(started: Started, plan: Planned, attempt: int, site: str) -> str:
    """Return an input file's name, never used before; `site` is the runner's JobDirectory.site."""
    return f"{_attempt(started, plan, attempt)}-{plan.fingerprint[:16]}-{site}.jsonl"


def site_of(filename: str, started: Started) -> str | None:
    """Return the site of the runner that uploaded the file; None when the file is not the job's."""
    found = _FILE.fullmatch(filename)
    return found["site"] if found and found["job"] == _job(started)[:12] else None


def holds(filename: str, plan: Planned) -> bool:
    found = _FILE.fullmatch(filename)
    return found is not None and plan.fingerprint.startswith(found["content"])


def upload_id_of(started: Started, plan: Planned, attempt: int) -> str:
    return f"{_attempt(started, plan, attempt)}-file"


def request_id_of(started: Started, plan: Planned, attempt: int, sent: int) -> str:
    """Return the name of one request for a batch; `sent` counts those of the shard from 1."""
    return f"{_attempt(started, plan, attempt)}-n{sent}"


def metadata_of(started: Started, plan: Planned, attempt: int, shards: int) -> dict[str, str]:
    """Return the metadata of a shard's batch: the user's own, and the keys that name it as ours."""
    shard, round = f"{plan.shard}/{shards}", str(plan.round)
    ours = NAMING, started.run, _job(started), shard, round, str(attempt - 1)
    return {**started.metadata, **dict(zip(OUR_METADATA, ours, strict=True))}


def is_of_run(batch: Batch, started: Started) -> bool:
    return (batch.metadata or {}).get("bs_run") == started.run


def shard_of(metadata: Mapping[str, str] | None) -> int | None:
    found = _SHARD.fullmatch(str((metadata or {}).get("bs_shard", "")))
    return int(found[1]) if found else None


def attempt_of(metadata: Mapping[str, str] | None) -> int:
    """Return the attempt, from 1, that the metadata name; 0 when they name none."""
    tries = str((metadata or {}).get("bs_try", ""))
    return int(tries) + 1 if tries.isdecimal() and len(tries) < 9 else 0


def _attempt(started: Started, plan: Planned, attempt: int) -> str:
    return f"bs-{_job(started)[:12]}-r{plan.round}-s{plan.shard:04}-t{attempt - 1}"


def _job(started: Started) -> str:
    return started.job or started.run
