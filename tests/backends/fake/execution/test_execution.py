"""Answers that are made while an input is validated are those that would be made
when they are due.
"""

import pytest

from batchsim.backends.fake import Faults, Pacing
from batchsim.backends.fake.ids import Draws, request_ids
from batchsim.responders.simulated import simulated
from batchsim.stores.disk import DiskStore

STEADY = Pacing(
    validating=60, running=100, running_per_line=0, finalizing=10, finalizing_per_line=0, spread=0
)


@pytest.fixture(params=["every seventh runs badly", "all are plain"])
def mixed_input(request, line, jsonl):
    """300 lines, so that some are run together."""
    bad = 9 if "badly" in request.param else 0
    return jsonl([line(f"line-{n}", temperature=bad if n % 7 == 0 else 0) for n in range(300)])


def batch_and_files(someone, batch) -> tuple[object, bytes, bytes]:
    return (
        batch.to_object(),
        someone.read(batch.output_file_id),
        someone.read(batch.error_file_id),
    )


def history_of_batch(user, content: bytes, course: str, **options) -> list[object]:
    someone = user(seed=3, **options)
    batch = someone.start(content)
    seen = []
    for step in course.split():
        if step == "cancel":
            someone.backend.cancel_batch(batch.id)
        else:
            batch = someone.look(batch, after=float(step))
            seen.append(batch.to_object())
    return [*seen, *batch_and_files(someone, batch)]


@pytest.mark.parametrize(
    "course",
    [
        "172800",
        "61 30 0 29 172800",
        "90 cancel 10 172800",
        "cancel 172800",
        "161 cancel 172800",  # while the results are written
        "1 59.5 0.5 1 172800",
    ],
)
@pytest.mark.parametrize(
    "options",
    [
        {"pacing": STEADY},
        {"pacing": STEADY, "order": "input"},
        {"pacing": STEADY, "faults": Faults(quota_after=40)},
        {"pacing": STEADY, "faults": Faults(lost_lines=0.2, doubled_lines=0.2)},
        {
            "pacing": Pacing(running=80_000, running_per_line=100)
        },  # the window closes before the end
    ],
    ids=["shuffled", "input", "quota", "spoilt", "expired"],
)
def test_nobody_can_tell(user, mixed_input, course, options):
    early = history_of_batch(user, mixed_input, course, **options)
    assert early == history_of_batch(user, mixed_input, course, responder=simulated, **options)


def test_nor_after_a_restart(user, mixed_input, tmp_path):
    ends = []
    for name, responder in (("early", None), ("due", simulated)):
        store = DiskStore(tmp_path / name)
        first = user(pacing=STEADY, store=store, responder=responder)
        batch = first.look(first.start(mixed_input), after=90)
        first.backend.close()
        second = user(pacing=STEADY, store=DiskStore(tmp_path / name), responder=responder)
        ends.append(batch_and_files(second, second.look(batch, after=86_400)))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\n \n\n"])
def test_blank_lines_at_the_end_are_no_lines(user, chats, end):
    content = chats(5)[:-1] + end
    early = history_of_batch(user, content, "172800")
    assert early[-2].count(b"\n") == 5
    assert early == history_of_batch(user, content, "172800", responder=simulated)


def test_a_draw_is_that_of_its_line_whoever_asks_and_in_what_order():
    draws = Draws(1).per_line("answer", 0, size=16)
    numbers = [0, 1, 31, 32, 33, 64, 1_000]
    drawn = {number: draws(number) for number in numbers}
    again = Draws(1).per_line("answer", 0, size=16)
    assert [again(number) for number in reversed(numbers)] == [*reversed(drawn.values())]
    assert len({*drawn.values()}) == len(numbers)
    for first in (0, 1, 31):
        several = again(first, 70)
        for number in (each for each in numbers if first <= each < first + 70):
            assert several[16 * (number - first) :][:16] == drawn[number]
    assert Draws(1).per_line("answer", 1, size=16)(0) != drawn[0]
    assert again.written(request_ids)(33) == request_ids(drawn[33])
