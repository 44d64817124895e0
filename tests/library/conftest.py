"""A folder to work in, and a service whose batches would outlive the process."""

import pytest

from batchsim.backends.fake import FakeBackend


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch):
    """The present folder: empty, and left behind afterwards."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


class Lasting(FakeBackend):
    """A simulator that is to be trusted like a real service, and counts its batches."""

    service = "a lasting service"

    def __init__(self, **options):
        super().__init__(**options)
        self.lasts = True
        self.created = 0

    def create_batch(self, **arguments):
        self.created += 1
        return super().create_batch(**arguments)


@pytest.fixture
def lasting():
    with_it = Lasting(seed=1)
    yield with_it
    with_it.close()
