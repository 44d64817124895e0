"""Faults of requests, by whatever door: the same fate, and the same error for a careful caller."""

import io
from contextlib import ExitStack

import pytest

from batchsim.backends.fake import FakeBackend, Faults, RequestFault
from batchsim.backends.fake.behaviour.checks import label_of
from batchsim.backends.openai import OpenAIBackend
from batchsim.errors import (
    AuthenticationFailed,
    OutcomeUnknown,
    RateLimited,
    Refused,
    TransferBroken,
    Unavailable,
)
from batchsim.server.serve import running
from batchsim.testing.intercept import intercept
from batchsim.testing.transport import openai_client
from batchsim.wire import App

pytestmark = pytest.mark.sdk

CHAT = "/v1/chat/completions"
LINE = (
    b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", '
    b'"body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "2 + 2?"}]}}\n'
)

READS = ("retrieve_file", "list_files", "read_file", "retrieve_batch", "list_batches")
WRITES = ("upload_file", "create_batch", "cancel_batch", "delete_file")


class Switch:
    """One port and one client for all tests, behind which each puts its own fake."""

    def __init__(self):
        self.app = None

    def handle(self, request):
        return self.app.handle(request)


@pytest.fixture(scope="module")
def switch():
    return Switch()


@pytest.fixture(scope="module")
def at_the_port(switch):
    with running(switch) as address:
        backend = OpenAIBackend(base_url=f"{address}/v1", api_key="sk-x")
        yield backend
        backend.close()


@pytest.fixture(scope="module")
def intercepted(switch):
    import openai

    with intercept(FakeBackend()):
        return OpenAIBackend(openai.OpenAI())


@pytest.fixture(params=["in process", "transport", "intercepted", "port"])
def door(request):
    """How a careful caller reaches a fake: `door(fake)` is a Backend."""
    with ExitStack() as stack:

        def reach(fake):
            match request.param:
                case "in process":
                    return fake
                case "transport":
                    return OpenAIBackend(openai_client(fake))
                case "intercepted":
                    backend = request.getfixturevalue("intercepted")
                    stack.enter_context(intercept(fake))
                    return backend
            request.getfixturevalue("switch").app = App(fake)
            return request.getfixturevalue("at_the_port")

        yield reach


@pytest.fixture
def fake():
    with_results = FakeBackend(seed=1)
    yield with_results
    with_results.close()


class Asking:
    """The nine methods of a backend, each asked about what exists."""

    def __init__(self, fake, backend):
        service = fake.undisturbed
        self.backend = backend
        self.file = service.upload_file(io.BytesIO(LINE), filename="input.jsonl").id
        done = service.create_batch(input_file_id=self.file, endpoint=CHAT)
        fake.clock.sleep(600)
        self.output = service.retrieve_batch(done.id).output_file_id
        self.batch = service.create_batch(input_file_id=self.file, endpoint=CHAT).id

    def ask(self, name):
        backend = self.backend
        match name:
            case "upload_file":
                return backend.upload_file(io.BytesIO(LINE), filename="input.jsonl")
            case "create_batch":
                return backend.create_batch(input_file_id=self.file, endpoint=CHAT)
            case "read_file":
                return b"".join(backend.read_file(self.output))
            case "list_files" | "list_batches":
                return getattr(backend, name)()
            case "retrieve_batch" | "cancel_batch":
                return getattr(backend, name)(self.batch)
        return getattr(backend, name)(self.file)


def unanswered(name):
    return Unavailable if name in READS else OutcomeUnknown


