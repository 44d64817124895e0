"""Whole jobs on services in the shapes of others; their addresses, keys and limits."""

import dataclasses
import io

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.backends.openai import OpenAIBackend
from batchsim.backends.openai.providers import PROVIDERS, Provider, provider_of
from batchsim.domain.lifecycle import Status
from batchsim.errors import AuthenticationFailed, OutcomeUnknown, Refused, Unavailable, UsageError
from batchsim.library.requests import Request
from batchsim.runner.policy import Policy
from batchsim.runner.run import run
from batchsim.testing.transport import openai_client
from tests.backends.openai.service_shapes import SHAPES, Azure, reply

pytestmark = pytest.mark.sdk

KEY = "key-for-one-service-only"


@pytest.fixture(params=["httpx", "httpx2"])
def served_in_shape(request):
    """`served_in_shape(name, fake)` -> an OpenAIBackend in front of the fake in that shape, and the
    shape.
    """
    library = pytest.importorskip(request.param)
    clients = []

    def build(name, fake=None, provider=None, **options):
        fake = fake or FakeBackend(seed=1, supports=lambda _: True)
        shape = SHAPES[name](fake)
        headers = {"api-key": KEY} if PROVIDERS[name].key_header else None
        try:
            client = openai_client(shape, library=library, default_headers=headers, **options)
        except TypeError:
            pytest.skip(f"this release of openai does not take clients of {library.__name__}")
        clients.append(client)
        return OpenAIBackend(client, clock=fake.clock, provider=provider or name), shape

    yield build
    for client in clients:
        client.close()


def chat(n):
    return Request.chat(f"question {n}", model="llama-or-a-deployment", custom_id=f"q-{n}")


def run_twelve_lines(backend, tmp_path, **options):
    lines = [chat(n).to_line() for n in range(12)]
    return run(lines, backend, results=tmp_path / "r.jsonl", **options)


@pytest.mark.parametrize("name", SHAPES)
def test_a_job_goes_well_in_every_shape(served_in_shape, tmp_path, name):
    backend, _ = served_in_shape(name)
    report = run_twelve_lines(backend, tmp_path, supports=lambda _: True)
    assert (report.lines, report.ok) == (12, 12)
    assert report.quarantined == 0
    assert not report.differences


@pytest.mark.parametrize("name", SHAPES)
def test_a_job_with_failures_is_told_in_every_shape(served_in_shape, tmp_path, name):
    answers = {
        "q-3": (400, {"error": {"message": "no"}}),
        "q-5": (500, {"error": {"message": "?"}}),
    }
    fake = FakeBackend(seed=1, supports=lambda _: True, responder=answers)
    backend, _ = served_in_shape(name, fake)
    report = run_twelve_lines(backend, tmp_path, supports=lambda _: True, policy=Policy(retries=0))
    assert (report.ok, report.failed) == (10, 2)
    assert not report.differences


@pytest.mark.parametrize("name", SHAPES)
def test_all_statuses_are_understood_in_every_shape(served_in_shape, name):
    backend, _ = served_in_shape(name)
    fake = FakeBackend(seed=1)
    file = backend.upload_file(open_lines(), filename="a.jsonl")
    batch = backend.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions")
    seen = [batch]
    while not seen[-1].status.is_terminal:
        backend.clock.sleep(5)
        seen.append(backend.retrieve_batch(batch.id))
    assert not {each.unknown_status for each in seen} - {None}
    assert {Status.VALIDATING, Status.IN_PROGRESS, Status.COMPLETED} <= {
        each.status for each in seen
    }
    last = seen[-1]
    assert last.error_file_id is None or name == "azure"
    assert last.completed_at is not None
    assert last.created_at <= last.completed_at < last.created_at + 86_400
    assert last.cancelled_at is None
    assert [each.id for each in backend.list_batches().data] == [batch.id]
    cancelled = backend.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions")
    stopping = {Status.CANCELLED if name == "together" else Status.CANCELLING}  # it has one word
    assert {backend.cancel_batch(cancelled.id).status} == stopping
    fake.close()


def open_lines():
    return io.BytesIO(b"".join(chat(n).to_line() for n in range(3)))


