"""A batch whose create got no answer, and that turns up when its job has ended without it."""

import json
from pathlib import Path

import pytest

from batchsim.backends.fake import Faults, RequestFault
from batchsim.domain.limits import DAY
from tests.repository import DEMO_INPUT


@pytest.fixture
def end_of_lost_batch(batchsim, real):
    """The end of a job whose only batch ran, and was never found."""
    lost = RequestFault("reply_lost", call="create_batch", nth=1)
    real.set_faults(Faults(requests=(lost,), stale_list_for=2 * DAY))
    outcome = batchsim(
        "run", "--real", str(DEMO_INPUT), "-o", "results.jsonl", "--finish-sync", "--deadline", "6h"
    )
    assert outcome.code == 1
    return outcome


def only_input_file(real):
    (file,) = (each for each in real.list_files().data if each.purpose == "batch")
    return file.id


def test_its_end_and_its_status_say_how_to_have_the_results(
    batchsim, real, end_of_lost_batch
) -> None:
    hint = (
        "its results are had by `batchsim adopt --real --alone --input-file-id "
        f"{only_input_file(real)} -o late.jsonl`"
    )
    told = batchsim("status", "results.jsonl")
    value = json.loads(batchsim("status", "results.jsonl", "--json").stdout)
    assert hint in end_of_lost_batch.stderr
    assert hint in told.stderr
    assert value["unfound"] == {"1": only_input_file(real)}


def test_what_is_told_gives_them(batchsim, real, end_of_lost_batch) -> None:
    file = only_input_file(real)
    command = ("adopt", "--real", "--input-file-id", file, "-o", "late.jsonl")
    assert "there is no such batch" in batchsim(*command, "--alone").stderr
    real.clock.sleep(3 * DAY)
    refused = batchsim(*command)
    assert refused.code == 2
    assert "say so with --alone" in refused.stderr
    assert batchsim(*command, "--alone").code == 0
    ids = [json.loads(line)["custom_id"] for line in Path("late.jsonl").read_bytes().splitlines()]
    assert ids == ["request-1", "request-2", "request-3"]
    assert len(real.list_batches().data) == 1, "nothing was sent again"


def test_its_files_are_not_pruned(batchsim, real, end_of_lost_batch) -> None:
    before = len(real.list_files().data)
    assert batchsim("files", "prune", "--yes").stdout == ""
    real.clock.sleep(3 * DAY)
    assert batchsim("files", "prune", "--yes").stdout == ""
    assert len(real.list_files().data) == before


def test_a_job_that_found_everything_says_nothing_of_it(batchsim, real) -> None:
    outcome = batchsim("run", "--real", str(DEMO_INPUT), "-o", "results.jsonl")
    assert outcome.code == 0
    assert "may exist" not in outcome.stderr + batchsim("status", "results.jsonl").stderr
    assert json.loads(batchsim("status", "--json").stdout)["unfound"] == {}