@pytest.mark.parametrize("name", READS + WRITES)
@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (RequestFault("error", status=401), AuthenticationFailed),
        (RequestFault("error", status=403), AuthenticationFailed),
        (RequestFault("error", status=429, retry_after=7), RateLimited),
        (RequestFault("error", status=413, html=True), Refused),
        (RequestFault("error", status=500), unanswered),
        (RequestFault("error", status=502, html=True), unanswered),
        (RequestFault("error", status=503), unanswered),
        (RequestFault("error_after_effect"), unanswered),
        (RequestFault("reset"), unanswered),
        (RequestFault("reply_lost"), unanswered),
        (RequestFault("garbled"), unanswered),
        (RequestFault("truncated"), unanswered),
        (RequestFault("truncated", at_byte=0), unanswered),
    ],
    ids=lambda value: label_of(value) if isinstance(value, RequestFault) else "",
)
def test_a_fault_is_the_same_error_by_every_door(fake, door, name, fault, raised):
    asking = Asking(fake, door(fake))
    fake.set_faults(Faults(requests=(fault,)))
    expected = raised(name) if raised is unanswered else raised
    if fault.fault == "truncated" and name == "read_file":
        expected = TransferBroken
    with pytest.raises(expected) as failure:
        asking.ask(name)
    assert type(failure.value) is expected
    assert getattr(failure.value, "status", None) == (
        fault.status if issubclass(expected, Refused) else None
    )


@pytest.mark.parametrize(
    ("written", "wait"),
    [
        (7, 7.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("99999", 3_600.0),
        ("inf", 3_600.0),
        ("soon", None),
        ("date:90", 90.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        (None, None),
    ],
)
def test_retry_after_of_any_kind_means_the_same_by_every_door(fake, door, written, wait):
    asking = Asking(fake, door(fake))
    fake.set_faults(Faults(requests=(RequestFault("error", status=429, retry_after=written),)))
    with pytest.raises(RateLimited) as failure:
        asking.ask("create_batch")
    assert failure.value.retry_after == wait
    assert (failure.value.type, failure.value.code) == ("requests", "rate_limit_exceeded")


@pytest.mark.parametrize(
    ("fault", "batches"),
    [
        ("error", 2),
        ("reset", 2),
        ("error_after_effect", 3),
        ("reply_lost", 3),
        ("truncated", 3),
        ("garbled", 3),
        ("late", 2),
    ],
)
def test_what_happened_is_the_same_by_every_door(fake, door, fault, batches):
    asking = Asking(fake, door(fake))
    fake.set_faults(Faults(requests=(RequestFault(fault, call="create_batch"),)))
    with pytest.raises(OutcomeUnknown):
        asking.ask("create_batch")
    assert len(asking.backend.list_batches().data) == batches
    fake.clock.sleep(60)
    assert len(asking.backend.list_batches().data) == batches + (fault == "late")


def test_a_duplicated_creation_makes_two_batches_and_names_one(fake, door):
    asking = Asking(fake, door(fake))
    fake.set_faults(Faults(requests=(RequestFault("duplicated", call="create_batch"),)))
    made = asking.ask("create_batch")
    found = [each.id for each in asking.backend.list_batches().data]
    assert (len(found), found.index(made.id)) == (4, 1)


def test_a_service_out_of_reach_is_told_from_a_silent_one_where_that_can_be_seen(fake, door):
    asking = Asking(fake, door(fake))
    fake.set_faults(Faults(requests=(RequestFault("unreachable"),)))
    behind_a_port = "127.0.0.1" in asking.backend.service
    with pytest.raises(OutcomeUnknown if behind_a_port else Unavailable):
        asking.ask("create_batch")


@pytest.mark.parametrize("at", [0, 1, 100, 200])
def test_a_content_ends_at_the_byte(fake, door, at):
    asking = Asking(fake, door(fake))
    whole = asking.ask("read_file")
    fault = RequestFault("truncated", call="read_file", file="output", at_byte=at)
    fake.set_faults(Faults(requests=(fault,)))
    came = bytearray()
    pieces = asking.backend.read_file(asking.output)
    with pytest.raises(TransferBroken, match=f" {at:,} "):
        came.extend(b for piece in pieces for b in piece)
    assert came == whole[: len(came)]
    assert len(came) <= at