def test_azures_files_are_waited_for(served_in_shape):
    backend, shape = served_in_shape("azure")
    file = backend.upload_file(open_lines(), filename="a.jsonl")
    assert file.status == "pending"
    began = backend.clock.now()
    backend.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions")
    assert backend.clock.now() == began + 5 * (Azure.LOOKS - 1)
    creations = [
        each for each, _ in shape.asked if each.method == "POST" and "batches" in each.path
    ]
    assert len(creations) == 1


def test_a_file_that_stays_pending_makes_no_batch(served_in_shape, monkeypatch):
    monkeypatch.setattr(Azure, "LOOKS", 10_000)
    backend, shape = served_in_shape("azure")
    file = backend.upload_file(open_lines(), filename="a.jsonl")
    with pytest.raises(Unavailable, match="still pending; no batch was made"):
        backend.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions")
    assert not [each for each, _ in shape.asked if each.method == "POST" and "batches" in each.path]


def test_a_file_that_cannot_be_used_makes_no_batch(served_in_shape, monkeypatch):
    monkeypatch.setattr(Azure, "file", lambda _, file: {**file, "status": "error"})
    backend, _ = served_in_shape("azure")
    file = backend.upload_file(open_lines(), filename="a.jsonl")
    with pytest.raises(Refused, match="could not use the file"):
        backend.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions")


def backend_answering(shape, method, part, answer):
    """Let the shape answer requests of that method, with `part` in their path, by `answer`."""
    usual = shape.answer

    def respond(request, body):
        if request.method == method and part in request.path:
            return answer
        return usual(request, body)

    shape.answer = respond


def test_togethers_content_comes_back_whole(served_in_shape):
    backend, _ = served_in_shape("together")
    content = open_lines().getvalue()
    stream = io.BytesIO(b"skipped" + content)
    stream.seek(7)
    file = backend.upload_file(stream, filename="a.jsonl")
    assert b"".join(backend.read_file(file.id)) == content
    assert (file.filename, file.bytes) == ("a.jsonl", len(content))


def test_a_content_that_together_has_is_not_brought_again(served_in_shape):
    backend, shape = served_in_shape("together")
    first = backend.upload_file(open_lines(), filename="a.jsonl")
    backend_answering(shape, "POST", "/v1/files", reply({"file_id": first.id}, status=409))
    usual = shape.answer
    shape.answer = lambda request, body: (
        reply(backend.retrieve_file(first.id).to_object())
        if request.path.endswith("/preprocess")
        else usual(request, body)
    )
    puts = len([each for each, _ in shape.asked if each.method == "PUT"])
    assert backend.upload_file(open_lines(), filename="a.jsonl").id == first.id
    assert len([each for each, _ in shape.asked if each.method == "PUT"]) == puts


@pytest.mark.parametrize(
    ("method", "part", "answer"),
    [
        ("POST", "/v1/files", reply({}, status=302)),
        ("POST", "/v1/files", reply({}, status=500)),
        ("PUT", "/put/", reply({}, status=503)),
        ("PUT", "/put/", reply({}, (("location", "http://other.invalid/"),), status=307)),
        ("POST", "/preprocess", reply({}, status=502)),
    ],
    ids=["no place", "no announcement", "no storage", "another place", "no preparing"],
)
def test_an_upload_that_breaks_off_is_of_unknown_outcome(served_in_shape, method, part, answer):
    backend, shape = served_in_shape("together")
    backend_answering(shape, method, part, answer)
    with pytest.raises(OutcomeUnknown):
        backend.upload_file(open_lines(), filename="a.jsonl")


def test_a_content_does_not_leave_an_encrypted_service_in_the_open(served_in_shape):
    backend, shape = served_in_shape("together", base_url="https://batchsim.invalid/v1")
    with pytest.raises(Refused, match="which is not encrypted"):
        backend.upload_file(open_lines(), filename="a.jsonl")
    assert not [each for each, _ in shape.asked if each.method == "PUT"]


def test_a_key_that_together_refuses_is_told(served_in_shape):
    backend, shape = served_in_shape("together")
    backend_answering(shape, "POST", "/v1/files", reply({"error": {"message": "no"}}, status=401))
    with pytest.raises(AuthenticationFailed, match="no"):
        backend.upload_file(open_lines(), filename="a.jsonl")


