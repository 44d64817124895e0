"""Batches and planned shards in which a test gives only what it is about."""

from array import array
from typing import Any

from batchsim.domain.batches import Batch
from batchsim.domain.lifecycle import Status
from batchsim.runner.journal.shard_entries import Planned


def sample_batch(**given: Any) -> Batch:
    """A batch that was just created."""
    usual = {
        "id": "batch_1",
        "endpoint": "/v1/chat/completions",
        "input_file_id": "file-1",
        "created_at": 0,
        "expires_at": None,
        "status": Status.IN_PROGRESS,
    }
    return Batch(**usual | given)


def sample_planned(shard: int = 1, **given: Any) -> Planned:
    """A planned shard of one line of ten bytes."""
    usual = {
        "endpoint": "/v1/chat/completions",
        "model": "gpt-4o-mini",
        "lines": 1,
        "bytes": 10,
        "tokens": 0,
        "fingerprint": "ff",
        "ranges": array("Q", [shard - 1, 1, 10 * shard - 10, 10]),
    }
    return Planned(shard=shard, **usual | given)
