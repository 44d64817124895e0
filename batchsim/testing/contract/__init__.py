"""The contract of a Backend: its promises as pytest tests that anyone can run on their own.

    from batchsim.testing.contract import BackendContract

    class TestMyBackend(BackendContract):
        @pytest.fixture
        def backend(self):
            return MyBackend()

Time passes by sleeping on `backend.clock` alone, so a simulated backend is done within seconds. On
a real service the same tests wait for hours and cost money.
"""

import pytest

pytest.register_assert_rewrite(
    "batchsim.testing.contract.files", "batchsim.testing.contract.batches"
)

from batchsim.testing.contract.batches import BatchContract  # noqa: E402 - rewritten from here on
from batchsim.testing.contract.files import FileContract  # noqa: E402

__all__ = ["BackendContract", "BatchContract", "FileContract"]


class BackendContract(FileContract, BatchContract):
    """All of it. Override the fixture `backend`; `model` too, where gpt-4o-mini is unknown."""
