"""Unchanged programs inside `intercept`: whatever client they make talks to the fake."""

import asyncio
import gc
import importlib
import io
import json
import os
import threading
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import openai
import pytest

import batchsim
from batchsim import FakeBackend, intercept
from batchsim.errors import NetworkForbidden, UsageError
from batchsim.wire import App
from batchsim.wire.access import Tenants

pytestmark = pytest.mark.sdk

EARLY = openai.OpenAI(api_key="sk-early")
EARLY_ASYNC = openai.AsyncOpenAI(api_key="sk-early")


@pytest.fixture
def fake(backend):
    with intercept(backend) as fake:
        yield fake


@pytest.fixture(autouse=True)
def no_module_client():
    """Forget the client that `openai.files` and the like share, and the key it leaves there."""
    yield
    openai._reset_client()  # noqa: SLF001 - the SDK has no other way
    openai.api_key = None
    if openai.http_client is not None:  # the SDK keeps it here for the next one
        openai.http_client.close()
        openai.http_client = None


@pytest.fixture(scope="module", autouse=True)
def early_clients_are_closed():
    """Else they close themselves when the interpreter is half gone, and complain."""
    yield
    EARLY.close()
    asyncio.run(EARLY_ASYNC.close())


def upload(client, content, filename="a.jsonl"):
    return client.files.create(file=(filename, io.BytesIO(content)), purpose="batch")


def run_a_batch(client, fake, content):
    file = upload(client, content)
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    fake.clock.advance(3_600)
    done = client.batches.retrieve(batch.id)
    return json.loads(client.files.content(done.output_file_id).read())


def sdk_library():
    return importlib.import_module(openai.DefaultHttpxClient.__mro__[-2].__module__.split(".")[0])


def azure(**options):
    return openai.AzureOpenAI(
        api_version="2024-10-21",
        azure_endpoint="https://resource.openai.azure.com",
        **{"api_key": "k", **options},
    )


def azure_by_token():
    return azure(api_key=None, azure_ad_token="token")


CLIENTS = {
    "made before the block": lambda: EARLY,
    "with no key": openai.OpenAI,
    "with a key": lambda: openai.OpenAI(api_key="x"),
    "copied": lambda: EARLY.with_options(timeout=3, max_retries=1),
    "of a region": lambda: openai.OpenAI(base_url="https://eu.api.openai.com/v1"),
    "of a gateway": lambda: openai.OpenAI(base_url="https://gateway.example/team/openai-proxy/v9/"),
    "of a gateway that ends in openai": lambda: openai.OpenAI(base_url="https://x.example/openai"),
    "of a gateway below openai": lambda: openai.OpenAI(base_url="https://x.example/openai/v9/"),
    "without a path": lambda: openai.OpenAI(base_url="http://gateway.example:8080"),
    "of a local server": lambda: openai.OpenAI(base_url="http://127.0.0.1:9/v1"),
    "behind a proxy": lambda: openai.OpenAI(
        http_client=sdk_library().Client(proxy="http://proxy.example:3128")
    ),
    "under another name": lambda: type("Ours", (openai.OpenAI,), {})(
        base_url="https://x.example/v1", default_headers={"User-Agent": "ours"}
    ),
    "the SDK's own HTTP client": lambda: openai.OpenAI(http_client=openai.DefaultHttpxClient()),
    "of Azure": azure,
    "of Azure, by token": azure_by_token,
    "of a deployment of Azure": lambda: azure(azure_deployment="gpt-4o"),
    "of Azure, by its newer paths": lambda: openai.OpenAI(
        base_url="https://resource.openai.azure.com/openai/v1/"
    ),
}


@pytest.mark.parametrize("make", CLIENTS.values(), ids=CLIENTS)
def test_row_153_any_client_runs_a_batch_on_the_fake(fake, content, make):
    assert run_a_batch(make(), fake, content)["custom_id"] == "request-1"
    assert len(fake.list_batches().data) == 1


def test_row_153_the_module_level_client_talks_to_the_fake(fake, content):
    assert run_a_batch(openai, fake, content)["response"]["status_code"] == 200


def test_row_153_a_given_http_client_talks_to_the_fake(fake, content, library):
    for http_client in (
        library.Client(),
        library.Client(transport=library.HTTPTransport(retries=2)),
        library.Client(mounts={"https://": library.HTTPTransport()}),
    ):
        with openai.OpenAI(http_client=http_client) as client:
            assert run_a_batch(client, fake, content)["custom_id"] == "request-1"


def test_row_153_a_given_async_http_client_talks_to_the_fake(fake, content, library):
    async def main():
        async with openai.AsyncOpenAI(http_client=library.AsyncClient()) as client:
            return await upload(client, content)

    assert asyncio.run(main()).id == fake.list_files().data[0].id


