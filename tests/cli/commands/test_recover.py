import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from batchsim.backends.fake import FakeBackend
from tests.repository import DEMO_INPUT

RUN = ("run", "--real", "input.jsonl", "-o", "results.jsonl")
RECOVER = ("recover", "input.jsonl", "-o", "results.jsonl")


@pytest.fixture
def lost_job(batchsim, desk, real, monkeypatch) -> None:
    """Two batches of a job whose directory is gone."""
    first, second, third = DEMO_INPUT.read_text("utf-8").splitlines()
    text = "\n".join([first, second.replace("gpt-3.5-turbo", "gpt-4o-mini"), third])
    (desk / "input.jsonl").write_text(text, "utf-8")
    lose_directory(batchsim, desk, monkeypatch)


def lose_directory(batchsim, desk, monkeypatch, *, at: str = "retrieve_batch") -> None:
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FakeBackend, at, interrupted)
        assert batchsim(*RUN).code == 130
    shutil.rmtree(desk / "results.jsonl.job")


def batch_ids(real: FakeBackend) -> list[str]:
    return [batch.id for batch in real.list_batches().data]


def test_a_lost_job_is_found_and_goes_on_without_paying_again(
    batchsim, desk, real, lost_job
) -> None:
    before = batch_ids(real)
    outcome = batchsim(*RECOVER)
    assert outcome.code == 0
    assert "found 2 of 2 batches of run " in outcome.stderr
    assert "`batchsim run --real input.jsonl -o results.jsonl` goes on" in outcome.stderr
    assert batchsim(*RUN).code == 0
    assert batch_ids(real) == before
    results = [json.loads(line) for line in (desk / "results.jsonl").read_text().splitlines()]
    assert [each["custom_id"] for each in results] == ["request-1", "request-2", "request-3"]


def test_a_batch_that_was_not_made_yet_is_made_by_the_run(
    batchsim, desk, real, lost_job, monkeypatch
) -> None:
    real.cancel_batch(batch_ids(real)[0])  # any other run of the account does not matter
    shutil.copy(DEMO_INPUT, desk / "input.jsonl")
    with (desk / "input.jsonl").open("ab") as stream:
        stream.write(DEMO_INPUT.read_bytes().splitlines()[0].replace(b"request-1", b"more"))
    lose_directory(batchsim, desk, monkeypatch)
    assert "found 1 of 1 batch of" in batchsim(*RECOVER).stderr
    count = len(batch_ids(real))
    assert batchsim(*RUN).code == 0
    assert len(batch_ids(real)) == count


def test_what_the_lost_runner_uploaded_first_does_not_stop_the_recovered_one(
    batchsim, desk, real, monkeypatch
) -> None:
    first, second, _ = DEMO_INPUT.read_text("utf-8").splitlines()
    text = "\n".join([first, second.replace("gpt-3.5-turbo", "gpt-4o-mini")])
    (desk / "input.jsonl").write_text(text, "utf-8")
    create, asked = FakeBackend.create_batch, []

    def once(self, **options):
        asked.append(options)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return create(self, **options)

    with monkeypatch.context() as patch:
        patch.setattr(FakeBackend, "create_batch", once)
        assert batchsim(*RUN).code == 130
    (desk / "results.jsonl.job").rename(desk / "lost.job")  # a new one has other numbers
    assert "found 1 of 2 batches of" in batchsim(*RECOVER).stderr
    assert batchsim(*RUN).code == 0
    assert len(batch_ids(real)) == 2


def test_the_json_tells_the_job(batchsim, lost_job) -> None:
    value = json.loads(batchsim(*RECOVER, "--json").stdout)
    assert value["state"] == "stopped"
    assert value["batches"] == {"validating": 2}
    assert json.loads(batchsim("jobs", "--json").stdout)["run"] == value["run"]


def test_another_input_is_not_taken_for_this_one(batchsim, desk, lost_job) -> None:
    shutil.copy(DEMO_INPUT, desk / "input.jsonl")
    outcome = batchsim(*RECOVER)
    assert outcome.code == 2
    assert "no run of input.jsonl is in the list" in outcome.stderr
    assert "it shows 1 of other inputs" in outcome.stderr
    assert not (desk / "results.jsonl.job").exists()


def test_several_runs_are_named_and_one_is_chosen(
    batchsim, desk, real, lost_job, monkeypatch
) -> None:
    real.clock.advance(60)
    lose_directory(batchsim, desk, monkeypatch)
    outcome = batchsim(*RECOVER)
    assert outcome.code == 2
    assert "was run several times" in outcome.stderr
    assert "--run ID" in outcome.stderr
    runs = {batch.metadata["bs_run"] for batch in real.list_batches().data}
    assert len(runs) == 2
    assert all(run in outcome.stderr for run in runs)
    chosen = min(runs)
    assert batchsim(*RECOVER, "--run", chosen, "--json").code == 0
    assert json.loads(batchsim("jobs", "--json").stdout)["run"] == chosen


