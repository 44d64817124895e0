"""What a list shows and the journal lacks: which batch a shard takes, and which are its twins."""

from __future__ import annotations

import pytest

from batchsim.domain.batches import Batch, RequestCounts
from batchsim.domain.lifecycle import Status
from batchsim.runner.effects.ownership import new_batches
from batchsim.runner.job import fold
from batchsim.runner.job.remote_names import OUR_METADATA
from batchsim.runner.journal.job_entries import Started
from batchsim.runner.journal.shard_entries import (
    BatchGivenUp,
    Created,
    CreateIntended,
    CreateUnknown,
    TwinSeen,
    Uploaded,
    UploadIntended,
)
from tests.sample_batches import sample_planned

URL = "/v1/chat/completions"
OURS = dict(zip(OUR_METADATA, ("1", "run", "job", "1/1", "0", "0"), strict=True))


def listed_batch(name, at, status=Status.VALIDATING, completed=0):
    counts = RequestCounts(total=1, completed=completed)
    options: dict = {"status": status, "request_counts": counts, "metadata": OURS}
    options |= {"id": name, "endpoint": URL, "input_file_id": "file-1", "created_at": at}
    return Batch(expires_at=None, **options)


BEGUN = [
    Started(run="run", service="x", lines=1, bytes=2),
    sample_planned(endpoint=URL, model=None),
    UploadIntended(shard=1, attempt=1, filename="a"),
    Uploaded(shard=1, file_id="file-1"),
    CreateIntended(shard=1, file_id="file-1"),
]
UNKNOWN = [*BEGUN, CreateUnknown(shard=1, reason="")]


def claims(entries, *listed):
    """What is claimed, as the names of the entries and of their batches."""
    state = fold((float(at), entry) for at, entry in enumerate(entries))
    return [
        (type(entry).__name__, entry.batch.id)
        for step in new_batches(state, listed)
        for entry in step
    ]


def test_a_shard_without_a_batch_takes_the_oldest_and_every_other_is_a_twin():
    listed = listed_batch("c", 3), listed_batch("a", 1), listed_batch("b", 2)
    assert claims(UNKNOWN, *listed) == [("Created", "a"), ("TwinSeen", "b"), ("TwinSeen", "c")]


def test_an_older_one_takes_the_place_of_a_live_batch_and_every_other_is_a_twin():
    live = [*BEGUN, Created(shard=1, batch=listed_batch("own", 5))]
    listed = (
        listed_batch("d", 9),
        listed_batch("b", 2),
        listed_batch("own", 5),
        listed_batch("a", 1),
    )
    assert claims(live, *listed) == [
        ("Created", "a"),
        ("TwinSeen", "own"),
        ("TwinSeen", "b"),
        ("TwinSeen", "d"),
    ]


def test_younger_ones_are_twins_all_of_them():
    live = [*BEGUN, Created(shard=1, batch=listed_batch("own", 1))]
    assert claims(live, listed_batch("c", 3), listed_batch("b", 2)) == [
        ("TwinSeen", "b"),
        ("TwinSeen", "c"),
    ]


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
def test_one_that_ended_without_a_line_yields_to_any_other(status):
    void = listed_batch("a", 1, status)
    assert claims(UNKNOWN, void, listed_batch("b", 2)) == [("Created", "b"), ("TwinSeen", "a")]
    live = [*BEGUN, Created(shard=1, batch=listed_batch("own", 5))]
    assert claims(live, void) == [("TwinSeen", "a")]


def test_one_that_has_results_does_not_yield():
    partly = listed_batch("a", 1, Status.CANCELLED, completed=1)
    assert claims(UNKNOWN, partly, listed_batch("b", 2)) == [("Created", "a"), ("TwinSeen", "b")]


def test_a_twin_that_we_cancelled_is_not_taken_for_the_next_batch():
    """It was not paid for, and the shard whose own batch failed in passing asks for another."""
    cancelled = listed_batch("twin", 1, Status.CANCELLED)
    entries = [
        *BEGUN,
        Created(shard=1, batch=listed_batch("own", 1)),
        TwinSeen(shard=1, batch=listed_batch("twin", 2)),
        TwinSeen(shard=1, batch=cancelled),
        BatchGivenUp(shard=1, reason="the queue is full"),
    ]
    assert claims(entries, cancelled, listed_batch("own", 1, Status.FAILED)) == []


def test_one_that_a_person_cancelled_is_taken_as_it_was_meant():
    """Nobody here asked for that: its lines are cancelled, and not sent again by themselves."""
    assert claims(UNKNOWN, listed_batch("a", 1, Status.CANCELLED)) == [("Created", "a")]