@pytest.mark.parametrize(
    "make",
    [
        lambda: EARLY_ASYNC,
        openai.AsyncOpenAI,
        lambda: openai.AsyncOpenAI(base_url="https://gateway.example/v1"),
        lambda: openai.AsyncAzureOpenAI(
            api_key="k", api_version="1", azure_endpoint="https://resource.openai.azure.com"
        ),
    ],
    ids=["made before the block", "made inside", "of a gateway", "of Azure"],
)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_row_153_async_clients_talk_to_the_fake_on_any_loop(fake, content, make, loop):
    anyio = pytest.importorskip("anyio")
    if loop != "asyncio":
        pytest.importorskip(loop)

    async def main():
        client = make()
        file = await upload(client, content)
        batch = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        fake.clock.advance(3_600)
        done = await client.batches.retrieve(batch.id)
        answer = await client.files.content(done.output_file_id)
        assert json.loads(answer.read())["custom_id"] == "request-1"

    options = {"use_uvloop": True} if loop == "uvloop" else {}
    backend = "trio" if loop == "trio" else "asyncio"
    anyio.run(main, backend=backend, backend_options=options)


def test_row_153_the_aiohttp_client_talks_to_the_fake(fake, content):
    pytest.importorskip("aiohttp")
    if not hasattr(openai, "DefaultAioHttpClient"):
        pytest.skip("this release of openai has no aiohttp client")

    async def main():
        async with openai.AsyncOpenAI(http_client=openai.DefaultAioHttpClient()) as client:
            return await upload(client, content)

    try:
        file = asyncio.run(main())
    except RuntimeError as error:
        pytest.skip(str(error))
    assert file.id == fake.list_files().data[0].id


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
@pytest.mark.parametrize(
    "url",
    ["https://api.openai.com/v1/files", "https://r.openai.azure.com/openai/v1/files"],
)
def test_row_153_plain_http_requests_to_openai_reach_the_fake(fake, content, name, url):
    library = importlib.import_module(name)
    answer = library.post(
        url,
        data={"purpose": "batch"},
        files={"file": ("a.jsonl", content)},
        headers={"Authorization": "Bearer x"},
    )
    assert answer.json()["id"] == fake.list_files().data[0].id


def test_row_154_raw_and_streamed_responses_and_paging_are_as_ever(fake, content):
    client = openai.OpenAI()
    raw = client.files.with_raw_response.create(file=("a.jsonl", content), purpose="batch")
    assert raw.headers["openai-version"] == "2020-10-01"
    files = [raw.parse().id, upload(client, content).id, upload(client, content).id]
    assert [file.id for file in client.files.list(limit=1)] == files[::-1]
    with client.files.with_streaming_response.content(files[0]) as response:
        assert b"".join(response.iter_bytes(7)) == content


def test_row_154_async_paging_is_as_ever(fake, content):
    async def main():
        async with openai.AsyncOpenAI() as client:
            for _ in range(3):
                await upload(client, content)
            return [file.id async for file in client.files.list(limit=1)]

    assert asyncio.run(main()) == [file.id for file in fake.list_files().data]


def test_an_error_of_the_fake_is_the_sdk_s_own(fake):
    with pytest.raises(openai.NotFoundError):
        openai.OpenAI().batches.retrieve("batch_1")


def test_threads_that_know_nothing_of_the_block_talk_to_the_fake(content):
    backend = FakeBackend(seed=1)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: None, range(4)))  # its threads are older than the block
        with intercept(backend):
            ids = list(pool.map(lambda _: upload(openai.OpenAI(), content).id, range(8)))
    assert sorted(ids) == sorted(file.id for file in backend.list_files().data)


def test_threads_with_blocks_of_their_own_do_not_meet(content):
    barrier = threading.Barrier(4)

    def run(seed):
        with intercept(FakeBackend(seed=seed)) as fake:
            barrier.wait()
            mine = {upload(openai.OpenAI(), content).id for _ in range(5)}
            barrier.wait()
        return mine == {file.id for file in fake.list_files().data}

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(4)))


def test_tasks_with_blocks_of_their_own_do_not_meet(content):
    async def run(seed, both_are_open):
        with intercept(FakeBackend(seed=seed)) as fake:
            await both_are_open.wait()
            async with openai.AsyncOpenAI() as client:
                mine = {(await upload(client, content)).id for _ in range(3)}
        return mine == {file.id for file in fake.list_files().data}

    async def main():
        both_are_open = asyncio.Event()
        tasks = [asyncio.create_task(run(seed, both_are_open)) for seed in range(3)]
        await asyncio.sleep(0)
        both_are_open.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == [True, True, True]


