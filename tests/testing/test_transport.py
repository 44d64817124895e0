"""The official client on the in-process transport: everything as on the real service."""

import asyncio
import importlib
import io
import json

import pytest

from batchsim.backends.fake import FakeBackend, Faults, RequestFault
from batchsim.errors import RateLimited, TransferBroken
from batchsim.testing.transport import (
    BASE_URL,
    async_openai_client,
    in_process_transport,
    openai_client,
)
from batchsim.wire import App

pytestmark = pytest.mark.sdk

LINE = {
    "custom_id": "request-1",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "こんにちは"}]},
}
CONTENT = json.dumps(LINE).encode() + b"\n"


@pytest.fixture
def client(backend, library):
    with openai_client(backend, library=library) as client:
        yield client


def run_through(client, backend):
    file = client.files.create(file=("a.jsonl", io.BytesIO(CONTENT)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert batch.status == "validating"
    backend.clock.advance(3_600)
    done = client.batches.retrieve(batch.id)
    assert done.status == "completed"
    return client.files.content(done.output_file_id).read()


def test_row_153_the_official_client_runs_a_batch(client, backend):
    line = json.loads(run_through(client, backend))
    assert line["custom_id"] == "request-1"
    assert line["response"]["status_code"] == 200


def test_row_153_the_library_may_be_left_to_the_sdk(backend):
    with openai_client(backend) as client:
        assert run_through(client, backend)


def test_row_153_the_async_client_runs_a_batch(backend, library):
    async def main():
        async with async_openai_client(backend, library=library) as client:
            file = await client.files.create(file=("a.jsonl", io.BytesIO(CONTENT)), purpose="batch")
            batch = await client.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
            )
            backend.clock.advance(3_600)
            done = await client.batches.retrieve(batch.id)
            answer = await client.files.content(done.output_file_id)
            async with client.files.with_streaming_response.content(file.id) as streamed:
                pieces = [piece async for piece in streamed.iter_bytes()]
            listed = [each.id async for each in client.files.list(limit=1)]
            assert b"".join(pieces) == CONTENT
            assert listed == [done.output_file_id, file.id]
            return answer.read()

    assert json.loads(asyncio.run(main()))["custom_id"] == "request-1"


def test_row_153_both_kinds_of_client_see_the_same(backend, library):
    async def upload():
        async with async_openai_client(backend, library=library) as client:
            return await client.files.create(file=("b.jsonl", CONTENT), purpose="batch")

    file = asyncio.run(upload())
    with openai_client(backend, library=library) as client:
        assert client.files.retrieve(file.id).filename == "b.jsonl"


def test_row_153_a_bare_http_client_works_too(backend, library):
    with library.Client(
        transport=in_process_transport(backend, library),
        base_url=BASE_URL,
        headers={"Authorization": "Bearer x"},
    ) as client:
        answer = client.post(
            "/files", data={"purpose": "batch"}, files={"file": ("a.jsonl", CONTENT)}
        )
        assert answer.status_code == 200
        assert client.get("/files", headers={"Authorization": ""}).status_code == 401


def test_row_153_an_azure_client_runs_a_batch(backend, library):
    import openai

    http_client = library.Client(transport=in_process_transport(backend, library))
    with openai.AzureOpenAI(
        api_key="x",
        api_version="2024-10-21",
        azure_endpoint="http://azure.invalid",
        http_client=http_client,
    ) as client:
        assert b"request-1" in run_through(client, backend)


def test_row_154_raw_responses_show_the_headers(client):
    raw = client.files.with_raw_response.create(file=("a.jsonl", CONTENT), purpose="batch")
    assert raw.headers["openai-version"] == "2020-10-01"
    assert raw.parse().filename == "a.jsonl"


def test_row_154_streamed_responses_stream(client):
    file = client.files.create(file=("a.jsonl", CONTENT), purpose="batch")
    with client.files.with_streaming_response.content(file.id) as response:
        assert response.headers["content-length"] == str(len(CONTENT))
        assert b"".join(response.iter_bytes(5)) == CONTENT


def test_rows_105_and_154_lists_page_by_themselves(client, backend):
    files = [
        client.files.create(file=(f"{n}.jsonl", CONTENT), purpose="batch").id for n in range(5)
    ]
    batches = [
        client.batches.create(
            input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h"
        ).id
        for file in files
    ]
    assert [file.id for file in client.files.list(limit=2)] == files[::-1]
    assert [batch.id for batch in client.batches.list(limit=2)] == batches[::-1]


class Busy(FakeBackend):
    """Answers every second request with a 429."""

    tries = 0

    def list_batches(self, **arguments):
        self.tries += 1
        if self.tries % 2:
            raise RateLimited("slower", retry_after=0.001)
        return super().list_batches(**arguments)


def test_rows_017_and_154_the_sdk_s_retries_work(library, monkeypatch):
    import time

    import openai

    monkeypatch.setattr(time, "sleep", lambda _: None)
    backend = Busy()
    with openai_client(backend, library=library) as client:
        assert client.batches.list().data == []
        assert backend.tries == 2
    with openai_client(backend, library=library, max_retries=0) as client:
        with pytest.raises(openai.RateLimitError, match="slower"):
            client.batches.list()
        assert backend.tries == 3


@pytest.mark.parametrize(
    ("call", "name", "status"),
    [
        (lambda client: client.files.retrieve("file-1"), "NotFoundError", 404),
        (lambda client: client.files.delete("file-1"), "NotFoundError", 404),
        (lambda client: client.batches.retrieve("nope"), "BadRequestError", 400),
        (lambda client: client.batches.cancel("batch_1"), "NotFoundError", 404),
        (lambda client: client.batches.list(limit=1_000), "BadRequestError", 400),
        (lambda client: client.files.create(file=b"{}", purpose="x"), "BadRequestError", 400),
        (lambda client: client.chat.completions.create(model="m", messages=[]), "NotFoundError", 404),
    ],
)  # fmt: skip
def test_row_154_errors_are_the_sdk_s_own(client, call, name, status):
    import openai

    with pytest.raises(getattr(openai, name)) as raised:
        call(client)
    assert raised.value.status_code == status
    assert raised.value.body["message"]


def test_row_154_options_of_the_client_are_kept(backend, library):
    app = App(backend, api_keys=["sk-right"])
    with openai_client(app, library=library, api_key="sk-right", timeout=7.0) as client:
        assert client.timeout == 7.0
        assert client.batches.list().data == []
    import openai

    with openai_client(app, library=library) as client, pytest.raises(openai.AuthenticationError):
        client.batches.list()


def test_a_download_that_breaks_off_breaks_as_a_connection_would(library):
    class Breaking(FakeBackend):
        def read_file(self, file_id):
            yield from super().read_file(file_id)
            raise TransferBroken("no more")

    with openai_client(Breaking(), library=library) as client:
        file = client.files.create(file=("a.jsonl", CONTENT), purpose="batch")
        with client.files.with_streaming_response.content(file.id) as response:
            pieces = response.iter_bytes()
            assert next(pieces) == CONTENT
            with pytest.raises(library.RemoteProtocolError):
                next(pieces)


def test_row_151_a_download_left_half_way_is_closed(library):
    closed = []

    class Watched(FakeBackend):
        def read_file(self, file_id):
            try:
                yield b"first"
                yield b"second"
            finally:
                closed.append(file_id)

    with openai_client(Watched(), library=library) as client:
        file = client.files.create(file=("a.jsonl", CONTENT), purpose="batch")
        with client.files.with_streaming_response.content(file.id):
            pass
        assert closed == [file.id]


def test_row_151_closing_twice_is_harmless_and_use_after_it_an_error(backend, library):
    client = openai_client(backend, library=library)
    client.close()
    client.close()
    with pytest.raises((RuntimeError, importlib.import_module("openai").APIConnectionError)):
        client.batches.list()


def test_row_151_two_event_loops_may_follow_each_other(backend, library):
    async def upload():
        async with async_openai_client(backend, library=library) as client:
            await client.files.create(file=("a.jsonl", CONTENT), purpose="batch")

    asyncio.run(upload())
    asyncio.run(upload())
    assert len(backend.list_files().data) == 2


@pytest.mark.slow
@pytest.mark.parametrize("size", [100_000_000])
def test_large_bodies_stay_out_of_memory(library, tmp_path, size):
    import tracemalloc

    from batchsim.backends.openai import OpenAIBackend

    path = tmp_path / "a.jsonl"
    with path.open("wb") as stream:
        stream.write(CONTENT)
        for _ in range(size // 1_000_000):
            stream.write(b" " * 999_999 + b"\n")
    with openai_client(FakeBackend(seed=1), library=library) as client, path.open("rb") as stream:
        backend = OpenAIBackend(client)
        tracemalloc.start()
        try:
            file = backend.upload_file(stream, filename="a.jsonl")
            received = sum(map(len, backend.read_file(file.id)))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert received == file.bytes == path.stat().st_size
    assert peak < 16_000_000


def delayed(call, seconds):
    return Faults(requests=(RequestFault("delayed", call=call, seconds=seconds, nth=1),))


@pytest.mark.parametrize(
    ("timeout", "waited"), [(20, 20), (None, 30), (30, 30), (0.5, 0.5), ("read only", 5)]
)
def test_a_client_gives_up_on_a_late_answer_in_simulated_time(backend, library, timeout, waited):
    import openai

    if timeout == "read only":
        timeout = library.Timeout(600, read=5)
    backend.set_faults(delayed("list_files", 30))
    start = backend.clock.now()
    with openai_client(backend, library=library, timeout=timeout, max_retries=0) as client:
        if waited == 30:
            assert client.files.list().data == []
        else:
            with pytest.raises(openai.APITimeoutError):
                client.files.list()
    assert backend.clock.now() == start + waited


def test_what_is_answered_too_late_has_happened_and_a_retry_does_it_again(backend, library):
    backend.set_faults(delayed("upload_file", 30))
    with openai_client(backend, library=library, timeout=10, max_retries=1) as client:
        file = client.files.create(file=("a.jsonl", io.BytesIO(CONTENT)), purpose="batch")
    files = [each.id for each in backend.list_files().data]
    assert (len(files), files.index(file.id)) == (2, 0)


def test_an_async_client_gives_up_too(backend, library):
    import openai

    backend.set_faults(delayed("read", 30))

    async def main():
        options = {"library": library, "timeout": 10, "max_retries": 0}
        async with async_openai_client(backend, **options) as client:
            with pytest.raises(openai.APITimeoutError):
                await client.batches.list()
            assert (await client.batches.list()).data == []

    asyncio.run(main())


def test_a_content_that_begins_too_late_is_given_up(client, backend):
    import openai

    file = client.files.create(file=("a.jsonl", io.BytesIO(CONTENT)), purpose="batch")
    backend.set_faults(delayed("read_file", 30))
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=10, max_retries=0).files.content(file.id)
    assert client.files.content(file.id).content == CONTENT
