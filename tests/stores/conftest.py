"""Both stores, empty."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchsim.stores import Store
from batchsim.stores.disk import DiskStore
from batchsim.stores.memory import MemoryStore


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of either kind."""
    with MemoryStore() if request.param == "memory" else DiskStore(tmp_path / "store") as store:
        yield store
