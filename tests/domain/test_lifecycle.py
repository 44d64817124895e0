"""The table of statuses: complete, without a way back, and the source of every timestamp."""

import itertools

import pytest

from batchsim.domain.batches import Batch
from batchsim.domain.lifecycle import (
    INITIAL,
    STAMPS,
    TRANSITIONS,
    Event,
    Status,
    follow,
)
from batchsim.errors import IllegalTransition
from tests.lifecycle_graph import diagram, reachable

STEPS = [
    (status, event, target) for status, row in TRANSITIONS.items() for event, target in row.items()
]
FORBIDDEN = [
    (status, event)
    for status, event in itertools.product(Status, Event)
    if event not in TRANSITIONS[status]
]


def a_batch(status: Status) -> Batch:
    return Batch(
        id="batch_1",
        endpoint="/v1/responses",
        input_file_id="file-1",
        created_at=1,
        expires_at=86_401,
        status=status,
    )


def test_every_status_has_a_row_and_a_stamp_of_its_own():
    assert set(TRANSITIONS) == set(STAMPS) == set(Status)
    assert len(set(STAMPS.values())) == len(Status)


def test_every_status_can_be_reached_and_every_event_can_happen():
    assert reachable(INITIAL) == frozenset(Status)
    assert {event for _, event, _ in STEPS} == set(Event)


def test_the_terminal_statuses_are_the_four_of_the_api_reference():
    terminal = {status for status in Status if status.is_terminal}
    assert terminal == {Status.COMPLETED, Status.FAILED, Status.EXPIRED, Status.CANCELLED}


@pytest.mark.parametrize("status", Status)
def test_no_status_comes_back(status):
    after = {target for _, target in TRANSITIONS[status].items()}
    assert all(status not in reachable(target) for target in after)
    assert reachable(status) == {status}.union(*(reachable(target) for target in after))


@pytest.mark.parametrize(("status", "event", "target"), STEPS)
def test_a_step_stamps_the_status_that_it_enters_and_nothing_else(status, event, target):
    before = a_batch(status)
    after = before.after(event, 77)
    assert (after.status, getattr(after, STAMPS[target])) == (target, 77)
    changed = {name for name in STAMPS.values() if getattr(before, name) != getattr(after, name)}
    assert changed == {STAMPS[target]}


@pytest.mark.parametrize(("status", "event"), FORBIDDEN)
def test_what_the_table_does_not_list_is_illegal(status, event):
    with pytest.raises(IllegalTransition, match=f"a batch that is {status} cannot meet '{event}'"):
        follow(status, event)


def test_a_step_may_change_other_fields_too():
    after = a_batch(Status.IN_PROGRESS).after(Event.EXECUTED, 5, model="o3")
    assert (after.finalizing_at, after.model) == (5, "o3")


def test_the_diagram_shows_each_step_once():
    lines = diagram().splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> validating"]
    for status, event, target in STEPS:
        assert lines.count(f"    {status} --> {target}: {event}") == 1
    assert sum(line.endswith("--> [*]") for line in lines) == 4
    assert len(lines) == 2 + len(STEPS) + 4