def test_an_endpoint_that_a_service_does_not_run_is_refused_unsent(served_in_shape):
    backend, shape = served_in_shape("groq")
    with pytest.raises(Refused, match="Groq runs no batches at /v1/embeddings") as caught:
        backend.create_batch(input_file_id="file-a", endpoint="/v1/embeddings")
    assert "/v1/chat/completions" in caught.value.hint
    assert not shape.asked


def test_a_job_keeps_to_the_limits_and_models_of_its_service(served_in_shape, tmp_path):
    few = dataclasses.replace(
        PROVIDERS["groq"],
        limits=dataclasses.replace(PROVIDERS["groq"].limits, requests_per_batch=5),
    )
    backend, _ = served_in_shape("groq", provider=few)
    report = run_twelve_lines(backend, tmp_path)  # any model: a service has its own names
    assert report.shards == 3
    assert report.all_ok


@pytest.mark.parametrize("name", [name for name, each in PROVIDERS.items() if each.base_url])
def test_a_service_is_reached_at_its_address_with_its_key_alone(monkeypatch, made_clients, name):
    provider = PROVIDERS[name]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    if name != "openai":
        with pytest.raises(
            AuthenticationFailed, match=f"no API key for {provider.title}"
        ) as caught:
            OpenAIBackend(provider=name)
        assert caught.value.hint == f"export {provider.key_variable}=..."
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/elsewhere")
    monkeypatch.setenv(provider.key_variable, KEY)
    backend = OpenAIBackend(provider=name)
    assert backend.service.rstrip("/") == provider.base_url.rstrip("/")
    assert made_clients[-1].api_key == KEY
    backend.close()


@pytest.mark.parametrize(
    "address",
    [
        "https://mine.openai.azure.com",
        "https://mine.openai.azure.com/",
        "https://mine.openai.azure.com/openai/v1/",
    ],
)
def test_azures_address_is_ones_own(monkeypatch, made_clients, address):
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    with pytest.raises(UsageError, match="Azure OpenAI") as caught:
        OpenAIBackend(provider="azure")
    assert caught.value.hint == "export AZURE_OPENAI_ENDPOINT=https://..."
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", address)
    backend = OpenAIBackend(provider="azure")
    assert backend.service.rstrip("/") == "https://mine.openai.azure.com/openai/v1"
    assert made_clients[-1].default_headers["api-key"] == KEY
    backend.close()


def test_a_base_url_that_is_given_wins(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    backend = OpenAIBackend(provider="groq", base_url="https://proxy.example/groq/v1")
    assert backend.service.rstrip("/") == "https://proxy.example/groq/v1"
    backend.close()


@pytest.mark.parametrize("name", ["mistral", "fireworks", "xai", "openrouter", "zhipu"])
def test_a_service_with_another_api_is_refused_with_the_reason(name):
    with pytest.raises(UsageError, match=f"the batches of {name} are another API: ") as caught:
        provider_of(name)
    assert "compatible" in caught.value.hint


def test_an_unknown_service_is_refused_with_the_list():
    with pytest.raises(UsageError, match="there is no provider 'grok'") as caught:
        OpenAIBackend(provider="grok", api_key=KEY)
    assert all(name in caught.value.hint for name in PROVIDERS)


def test_profiles_are_frozen_values():
    assert provider_of(None) is PROVIDERS["openai"]
    own = Provider(
        name="own", title="Own", base_url="https://own.example/v1", key_variable="OWN_KEY"
    )
    assert provider_of(own) is own
    with pytest.raises(dataclasses.FrozenInstanceError):
        own.purpose = "x"


def test_the_hint_of_a_refused_key_names_the_right_variable(served_in_shape):
    backend, shape = served_in_shape("azure")
    shape.answer = lambda request, body: reply({"error": {"message": "bad key"}}, status=401)
    with pytest.raises(AuthenticationFailed) as caught:
        backend.list_batches()
    assert caught.value.hint == "check the key: export AZURE_OPENAI_API_KEY=..."