def test_the_innermost_block_answers(content):
    outer, inner = FakeBackend(seed=1), FakeBackend(seed=2)
    with intercept(outer):
        with intercept(inner):
            upload(EARLY, content)
        upload(EARLY, content)
        upload(EARLY, content)
    assert (len(outer.list_files().data), len(inner.list_files().data)) == (2, 1)


def test_a_client_of_another_fake_stays_with_it(fake, content):
    other = FakeBackend(seed=2)
    with other.openai_client() as client:
        upload(client, content)
    assert (len(fake.list_files().data), len(other.list_files().data)) == (0, 1)


def test_a_transport_that_reaches_no_network_is_left_alone(fake, library):
    transport = library.MockTransport(lambda _: library.Response(200, json={"data": []}))
    with openai.OpenAI(http_client=library.Client(transport=transport)) as client:
        raw = client.batches.with_raw_response.list()
    assert "openai-version" not in raw.headers


def test_other_mocks_of_the_network_work_inside(fake):
    respx = pytest.importorskip("respx")
    httpx = importlib.import_module("httpx")
    with respx.mock:
        respx.get("https://elsewhere.example/").respond(418)
        assert httpx.get("https://elsewhere.example/").status_code == 418
        assert openai.OpenAI().batches.list().data == []


@pytest.mark.parametrize(
    "url", ["https://elsewhere.example/v1/files", "https://gateway.example:8443/v1/files"]
)
def test_a_client_that_leaves_its_base_url_is_refused(fake, url):
    client = openai.OpenAI(base_url="https://gateway.example/v1", max_retries=0)
    with pytest.raises((NetworkForbidden, openai.APIConnectionError)) as raised:
        client.get(url, cast_to=object)
    assert NetworkForbidden in (type(raised.value), type(raised.value.__cause__))


def test_an_allowed_host_is_left_alone(backend, content):
    with intercept(backend, allow=["127.0.0.1:9"]):
        client = openai.OpenAI(base_url="http://127.0.0.1:9/v1", max_retries=0)
        with pytest.raises(openai.APIConnectionError):
            client.batches.list()
        assert openai.OpenAI(base_url="http://127.0.0.1:8/v1").batches.list().data == []


def test_an_app_may_stand_in_for_the_backend(backend):
    app = App(backend, api_keys=["sk-right"])
    with intercept(app) as value:
        assert value is app
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(api_key="sk-wrong").batches.list()
        assert openai.OpenAI(api_key="sk-right").batches.list().data == []


def test_every_key_may_have_a_backend_of_its_own(content):
    tenants = Tenants(lambda digest: FakeBackend(seed=int(digest, 16)))
    with intercept(tenants):
        mine = upload(openai.OpenAI(api_key="sk-mine"), content)
        assert openai.OpenAI(api_key="sk-yours").files.list().data == []
    assert tenants.backend("sk-mine").list_files().data[0].id == mine.id


@pytest.mark.parametrize(
    "make",
    [openai.OpenAI, azure, azure_by_token, lambda: azure(azure_deployment="gpt-4o")],
    ids=["OpenAI", "Azure", "Azure by token", "Azure's deployment"],
)
def test_single_requests_are_answered_too(fake, make):
    answer = make().chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Hello"}]
    )
    assert answer.choices[0].message.content


class TestDecorating:
    def test_a_function(self, backend, content):
        @intercept(backend)
        def program(filename):
            """Upload."""
            return upload(openai.OpenAI(), content, filename).filename

        assert program("first.jsonl") == "first.jsonl"
        assert program(filename="second.jsonl") == "second.jsonl"
        assert program.__doc__ == "Upload."
        assert len(backend.list_files().data) == 2

    def test_an_async_function(self, backend, content):
        @intercept(backend)
        async def program():
            await asyncio.sleep(0)
            return await upload(openai.AsyncOpenAI(), content)

        assert asyncio.run(program()).id == backend.list_files().data[0].id

    def test_a_function_that_calls_itself(self, backend, content):
        @intercept(backend)
        def program(depth):
            upload(openai.OpenAI(), content)
            if depth:
                program(depth - 1)
            upload(openai.OpenAI(), content)

        program(2)
        assert len(backend.list_files().data) == 6

    def test_what_would_run_outside_the_block_is_refused(self, backend):
        def generator():
            yield

        async def async_generator():
            yield

        for unfit in (generator, async_generator, type("Tests", (), {})):
            with pytest.raises(UsageError, match="plain and async functions only"):
                intercept(backend)(unfit)


