"""The official Python client over a port, unmodified, pointed there by the environment alone."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

pytestmark = pytest.mark.sdk

ENDPOINT = "/v1/chat/completions"
ON_THE_WAY = ["in_progress", "finalizing", "completed"]


@pytest.fixture
def environment(server, monkeypatch):
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def client(environment):
    import openai

    with openai.OpenAI(max_retries=0) as client:
        yield client


def input_file(lines=1):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    return io.BytesIO(
        b"".join(
            json.dumps(
                {"custom_id": f"request-{n}", "method": "POST", "url": ENDPOINT, "body": body}
            ).encode()
            + b"\n"
            for n in range(1, lines + 1)
        )
    )


def start(client, lines=1):
    file = client.files.create(file=("input.jsonl", input_file(lines)), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")


def test_a_batch_from_upload_to_joined_results(
    demo_server, demo_file, demo_answers, monkeypatch, poll, by_custom_id
):
    import openai

    for name, value in demo_server.environment().items():
        monkeypatch.setenv(name, value)
    with openai.OpenAI() as client:
        with demo_file.open("rb") as content:
            file = client.files.create(file=content, purpose="batch")
        assert (file.filename, file.bytes) == ("input.jsonl", demo_file.stat().st_size)
        batch = client.batches.create(
            input_file_id=file.id,
            endpoint=ENDPOINT,
            completion_window="24h",
            metadata={"job": "translations"},
        )
        assert batch.status == "validating"
        done, seen = poll(lambda: client.batches.retrieve(batch.id).model_dump())
        assert seen == ON_THE_WAY
        assert done["metadata"] == {"job": "translations"}
        counts = done["request_counts"]
        assert (counts["total"], counts["completed"], counts["failed"]) == (3, 3, 0)
        content = client.files.content(done["output_file_id"])
        assert by_custom_id(content.read()) == demo_answers
        assert client.files.delete(file.id).deleted


def test_the_async_client_runs_batches_at_once(environment, by_custom_id):
    import openai

    async def run(client, lines):
        file = await client.files.create(file=("input.jsonl", input_file(lines)), purpose="batch")
        batch = await client.batches.create(
            input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h"
        )
        for _ in range(50):
            batch = await client.batches.retrieve(batch.id)
            if batch.status == "completed":
                break
        content = await client.files.content(batch.output_file_id)
        return len(by_custom_id(content.text))

    async def run_all():
        async with openai.AsyncOpenAI(max_retries=0) as client:
            return await asyncio.gather(*(run(client, lines) for lines in range(1, 5)))

    assert asyncio.run(run_all()) == [1, 2, 3, 4]


def test_the_async_client_pages_through_everything(environment):
    import openai

    async def collect():
        async with openai.AsyncOpenAI(max_retries=0) as client:
            made = [
                (await client.files.create(file=("a.jsonl", input_file()), purpose="batch")).id
                for _ in range(5)
            ]
            return made, [file.id async for file in client.files.list(limit=2)]

    made, found = asyncio.run(collect())
    assert found == made[::-1]


def test_raw_responses_show_headers(client):
    answer = client.files.with_raw_response.create(
        file=("input.jsonl", input_file()), purpose="batch"
    )
    assert answer.http_response.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.request_id.startswith("req_")
    assert answer.parse().purpose == "batch"


def test_a_streaming_response_brings_the_bytes_in_pieces(client):
    content = input_file(200).getvalue()
    file = client.files.create(file=("input.jsonl", content), purpose="batch")
    with client.files.with_streaming_response.content(file.id) as answer:
        pieces = list(answer.iter_bytes(4_096))
    assert len(pieces) > 1
    assert b"".join(pieces) == content


def test_a_streaming_response_is_written_to_a_file(client, tmp_path):
    content = input_file(200).getvalue()
    file = client.files.create(file=("input.jsonl", content), purpose="batch")
    with client.files.with_streaming_response.content(file.id) as answer:
        answer.stream_to_file(tmp_path / "copy.jsonl")
    assert (tmp_path / "copy.jsonl").read_bytes() == content


def test_lists_page_by_themselves(client):
    files = [client.files.create(file=("a.jsonl", input_file()), purpose="batch") for _ in range(5)]
    batches = [
        client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")
        for file in files
    ]
    assert [each.id for each in client.batches.list(limit=2)] == [each.id for each in batches][::-1]
    oldest = client.files.list(limit=2, order="asc", purpose="batch")
    assert [each.id for each in oldest] == [each.id for each in files]
    page = client.batches.list(limit=3)
    assert page.has_more
    assert [each.id for each in page.get_next_page().data] == [batches[1].id, batches[0].id]


def test_a_file_comes_in_parts(client):
    content = input_file(50).getvalue()
    upload = client.uploads.upload_file_chunked(
        file=content,
        filename="input.jsonl",
        bytes=len(content),
        mime_type="application/jsonl",
        purpose="batch",
        part_size=1_000,
    )
    assert (upload.status, upload.bytes) == ("completed", len(content))
    assert upload.file.filename == "input.jsonl"
    assert client.files.content(upload.file.id).read() == content


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the SDK's own, before 2.54
def test_a_file_on_the_disk_comes_in_parts_and_becomes_a_batch(client, tmp_path, poll):
    path = tmp_path / "input.jsonl"
    path.write_bytes(input_file(50).getvalue())
    upload = client.uploads.upload_file_chunked(
        file=path, mime_type="application/jsonl", purpose="batch", part_size=4_096
    )
    batch = client.batches.create(
        input_file_id=upload.file.id, endpoint=ENDPOINT, completion_window="24h"
    )
    done, _ = poll(lambda: client.batches.retrieve(batch.id).model_dump())
    assert done["request_counts"]["completed"] == 50


def test_parts_that_are_too_short_make_no_file(client):
    import openai

    upload = client.uploads.create(
        filename="input.jsonl", bytes=100, mime_type="application/jsonl", purpose="batch"
    )
    part = client.uploads.parts.create(upload.id, data=b"{}\n")
    with pytest.raises(openai.BadRequestError):
        client.uploads.complete(upload.id, part_ids=[part.id])
    assert client.uploads.cancel(upload.id).status == "cancelled"
    assert list(client.files.list()) == []


def test_errors_are_those_of_the_sdk(client, server):
    import openai

    with pytest.raises(openai.NotFoundError) as missing:
        client.files.retrieve("file-unknown")
    assert missing.value.body["message"] == "No such File object: file-unknown"
    with pytest.raises(openai.BadRequestError) as refused:
        client.batches.create(input_file_id="wrong-id", endpoint=ENDPOINT, completion_window="24h")
    assert (refused.value.param, refused.value.code) == ("input_file_id", "invalid_value")
    batch = start(client)
    while client.batches.retrieve(batch.id).status != "completed":
        pass
    with pytest.raises(openai.ConflictError) as late:
        client.batches.cancel(batch.id)
    assert "Cannot cancel a batch with status 'completed'." in str(late.value)


def test_a_wrong_key_is_an_authentication_error(serve):
    import openai

    server = serve(api_keys=["sk-right"])
    with (
        openai.OpenAI(base_url=server.base_url, api_key="sk-wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        client.batches.list()
    assert refused.value.code == "invalid_api_key"
    with openai.OpenAI(base_url=server.base_url, api_key="sk-right") as client:
        assert list(client.batches.list()) == []


def test_each_key_has_files_and_batches_of_its_own(client, server):
    import openai

    mine = start(client)
    with openai.OpenAI(base_url=server.base_url, api_key="sk-other", max_retries=0) as other:
        assert list(other.batches.list()) == []
        with pytest.raises(openai.NotFoundError):
            other.batches.retrieve(mine.id)
        theirs = start(other)
    assert mine.id != theirs.id
    assert [each.id for each in client.batches.list()] == [mine.id]


def test_a_cancelled_batch_ends_cancelled(client, poll):
    batch = start(client, 10)
    assert client.batches.cancel(batch.id).status == "cancelling"
    done, seen = poll(lambda: client.batches.retrieve(batch.id).model_dump())
    assert seen[-1] == "cancelled"
    assert done["cancelled_at"] >= done["cancelling_at"]


def test_single_requests_are_answered_by_the_same_responder(client):
    chat = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}]
    )
    assert chat.choices[0].message.content
    vectors = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    assert len(vectors.data) == 2
    assert client.moderations.create(input="Hi").results[0].flagged is False
    if hasattr(client, "responses"):  # from 1.66 on
        assert client.responses.create(model="gpt-4o-mini", input="Hi").output_text


def test_models_are_listed(client):
    identifiers = [model.id for model in client.models.list()]
    assert "gpt-4o-mini" in identifiers
    assert client.models.retrieve("gpt-4o-mini").id == "gpt-4o-mini"


def test_a_thread_safe_client_is_shared_by_threads(client):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as threads:
        batches = list(threads.map(lambda _: start(client).id, range(24)))
    assert len(set(batches)) == 24
    assert {each.id for each in client.batches.list(limit=100)} == set(batches)


def test_the_async_client_streams_a_download(environment):
    import openai

    content = input_file(200).getvalue()

    async def download():
        async with openai.AsyncOpenAI(max_retries=0) as client:
            file = await client.files.create(file=("a.jsonl", content), purpose="batch")
            async with client.files.with_streaming_response.content(file.id) as answer:
                return [piece async for piece in answer.iter_bytes(4_096)]

    pieces = asyncio.run(download())
    assert len(pieces) > 1
    assert b"".join(pieces) == content


def test_the_client_for_azure_finds_its_paths(server, poll):
    import openai

    with openai.AzureOpenAI(
        azure_endpoint=server.address, api_key="sk-fake", api_version="2024-10-21", max_retries=0
    ) as client:
        batch = start(client)
        done, _ = poll(lambda: client.batches.retrieve(batch.id).model_dump())
        assert done["status"] == "completed"
        assert client.files.content(done["output_file_id"]).read()
