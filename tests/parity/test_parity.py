"""`make parity` without the real API: two simulators, of which one breaks a promise or more."""

import io
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from metered import Cap, CapReached, MeteredBackend
from side_by_side import checks_of, compare, rehearse

from batchsim.backends.fake import FakeBackend
from batchsim.testing.contract import BackendContract

SCRIPT = Path(__file__).parent
AMPLE = Cap(batches=100, lines=1_000, seconds=7_200.0)
LINES = b"\n".join(
    b'{"custom_id": "%d", "method": "POST", "url": "/v1/embeddings",'
    b' "body": {"model": "text-embedding-3-small", "input": "Hi"}}' % number
    for number in (1, 2)
)


class ForgetsMetadata(FakeBackend):
    def create_batch(self, **arguments):
        super().create_batch(**arguments)
        return super().create_batch(**{**arguments, "metadata": None})


class SomeChecks:
    """A contract of few promises."""

    def test_all_is_well(self, backend):
        assert backend.list_files().data == ()

    def test_a_day_passes(self, backend):
        backend.clock.sleep(86_400)

    @pytest.mark.parametrize("number", [1, 2], ids=["one", "two"])
    def test_a_batch_runs(self, backend, number):
        for _ in range(number):
            upload_and_create(backend)

    @pytest.mark.parametrize(("left", "right"), [("a", "b")])
    def test_it_is_skipped(self, backend, left, right):
        pytest.skip(left + right)


def upload_and_create(backend):
    file = backend.upload_file(io.BytesIO(LINES), filename="a.jsonl")
    return backend.create_batch(input_file_id=file.id, endpoint="/v1/embeddings")


@pytest.fixture(scope="module")
def rehearsals():
    return rehearse(BackendContract(), lambda: FakeBackend(seed=1))


def test_every_check_of_the_contract_passes_its_rehearsal(rehearsals):
    assert len(rehearsals) > 50
    assert {each.outcome.verdict for each in rehearsals} == {"passed"}


def test_a_simulator_does_not_differ_from_another(rehearsals):
    told = []
    assert compare(rehearsals, MeteredBackend(FakeBackend(seed=2), AMPLE), told.append) == []
    assert len(told) == 1 + len(rehearsals)


def test_a_difference_is_found_and_explained(rehearsals):
    told = []
    different = compare(rehearsals, MeteredBackend(ForgetsMetadata(seed=2), AMPLE), told.append)
    assert "metadata comes back" in different
    assert "a deleted file is gone" not in different
    row = next(index for index, line in enumerate(told) if line.startswith("metadata comes back"))
    assert told[row].split()[-4:] == ["passed", "failed", "<-", "differs"]
    assert told[row + 2].endswith("assert batch.metadata == metadata")
    assert any(line.startswith("    other: metadata = {'job': '42'") for line in told)


def test_checks_are_named_for_people():
    assert [check.name for check in checks_of(SomeChecks())] == [
        "a batch runs [one]",
        "a batch runs [two]",
        "a day passes",
        "all is well",
        "it is skipped [('a', 'b')]",
    ]


def test_a_check_that_waits_for_long_is_left_out():
    told = []
    backend = MeteredBackend(FakeBackend(), AMPLE)
    rehearsed = rehearse(SomeChecks(), FakeBackend)
    different = compare(rehearsed, backend, told.append)
    assert different == ["all is well"]  # it finds the files of the checks before it
    assert [line.split()[-1] for line in told if line.startswith("it is")] == ["skipped"]
    assert "left out: it sleeps for longer than a minute" in told[3]
    assert backend.spent.seconds == 0


@pytest.mark.parametrize(("batches", "lines"), [(2, 100), (100, 4), (100, 5)])
def test_nothing_is_created_beyond_the_cap(batches, lines):
    backend = MeteredBackend(FakeBackend(), Cap(batches=batches, lines=lines, seconds=1.0))
    upload_and_create(backend)
    upload_and_create(backend)
    with pytest.raises(CapReached):
        upload_and_create(backend)
    assert (backend.spent.batches, backend.spent.lines) == (2, 4)
    assert len(backend.list_batches().data) == 2


def test_patience_ends_and_begins_anew_with_each_check():
    backend = MeteredBackend(FakeBackend(), Cap(batches=1, lines=1, seconds=10.0))
    start = backend.clock.now()
    backend.clock.sleep(10)
    with pytest.raises(CapReached):
        backend.clock.sleep(1)
    backend.begin_check()
    backend.clock.sleep(10)
    assert backend.clock.now() == start + 20


def test_what_was_uploaded_and_started_is_cleaned_up():
    fake = FakeBackend()
    others = fake.upload_file(io.BytesIO(LINES), filename="others.jsonl")
    backend = MeteredBackend(fake, AMPLE)
    done = upload_and_create(backend)
    fake.clock.sleep(600)
    running = upload_and_create(backend)
    backend.clean_up()
    assert fake.retrieve_batch(running.id).status == "cancelling"
    assert fake.retrieve_batch(done.id).status == "completed"
    assert [file.id for file in fake.list_files().data] == [others.id]


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "There is no OPENAI_API_KEY: nothing was run"),
        ({"BATCHSIM_PARITY": "1"}, "There is no OPENAI_API_KEY: nothing was run"),
        ({"OPENAI_API_KEY": "sk-any"}, "BATCHSIM_PARITY is not 1: nothing was run"),
    ],
)
def test_nothing_runs_unless_it_is_asked_for(environment, reason):
    ended = subprocess.run(
        [sys.executable, SCRIPT],
        env={"PATH": os.environ["PATH"], "OPENAI_BASE_URL": "http://127.0.0.1:1/v1", **environment},
        capture_output=True,
        encoding="utf-8",
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == reason


@pytest.mark.parametrize(("backend", "code"), [(FakeBackend, 0), (ForgetsMetadata, 1)])
def test_the_estimate_comes_first_and_the_code_tells_a_difference(capsys, backend, code):
    script = runpy.run_path(str(SCRIPT / "__main__.py"), run_name="parity")
    assert script["run"](script["Contract"](), backend(seed=2)) == code
    first, *_, last = capsys.readouterr().out.splitlines()
    assert "13 batches, 85 lines, for at most $0.0" in first
    assert last.split()[1:3] == ["checks", "differ;"]


def test_a_project_in_use_is_left_alone(capsys):
    fake = FakeBackend()
    for _ in range(50):
        fake.upload_file(io.BytesIO(LINES), filename="a.jsonl")
    script = runpy.run_path(str(SCRIPT / "__main__.py"), run_name="parity")
    assert script["run"](script["Contract"](), fake) == 2
    assert "make a project for parity alone" in capsys.readouterr().out
    assert len(fake.list_files().data) == 50
