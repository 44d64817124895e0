"""The law of time: one jump equals any sequence of smaller ones, to the byte."""

import io
import json

from hypothesis import given
from hypothesis import strategies as st

from batchsim.backends.fake import FakeBackend, Faults, Pacing
from batchsim.clock import VirtualClock
from batchsim.domain.limits import Limits

DAY = 86_400
CHAT = "/v1/chat/completions"


def input_file(lines):
    return "".join(
        json.dumps(
            {
                "custom_id": f"line {n}",
                "method": "POST",
                "url": CHAT,
                "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]},
            }
        )
        + "\n"
        for n in range(lines)
    ).encode()


def answer(line, occasion):
    status = 200 if occasion.entropy[0] % 3 else 500
    return status, {"at": occasion.at, "chance": occasion.entropy.hex()}


def history(pacing, seed, sizes, cancel_after, steps):
    """What a user finds at the end who starts batches, cancels the last, and looks at `steps`."""
    clock = VirtualClock(1_700_000_000.37)
    backend = FakeBackend(
        seed=seed,
        clock=clock,
        pacing=pacing,
        responder=answer,
        limits=Limits(enqueued_tokens={"gpt-4o-mini": 150}),
        faults=Faults(lost_lines=0.1, result_ids_late_by=5),
    )
    batches = []
    for size in sizes:
        file = backend.upload_file(io.BytesIO(input_file(size)), filename="a.jsonl")
        batches.append(backend.create_batch(input_file_id=file.id, endpoint=CHAT))
        clock.sleep(7)
    start = clock.now()

    def look(moments):
        for moment in moments:
            clock.advance_to(start + moment)
            backend.list_batches()

    look(sorted(step for step in steps if step < cancel_after))
    clock.advance_to(start + cancel_after)
    if not backend.retrieve_batch(batches[-1].id).status.is_terminal:
        backend.cancel_batch(batches[-1].id)
    look(sorted(step for step in steps if step > cancel_after))
    clock.advance_to(start + 3 * DAY)
    found = [batch.to_object() for batch in backend.list_batches().data]
    files = backend.list_files().data
    contents = [b"".join(backend.read_file(file.id)) for file in files]
    backend.close()
    return found, files, contents


durations = st.sampled_from([0.0, 0.5, 1.0, 62.0, 600.0, 50_000.0, 100_000.0])
pacings = st.builds(
    Pacing,
    validating=durations,
    running=durations,
    running_per_line=st.sampled_from([0.0, 0.3, 500.0]),
    finalizing=durations,
    cancelling=durations,
    spread=st.sampled_from([0.0, 0.1]),
)
moments = st.floats(0, 3 * DAY, allow_nan=False) | st.integers(0, 200).map(float)


@given(
    pacing=pacings,
    seed=st.integers(0, 2**64),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    cancel_after=moments,
    steps=st.lists(moments, max_size=20),
)
def test_one_jump_equals_many(pacing, seed, sizes, cancel_after, steps):
    jumped = history(pacing, seed, sizes, cancel_after, [])
    assert history(pacing, seed, sizes, cancel_after, steps) == jumped
