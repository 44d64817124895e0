"""Cases 123 to 125 and 131: what a service may answer about a batch, as a whole job sees it."""

from __future__ import annotations

import json

import pytest

from batchsim.backends.fake import FakeBackend, Pacing
from batchsim.backends.openai import OpenAIBackend
from batchsim.domain.limits import DAY
from batchsim.runner.policy import ServiceTimes
from batchsim.runner.run import Policy, run
from batchsim.testing.transport import openai_client
from batchsim.wire import App, Response

pytestmark = pytest.mark.sdk

NAMES = ["id-0", "id-1", "id-2"]
SLOW = Pacing(validating=60, running=600, running_per_line=0, spread=0)


class OddService(App):
    """The API, with every batch object in its answers changed by `change`, given
    how often before.
    """

    def __init__(self, backend, change):
        super().__init__(backend)
        self.change, self.looks = change, 0

    def handle(self, request):
        answer = super().handle(request)
        if "/batches" not in request.path or answer.status != 200:
            return answer
        value = json.loads(b"".join(answer.body))
        for batch in value["data"] if value["object"] == "list" else [value]:
            self.change(batch, self.looks)
        self.looks += request.method == "GET" and request.path.count("/") > 2
        body = json.dumps(value).encode()
        return Response(answer.status, answer.headers, (body,))


def always_with(**fields):
    return lambda batch, looks: batch.update(fields)


def at_first_with(**fields):
    return lambda batch, looks: batch.update(fields) if looks < 3 else None


def expires_before_creation(batch, looks):
    batch["expires_at"] = batch["created_at"] - DAY


def created_in_the_future(batch, looks):
    batch["created_at"] += 30 * DAY


def status_goes_backwards(batch, looks):
    if looks % 2 and batch["status"] == "in_progress":
        batch["status"] = "validating"


def counts_shrink(batch, looks):
    if batch["status"] == "in_progress":
        batch["request_counts"]["completed"] = max(0, 2 - looks)


def optional_fields_missing(batch, looks):
    for key in ("request_counts", "errors", "model", "usage", "completion_window", "expires_at"):
        batch.pop(key, None)


ODD = {
    "123 status unknown": at_first_with(status="pondering"),
    "123 status backwards": status_goes_backwards,
    "124 unknown fields": always_with(novel={"a": [1]}, x=None, **{"y z": 1}),
    "124 objects that are null": always_with(request_counts=None, errors=None, usage=None),
    "124 fields absent": optional_fields_missing,
    "124 counts negative": always_with(request_counts={"total": -3, "completed": -1, "failed": -2}),
    "124 counts huge": always_with(request_counts={"total": 10**30, "completed": 0, "failed": 0}),
    "124 counts as text": always_with(
        request_counts={"total": "3", "completed": None, "failed": []}
    ),
    "124 counts shrink": counts_shrink,
    "125 created in the future": created_in_the_future,
    "125 expired and in progress": expires_before_creation,
    "131 another model": always_with(model="gpt-7-unheard-of"),
    "131 model and usage odd": always_with(
        model=7, usage={"input_tokens": -5, "output_tokens": "many"}
    ),
    "131 usage a list": always_with(usage=[1, 2]),
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
def test_a_job_goes_well_whatever_is_odd_about_its_batch(build, change):
    fake = FakeBackend(seed=1, pacing=SLOW)
    source = build.input([build.chat(name) for name in NAMES])
    with openai_client(OddService(fake, change)) as client:
        backend = OpenAIBackend(client, clock=fake.clock)
        report = run(
            source,
            backend,
            results=build.results,
            policy=Policy(service_times=ServiceTimes(late_files=60)),
        )
    assert report.all_ok
    assert build.ids() == NAMES
    assert len(build.batches_of(fake)) == 1


UNUSABLE = {
    "no id": lambda batch, looks: batch.pop("id"),
    "id a number": always_with(id=7),
    "id null": always_with(id=None),
    "status null": always_with(status=None),
    "status absent": lambda batch, looks: batch.pop("status"),
    "another object": always_with(object="file"),
}


@pytest.mark.parametrize("change", UNUSABLE.values(), ids=UNUSABLE)
def test_case_123_an_answer_to_a_create_that_is_no_batch_leaves_one_batch(build, change):
    """What is unusable comes in answer to the create only; the batch is found in the list."""

    def first(batch, looks):
        if not spoilt and fake.list_batches().data:
            spoilt.append(change(batch, looks))

    fake, spoilt = FakeBackend(seed=1, pacing="quick"), []
    source = build.input([build.chat(name) for name in NAMES])
    with openai_client(OddService(fake, first)) as client:
        backend = OpenAIBackend(client, clock=fake.clock)
        assert run(source, backend, results=build.results).all_ok
    assert spoilt
    assert len(build.batches_of(fake)) == 1


def test_case_123_an_id_with_slashes_is_never_a_path(build):
    """Neither here, where no file is named after it, nor at the service."""
    asked = []

    class Renaming(OddService):
        def handle(self, request):
            asked.append(request.path)
            back = request.path.replace("..%2F..%2F", "")
            return super().handle(
                type(request)(request.method, back, request.query, request.headers, request.body)
            )

    def rename(batch, looks):
        batch["id"] = "../../" + batch["id"]

    fake = FakeBackend(seed=1, pacing=SLOW)
    source = build.input([build.chat(name) for name in NAMES])
    before = {path.name for path in build.folder.iterdir()}
    with openai_client(Renaming(fake, rename)) as client:
        assert run(source, OpenAIBackend(client, clock=fake.clock), results=build.results).all_ok
    after = {path.name for path in build.folder.iterdir()}
    assert after - before == {build.results.name, build.job.name}
    assert any(path.startswith("/v1/batches/..%2F..%2Fbatch_") for path in asked), asked