def test_with_another_key_the_names_of_the_files_tell(
    batchsim, lost_job, real, monkeypatch
) -> None:
    """The hash in the metadata holds the account; the file names hold the content alone."""
    from batchsim.cli.jobs import job

    monkeypatch.setattr(job.real_backend(), "account", "another")
    assert "found 2 of 2 batches" in batchsim(*RECOVER).stderr


def test_a_job_that_is_not_lost_is_left_alone(batchsim, lost_job) -> None:
    assert batchsim(*RECOVER).code == 0
    again = batchsim(*RECOVER)
    assert again.code == 2
    assert "results.jsonl.job has a journal" in again.stderr


def test_users_own_metadata_come_back(batchsim, desk, real) -> None:
    from batchsim.runner.run import run

    (desk / "input.jsonl").write_bytes(DEMO_INPUT.read_bytes())
    from batchsim.cli.jobs import job

    backend = job.real_backend()
    run("input.jsonl", backend, results="results.jsonl", metadata={"night": "17"})
    shutil.rmtree("results.jsonl.job")
    (desk / "results.jsonl").unlink()
    assert batchsim(*RECOVER).code == 0
    with job.Job(Path("results.jsonl.job")).reading() as follower:
        assert follower.state.started.metadata == {"night": "17"}
    assert batchsim(*RUN).code == 0


def copy_batch(real: FakeBackend, content: bytes, *, named: str = "theirs.jsonl"):
    """Make a batch over other lines that has the metadata of the job's oldest batch."""
    ours = min(real.list_batches().data, key=lambda batch: (batch.created_at, batch.id))
    file = real.upload_file(io.BytesIO(content), filename=named)
    return real.create_batch(
        input_file_id=file.id, endpoint=ours.endpoint, metadata=dict(ours.metadata)
    )


def made_older(monkeypatch, identifier: str) -> None:
    """Let the list show that batch as the oldest of all."""
    pages, one = FakeBackend.list_batches, FakeBackend.retrieve_batch

    def older(batch):
        is_it = batch.id == identifier
        return replace(batch, created_at=batch.created_at - 30) if is_it else batch

    def listed(self, **options):
        page = pages(self, **options)
        return replace(page, data=tuple(sorted(map(older, page.data), key=_newest_first)))

    monkeypatch.setattr(FakeBackend, "list_batches", listed)
    monkeypatch.setattr(FakeBackend, "retrieve_batch", lambda self, name: older(one(self, name)))


def _newest_first(batch):
    return -batch.created_at


@pytest.mark.parametrize("has_our_name", [False, True])
def test_an_older_batch_with_copied_metadata_and_another_input_is_left_out(
    batchsim, desk, real, lost_job, monkeypatch, has_our_name
) -> None:
    before = set(batch_ids(real))
    first = min(real.list_batches().data, key=lambda batch: batch.metadata["bs_shard"])
    source = real.retrieve_file(first.input_file_id)
    content = b"".join(real.read_file(first.input_file_id))
    other = content.replace(b"request-1", b"another-1")
    assert len(other) == len(content)
    foreign = copy_batch(real, other, named=source.filename if has_our_name else "theirs.jsonl")
    made_older(monkeypatch, foreign.id)
    outcome = batchsim(*RECOVER)
    assert outcome.code == 0, outcome.stderr
    assert "found 2 of 2 batches" in outcome.stderr
    ended = batchsim(*RUN)
    results = [json.loads(line) for line in (desk / "results.jsonl").read_text().splitlines()]
    assert [each["custom_id"] for each in results] == ["request-1", "request-2", "request-3"]
    assert all(each["response"]["status_code"] == 200 for each in results)
    assert set(batch_ids(real)) == {*before, foreign.id}, "nothing was paid again"
    assert ended.code in (0, 3)  # 3: it tells that somebody made a batch in its name


def test_a_batch_whose_input_is_gone_yields_to_a_whole_one(
    batchsim, desk, real, lost_job, monkeypatch
) -> None:
    before = set(batch_ids(real))
    first = min(real.list_batches().data, key=lambda batch: batch.metadata["bs_shard"])
    foreign = copy_batch(real, b"".join(real.read_file(first.input_file_id)))
    made_older(monkeypatch, foreign.id)
    real.delete_file(foreign.input_file_id)
    assert "found 2 of 2 batches" in batchsim(*RECOVER).stderr
    assert batchsim(*RUN).code == 0
    results = [json.loads(line) for line in (desk / "results.jsonl").read_text().splitlines()]
    assert all(each["response"]["status_code"] == 200 for each in results)
    assert set(batch_ids(real)) == {*before, foreign.id}