class TestLeaving:
    def test_nothing_is_left_behind(self, backend, monkeypatch):
        import socket

        homes = [socket, socket.socket, openai.OpenAI, openai.AsyncOpenAI]
        for name in ("httpx", "httpx2"):
            library = importlib.import_module(name)
            homes += [library.HTTPTransport, library.AsyncHTTPTransport]
        before = [dict(vars(home)) for home in homes]

        def fail():
            assert [dict(vars(home)) for home in homes] != before
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError), intercept(backend), intercept(backend):
            fail()
        assert [dict(vars(home)) for home in homes] == before
        assert "OPENAI_API_KEY" not in os.environ

    def test_an_inner_block_puts_nothing_in_place_again(self, backend):
        import socket

        with intercept(backend):
            connect = socket.socket.connect
            with intercept(backend):
                assert socket.socket.connect is connect

    def test_the_backend_is_let_go(self):
        with intercept(FakeBackend()) as fake:
            openai.OpenAI().batches.list()
            kept = weakref.ref(fake)
            del fake
        gc.collect()
        assert kept() is None

    def test_blocks_may_be_left_in_any_order(self, content):
        first, second = FakeBackend(seed=1), FakeBackend(seed=2)
        outer, inner = intercept(first), intercept(second)
        outer.__enter__()
        inner.__enter__()
        outer.__exit__(None, None, None)
        upload(openai.OpenAI(), content)
        inner.__exit__(None, None, None)
        assert (len(first.list_files().data), len(second.list_files().data)) == (0, 1)
        assert "OPENAI_API_KEY" not in os.environ

    def test_a_block_may_be_left_in_another_context(self, content):
        """As the fixtures of async tests do."""
        import contextvars

        backend, other = FakeBackend(seed=1), FakeBackend(seed=2)
        block = intercept(backend)
        contextvars.Context().run(block.__enter__)
        upload(openai.OpenAI(), content)
        contextvars.Context().run(block.__exit__, None, None, None)
        with intercept(other):
            upload(openai.OpenAI(), content)
        assert (len(backend.list_files().data), len(other.list_files().data)) == (1, 1)

    def test_a_task_that_outlives_its_block_is_outside(self, backend, content):
        async def later(left):
            await left.wait()
            with intercept(FakeBackend(seed=2)) as other:
                await upload(openai.AsyncOpenAI(), content)
            return len(other.list_files().data)

        async def main():
            left = asyncio.Event()
            with intercept(backend):
                task = asyncio.create_task(later(left))
                await asyncio.sleep(0)
            left.set()
            return await task

        assert asyncio.run(main()) == 1
        assert backend.list_files().data == ()

    def test_a_block_may_be_opened_again_but_not_twice(self, backend):
        block = intercept(backend)
        for _ in range(2):
            with block, pytest.raises(UsageError, match="open already"):
                block.__enter__()
        assert "OPENAI_API_KEY" not in os.environ


class TestTheKey:
    def test_one_that_is_there_stays(self, backend, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
        with intercept(backend):
            assert openai.OpenAI().api_key == "sk-mine"
        assert os.environ["OPENAI_API_KEY"] == "sk-mine"

    def test_an_empty_one_comes_back(self, backend, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "")
        with intercept(backend):
            assert openai.OpenAI().batches.list().data == []
        assert os.environ["OPENAI_API_KEY"] == ""

    def test_one_that_the_block_set_stays(self, backend, monkeypatch):
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        with intercept(backend):
            monkeypatch.setenv("OPENAI_API_KEY", "sk-later")
        assert os.environ["OPENAI_API_KEY"] == "sk-later"

    def test_the_module_level_client_forgets_the_one_it_was_lent(self, backend):
        with intercept(backend):
            openai.batches.list()
        assert openai.api_key is None
        with pytest.raises((openai.OpenAIError, TypeError), match="api_key"):
            openai.batches.list()


class Counting(FakeBackend):
    """Notes how an upload comes in."""

    largest = 0

    def upload_file(self, content, **arguments):
        read = content.read

        def counted(size=-1):
            piece = read(size)
            self.largest = max(self.largest, len(piece))
            return piece

        return super().upload_file(SimpleNamespace(read=counted), **arguments)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_large_uploads_stream(tmp_path, content, kind):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content + (b" " * 999_999 + b"\n") * 20)

    def send():
        with path.open("rb") as stream:
            openai.OpenAI().files.create(file=stream, purpose="batch")

    async def send_async():
        with path.open("rb") as stream:
            await openai.AsyncOpenAI().files.create(file=stream, purpose="batch")

    with intercept(Counting(seed=1)) as fake:
        openai.OpenAI()
        tracemalloc.start()
        try:
            send() if kind == "sync" else asyncio.run(send_async())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert fake.list_files().data[0].bytes == path.stat().st_size
    assert fake.largest <= 1 << 20
    assert peak < 10_000_000


def test_it_is_a_public_name():
    assert batchsim.intercept is intercept
