"""The contract over every Backend and every way to it."""

from __future__ import annotations

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.stores.disk import DiskStore
from batchsim.stores.memory import MemoryStore
from batchsim.testing.contract import BackendContract


class TestFakeBackend(BackendContract):
    @pytest.fixture(params=["memory", "disk"])
    def backend(self, request, tmp_path):
        store = MemoryStore() if request.param == "memory" else DiskStore(tmp_path / "store")
        backend = FakeBackend(seed=1, store=store)
        yield backend
        backend.close()


@pytest.mark.batchsim_real
class TestWhatThePluginGives(BackendContract):
    """The same promises of the real API: `pytest tests/contract --batchsim-real`, for a few cents.

    `make parity` asks them of both sides at once, within a budget.
    """

    @pytest.fixture
    def backend(self, batchsim_backend):
        return batchsim_backend


@pytest.mark.sdk
class TestOpenAIBackend(BackendContract):
    @pytest.fixture(params=["httpx", "httpx2"])
    def backend(self, request):
        from batchsim.backends.openai import OpenAIBackend
        from batchsim.testing.transport import openai_client

        library = pytest.importorskip(request.param)
        fake = FakeBackend(seed=1)
        try:
            client = openai_client(fake, library=library)
        except TypeError:
            pytest.skip(f"this release of openai does not take clients of {request.param}")
        yield OpenAIBackend(client, clock=fake.clock)
        client.close()
        fake.close()


class ForgetsMetadata(FakeBackend):
    def create_batch(self, **arguments):
        return super().create_batch(**{**arguments, "metadata": None})


class LosesTheLastByte(FakeBackend):
    def read_file(self, file_id):
        content = b"".join(super().read_file(file_id))
        yield content[:-1]


class RepeatsPages(FakeBackend):
    def list_batches(self, *, limit=20, after=None):
        return super().list_batches(limit=limit)


class ForgetsDeletions(FakeBackend):
    def delete_file(self, file_id):
        self.retrieve_file(file_id)


@pytest.mark.parametrize(
    ("broken", "check", "arguments"),
    [
        (ForgetsMetadata, "test_metadata_comes_back", {}),
        (LosesTheLastByte, "test_content_comes_back_byte_for_byte", {"content": b"{}\n"}),
        (RepeatsPages, "test_pages_of_batches_join_without_gap_or_repeat", {}),
        (ForgetsDeletions, "test_a_deleted_file_is_gone", {}),
    ],
)
def test_the_contract_finds_a_backend_that_breaks_it(broken, check, arguments):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(BackendContract(), check)(broken(seed=1), **arguments)
