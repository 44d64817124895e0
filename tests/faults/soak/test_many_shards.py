"""At most one look a second in all, however many batches are live: by the runner, then by its
rules.

The job that is really run is small; 2,000 shards take a minute of CPU: python
tests/faults/soak/many_shards.py.
Its rules are applied to 2,000 live shards, with a service that is nothing but entries.
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from batchsim.domain.limits import DAY, HOUR, Limits
from batchsim.runner.job import JobState, Session
from batchsim.runner.journal import job_entries
from batchsim.runner.journal import shard_entries as of_shard
from batchsim.runner.policy import Policy, Polling
from batchsim.runner.schedule import agenda as agendas
from batchsim.runner.schedule.actions import Poll, Survey, Wait
from batchsim.runner.schedule.agenda import Agenda
from batchsim.runner.schedule.decide import decide
from tests.campaigns import sized
from tests.faults.soak.many_shards import run_job
from tests.sample_batches import sample_batch, sample_planned

SHARDS, HOURS, PAGE = 2_000, sized(full=10, sample=2), 100


@pytest.mark.slow
@pytest.mark.parametrize("survey_from", [5, 1_000])
def test_a_job_of_many_live_batches_looks_once_a_second_at_most(tmp_path, monkeypatch, survey_from):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    looked = run_job(tmp_path, 120, 1.0, polling=Polling(survey_from=survey_from))
    looked.check(120)
    assert looked.seconds > HOUR
    assert len(looked.looks) > 120, "it looked"
    is_single = survey_from > 120
    assert (len(looked.looks) > 2_500) == is_single, "one by one there is more to look at than time"


class Service:
    """2,000 live batches; what a look at them records, and how much was worked out for it."""

    def __init__(self, policy: Policy) -> None:
        self.state, self.now = JobState(), 0.0
        self.agenda = Agenda(self.state, Session(), policy, Limits())
        self.batches = {
            number: sample_batch(id=f"batch_{number}", expires_at=int(DAY))
            for number in range(1, SHARDS + 1)
        }
        self.looks: list[float] = []
        self.shown = 0
        self.record(job_entries.Reconciled())
        for number, batch in self.batches.items():
            self.record(sample_planned(number), of_shard.Created(shard=number, batch=batch))

    def record(self, *happened: job_entries.Entry) -> None:
        for entry in happened:
            self.agenda.apply(self.now, entry)

    def step(self) -> None:
        """What the loop does next: it waits, or it looks."""
        (action, *_) = decide(self.agenda, self.now)
        if isinstance(action, Wait):
            assert action.until > self.now
            self.now = action.until
            return
        self.looks.append(self.now)
        if isinstance(action, Poll):
            self.shown += 1
            self.record(of_shard.Checked(shard=action.shard, batch=self.batches[action.shard]))
        else:
            assert isinstance(action, Survey)
            self.record(*self.page(int(action.after or 0)))

    def page(self, after: int):
        numbers = range(after + 1, min(after + PAGE, SHARDS) + 1)
        self.shown += len(numbers)
        for number in numbers:
            yield of_shard.Checked(shard=number, batch=self.batches[number])
        cursor = str(numbers[-1]) if numbers[-1] < SHARDS else None
        yield job_entries.Surveyed(cursor=cursor, foreign_lines={})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "least"),
    [
        pytest.param(
            Policy(polling=Polling(survey_from=SHARDS + 1)), 3_590 * HOURS, id="one by one"
        ),
        pytest.param(
            Policy(polling=Polling(slowest=1_800.0)), 2 * HOURS * SHARDS // PAGE, id="by the list"
        ),
    ],
)
def test_2000_live_shards_are_looked_at_once_a_second_at_most_for_hours(monkeypatch, policy, least):
    worked_out = [0]
    standing = agendas.next_steps

    def counted(*arguments, **options):
        worked_out[0] += 1
        return standing(*arguments, **options)

    monkeypatch.setattr(agendas, "next_steps", counted)
    service = Service(policy)
    while service.now < HOURS * HOUR:
        service.step()
    assert min(later - earlier for earlier, later in pairwise(service.looks)) >= 1.0
    assert len(service.looks) >= least
    looked = [shard.checked_at for shard in service.state.shards.values()]
    assert min(looked) > service.now - max(SHARDS + 60, 2 * policy.polling.slowest), (
        "none is forgotten"
    )
    assert worked_out[0] <= service.shown + SHARDS + PAGE, "what was not seen was not worked on"
