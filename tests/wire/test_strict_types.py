"""Every answer is what the official client's own types say, taken strictly."""

import hashlib
import json

import pytest

from batchsim.backends.fake import FakeBackend, Pacing
from batchsim.testing.transport import openai_client

pytestmark = pytest.mark.sdk

CHAT = "/v1/chat/completions"
LINES = [
    {
        "custom_id": f"request-{number}",
        "method": "POST",
        "url": CHAT,
        "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], **more},
    }
    for number, more in enumerate(({}, {"temperature": 9}, {"n": 2}))
]
CONTENT = "".join(json.dumps(line) + "\n" for line in LINES).encode()


@pytest.fixture
def backend():
    return FakeBackend(seed=1)


@pytest.fixture
def client(backend):
    with openai_client(backend, max_retries=0, _strict_response_validation=True) as client:
        yield client


@pytest.fixture
def start(client):
    def start(content=CONTENT, **options):
        file = client.files.create(file=("input.jsonl", content), purpose="batch")
        return client.batches.create(
            input_file_id=file.id, endpoint=CHAT, completion_window="24h", **options
        )

    return start


def test_files_are(client):
    files = [
        client.files.create(file=("a.jsonl", CONTENT), purpose="batch"),
        client.files.create(file=("a.txt", b"Hi"), purpose="assistants"),
    ]
    assert [client.files.retrieve(file.id) for file in files] == files
    assert list(client.files.list(order="asc")) == files
    assert client.files.content(files[0].id).read() == CONTENT
    assert client.files.delete(files[0].id).deleted


@pytest.mark.parametrize(
    ("content", "cancelled", "status"),
    [(CONTENT, False, "completed"), (b"{}\n", False, "failed"), (CONTENT, True, "cancelled")],
)
def test_a_batch_is_in_every_status(client, backend, start, content, cancelled, status):
    batch = start(content, metadata={"job": "1"})
    seen = [batch.status]
    if cancelled:
        seen.append(client.batches.cancel(batch.id).status)
    for _ in range(400):
        backend.clock.advance(5)
        batch = client.batches.retrieve(batch.id)
        seen.append(batch.status)
    assert batch == client.batches.list().data[0]
    assert (
        list(dict.fromkeys(seen))
        == {
            "completed": ["validating", "in_progress", "finalizing", "completed"],
            "failed": ["validating", "failed"],
            "cancelled": ["validating", "cancelling", "cancelled"],
        }[status]
    )


def test_a_batch_is_when_its_window_closed():
    slow = FakeBackend(seed=1, pacing=Pacing(running=2 * 86_400))
    with openai_client(slow, max_retries=0, _strict_response_validation=True) as client:
        file = client.files.create(file=("input.jsonl", CONTENT), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        slow.clock.advance(3 * 86_400)
        assert client.batches.retrieve(batch.id).status == "expired"


def test_uploads_in_parts_are(client):
    upload = client.uploads.create(
        bytes=len(CONTENT), filename="a.jsonl", mime_type="application/jsonl", purpose="batch"
    )
    parts = [
        client.uploads.parts.create(upload.id, data=CONTENT[half])
        for half in (slice(0, 100), slice(100, None))
    ]
    done = client.uploads.complete(
        upload.id, part_ids=[part.id for part in parts], md5=hashlib.md5(CONTENT).hexdigest()
    )
    assert (done.status, done.file) == ("completed", client.files.retrieve(done.file.id))
    other = client.uploads.create(
        bytes=1, filename="b.jsonl", mime_type="application/jsonl", purpose="batch"
    )
    assert client.uploads.cancel(other.id).status == "cancelled"


def test_row_051_the_client_s_own_chunks_make_a_usable_file(client, backend):
    upload = client.uploads.upload_file_chunked(
        file=CONTENT,
        filename="a.jsonl",
        bytes=len(CONTENT),
        mime_type="application/jsonl",
        purpose="batch",
        part_size=100,
    )
    batch = client.batches.create(
        input_file_id=upload.file.id, endpoint=CHAT, completion_window="24h"
    )
    backend.clock.advance(86_400)
    assert client.batches.retrieve(batch.id).request_counts.completed == 2


def test_models_are(client):
    models = client.models.list().data
    assert client.models.retrieve(models[0].id) == models[0]


def test_single_answers_are(client):
    messages = [{"role": "user", "content": "Say hello"}]
    chat = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    assert "Say hello" in chat.choices[0].message.content
    prompted = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Hi")
    assert prompted.choices[0].text
    embedded = client.embeddings.create(
        model="text-embedding-3-small", input="Hi", dimensions=8, encoding_format="float"
    )
    assert len(embedded.data[0].embedding) == 8
    assert client.moderations.create(input="Hi").results[0].flagged is False
    if hasattr(client, "responses"):
        answer = client.responses.create(model="gpt-4o-mini", input="Say hello")
        assert "Say hello" in answer.output_text


def test_what_went_wrong_is(client, start):
    import openai

    batch = start()
    for call, kind in (
        (lambda: client.files.retrieve("file-x"), openai.NotFoundError),
        (lambda: client.batches.retrieve("x"), openai.BadRequestError),
        (lambda: client.uploads.cancel("upload_x"), openai.NotFoundError),
        (lambda: client.models.retrieve("llama"), openai.NotFoundError),
        (
            lambda: client.files.create(file=("a.txt", b"x"), purpose="batch"),
            openai.BadRequestError,
        ),
        (lambda: client.batches.list(limit=1_000), openai.BadRequestError),
    ):
        with pytest.raises(kind):
            call()
    assert client.batches.retrieve(batch.id).id == batch.id
