import io
import json
import shutil

import pytest

from batchsim.backends.fake import FakeBackend
from tests.repository import DEMO_INPUT

RUN = ("run", "--real", str(DEMO_INPUT), "-o", "results.jsonl")


@pytest.fixture
def finished_job(batchsim, real) -> None:
    assert batchsim(*RUN).code == 0


def reasons_to_keep(batchsim) -> dict[str, str]:
    lines = batchsim("files", "prune", "--json").stdout.splitlines()
    return {value["kind"]: value["needed"] for value in map(json.loads, lines)}


def count_files(real: FakeBackend) -> int:
    return len(real.list_files().data)


def test_what_a_finished_job_left_is_listed_and_kept(batchsim, real, finished_job) -> None:
    outcome = batchsim("files", "prune")
    rows = [line.split() for line in outcome.stdout.splitlines()]
    assert outcome.code == 0
    assert [row[1] for row in rows[1:]] == ["output", "input"]
    assert all("none" in row for row in rows[1:])
    assert "2 of 2 files can go" in outcome.stderr
    assert count_files(real) == 2
    value = json.loads(batchsim("files", "prune", "--json").stdout.splitlines()[0])
    assert set(value) == {"file", "kind", "run", "needed", "deleted"}
    assert value["deleted"] is False


def test_with_yes_it_is_deleted(batchsim, real, finished_job) -> None:
    outcome = batchsim("files", "prune", "--yes")
    assert outcome.code == 0
    assert outcome.stdout.count("is deleted") == 2
    assert count_files(real) == 0
    assert batchsim(*RUN).code == 0  # the results are on the disk


@pytest.mark.parametrize("loss", ["results", "job"])
def test_files_whose_results_are_not_here_are_kept(
    batchsim, desk, real, finished_job, loss
) -> None:
    if loss == "results":
        (desk / "results.jsonl").unlink()
    else:
        shutil.rmtree(desk / "results.jsonl.job")
    expected = {"results": "unfinished", "job": "elsewhere"}[loss]
    assert set(reasons_to_keep(batchsim).values()) == {expected}
    assert batchsim("files", "prune", "--yes").stdout == ""
    assert count_files(real) == 2
    batchsim("files", "prune", "--yes", "--elsewhere")
    assert count_files(real) == (2 if loss == "results" else 0)


def test_files_of_a_job_at_work_are_kept(batchsim, real, monkeypatch) -> None:
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FakeBackend, "retrieve_batch", interrupted)
        batchsim(*RUN)
    assert reasons_to_keep(batchsim) == {"input": "running"}
    real.clock.sleep(3_600)
    assert set(reasons_to_keep(batchsim).values()) == {"unfinished"}
    batchsim("files", "prune", "--yes", "--elsewhere")
    assert count_files(real) == 2


def test_files_of_others_are_not_looked_at(batchsim, real) -> None:
    for name, purpose in (("input.jsonl", "batch"), ("bs-notes.txt", "user_data")):
        real.upload_file(io.BytesIO(DEMO_INPUT.read_bytes()), filename=name, purpose=purpose)
    real.clock.sleep(7_200)
    assert batchsim("files", "prune", "--json").stdout == ""


def test_an_upload_that_no_batch_uses_may_go_once_it_is_old(batchsim, real) -> None:
    real.upload_file(io.BytesIO(DEMO_INPUT.read_bytes()), filename="bs-0-r0-s0001-t0-1.jsonl")
    assert reasons_to_keep(batchsim) == {"input": "young"}
    real.clock.sleep(7_200)
    assert reasons_to_keep(batchsim) == {"input": "none"}


def test_a_file_that_has_gone_meanwhile_is_no_error(
    batchsim, real, finished_job, monkeypatch
) -> None:
    whole = FakeBackend.delete_file

    def twice(self, file_id):
        whole(self, file_id)
        whole(self, file_id)

    monkeypatch.setattr(FakeBackend, "delete_file", twice)
    assert batchsim("files", "prune", "--yes", "--json").code == 0
    assert count_files(real) == 0
