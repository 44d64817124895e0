"""Only a job's own files are deleted at the service, and only while its results are safe here."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from batchsim.backends.fake import FakeBackend
from tests.repository import DEMO_INPUT

RUN = ("run", "--real", "input.jsonl", "-o", "results.jsonl")


@pytest.fixture
def precious(desk, real, monkeypatch) -> str:
    """A file of the user's, which the service names as the error file of every ended batch."""
    (desk / "input.jsonl").write_bytes(DEMO_INPUT.read_bytes())
    file = real.upload_file(io.BytesIO(DEMO_INPUT.read_bytes()), filename="precious.jsonl")
    one, pages = FakeBackend.retrieve_batch, FakeBackend.list_batches

    def named(batch):
        has_ended = batch.output_file_id is not None
        return replace(batch, error_file_id=file.id) if has_ended else batch

    def listed(self, **options):
        page = pages(self, **options)
        return replace(page, data=tuple(map(named, page.data)))

    monkeypatch.setattr(FakeBackend, "retrieve_batch", lambda self, name: named(one(self, name)))
    monkeypatch.setattr(FakeBackend, "list_batches", listed)
    return file.id


def test_a_file_of_the_users_that_a_batch_names_is_left_by_delete_remote(
    batchsim, real, precious
) -> None:
    outcome = batchsim(*RUN, "--delete-remote")
    assert outcome.code == 0, outcome.stderr
    assert [file.id for file in real.list_files().data] == [precious]
    assert f"{precious} is left at the service: it is no result file of the job" in outcome.stderr
    assert batchsim(*RUN, "--delete-remote").code == 0


def test_a_file_of_the_users_that_a_batch_names_is_left_by_prune(batchsim, real, precious) -> None:
    assert batchsim(*RUN).code == 0
    outcome = batchsim("files", "prune", "--yes")
    assert outcome.code == 0
    assert precious not in outcome.stdout
    assert [file.id for file in real.list_files().data] == [precious]


def test_results_of_the_right_size_do_not_prove_that_they_are_here(batchsim, desk, real) -> None:
    (desk / "input.jsonl").write_bytes(DEMO_INPUT.read_bytes())
    assert batchsim(*RUN).code == 0
    before = len(real.list_files().data)
    results, download = Path("results.jsonl"), next(Path("results.jsonl.job").glob("shards/*.out*"))
    whole = download.read_bytes()
    for path in (results, download):
        path.write_bytes(bytes(path.stat().st_size))
    assert batchsim("files", "prune", "--yes").stdout == ""
    assert len(real.list_files().data) == before
    needs = {
        json.loads(line)["needed"]
        for line in batchsim("files", "prune", "--json").stdout.splitlines()
    }
    assert needs == {"unfinished"}
    download.write_bytes(whole)
    assert batchsim("files", "prune", "--yes").code == 0
    assert real.list_files().data == ()
