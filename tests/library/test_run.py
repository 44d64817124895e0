import gc
import inspect
import tracemalloc

import pytest

import batchsim
from batchsim import FakeBackend, Policy, Request, VirtualClock, run
from batchsim.errors import InputError, JobIncomplete, JournalError, OutcomeUnknown, UsageError
from batchsim.library.run import JobOptions
from batchsim.runner.policy import Backoff
from batchsim.runner.run import run as run_job
from tests.library.conftest import Lasting


def requests_of(*texts):
    return [Request.chat(each, model="gpt-5-nano") for each in texts]


def test_every_option_of_the_runner_can_be_given():
    own = set(inspect.signature(run_job).parameters) - {"requests", "backend", "results", "job"}
    assert set(JobOptions.__annotations__) == own


def test_a_job_without_a_name_is_found_again_by_its_lines(desk, lasting):
    first = run(requests_of("a", "b"), lasting)
    (job,) = desk.iterdir()
    assert job.name.startswith("batchsim-")
    assert job.name.endswith(".job")
    assert first.job.resolve() == job
    assert first.path == first.job / "results.jsonl"
    again = run(iter(requests_of("a", "b")), lasting)
    assert lasting.created == 1
    assert [each.content for each in again] == [each.content for each in first]


def test_other_lines_and_other_services_are_other_jobs(desk, lasting):
    elsewhere = Lasting(seed=1)
    elsewhere.service = "another"
    jobs = {
        run(requests_of("a", "b"), lasting).job,
        run(requests_of("b", "a"), lasting).job,
        run(requests_of("a", "b"), elsewhere).job,
    }
    assert len(jobs) == 3


def test_a_job_without_a_name_goes_on_where_it_stopped(desk, lasting):
    class Silent(Lasting):
        def create_batch(self, **arguments):
            super().create_batch(**arguments)
            raise OutcomeUnknown("no answer came")

    silent = Silent(seed=1, clock=VirtualClock())
    impatient = Policy(backoff=Backoff(patience=0), list_lag=60)
    try:
        run(requests_of("a"), silent, policy=impatient)
    except JobIncomplete:
        assert len(list(desk.iterdir())) == 1
        assert run(requests_of("a"), silent, policy=impatient).all_ok
    assert silent.created == 1


def test_a_file_keeps_its_job_beside_it(desk, lasting):
    (desk / "input.jsonl").write_bytes(b"".join(each.to_line() for each in requests_of("a", "b")))
    results = run("input.jsonl", lasting)
    assert str(results.job) == "input.jsonl.job"
    assert str(results.path) == "input.jsonl.job/results.jsonl"
    assert sorted(each.name for each in desk.iterdir()) == ["input.jsonl", "input.jsonl.job"]


def test_named_places_are_used(desk, lasting):
    run(requests_of("a"), lasting, results="r.jsonl")
    run(requests_of("b"), lasting, job="j")
    run(requests_of("c"), lasting, results="s.jsonl", job="k")
    names = {
        str(each.relative_to(desk)) for each in desk.rglob("*.jsonl") if "shards" not in each.parts
    }
    assert {"r.jsonl", "j/results.jsonl", "s.jsonl"} <= names
    assert {each.name for each in desk.iterdir() if each.is_dir()} == {"r.jsonl.job", "j", "k"}


def test_what_a_simulator_holds_in_memory_leaves_nothing_behind(desk):
    results = run(requests_of("a"), FakeBackend())
    folder = results.job
    assert folder.is_dir()
    iterator = iter(results)
    del results
    gc.collect()
    assert next(iterator).is_ok  # who still reads keeps it
    del iterator
    gc.collect()
    assert not folder.exists()
    with run(requests_of("a"), FakeBackend()) as results:
        assert results.all_ok
    assert not results.job.exists()
    assert not list(desk.iterdir())


def test_the_same_lines_are_run_anew_on_another_simulator_in_memory():
    for text in ("x", "y"):
        request = requests_of("a")
        fake = FakeBackend(responder={request[0].custom_id: text})
        assert [each.text for each in run(request, fake)] == [text]


def bad_line():
    return [*requests_of("a"), {"custom_id": "b", "method": "GET"}]


@pytest.mark.parametrize("named", [{}, {"job": "j"}, {"results": "r.jsonl"}], ids=str)
@pytest.mark.parametrize(
    "requests",
    [bad_line(), [{"a": object()}], [b"{}\n{}"], b"bytes", 7, {"custom_id": "a"}, [], "absent"],
    ids=["line", "object", "lines", "bytes", "number", "mapping", "nothing", "path"],
)
def test_a_bad_input_leaves_no_trace(desk, lasting, requests, named):
    with pytest.raises((InputError, UsageError)):
        run(requests, lasting, **named)
    assert not list(desk.iterdir())
    assert not lasting.created


def test_a_refused_call_harms_no_job_that_was_there(desk, lasting):
    job = run(requests_of("a"), lasting).job
    before = sorted(str(each) for each in job.rglob("*"))
    with pytest.raises(UsageError):
        run(requests_of("a"), lasting, metadata={"bs_run": "mine"})
    assert sorted(str(each) for each in job.rglob("*")) == before


def test_a_job_that_began_survives_the_loss_of_its_input(desk, lasting):
    """An input that vanishes under way is an error of the input, yet batches are paid for."""
    source = desk / "input.jsonl"
    source.write_bytes(b"".join(each.to_line() for each in requests_of("a", "b")))

    def lose(progress):
        if "creat" in progress.message:
            source.unlink(missing_ok=True)

    lines = source.read_bytes()
    try:
        run("input.jsonl", lasting, limits=batchsim.Limits(requests_per_batch=1), observe=lose)
    except batchsim.errors.BatchsimError:
        source.write_bytes(lines)
    assert run("input.jsonl", lasting).all_ok
    assert lasting.created == 2


def test_other_lines_do_no_harm_to_a_job_that_has_begun(desk, lasting):
    first = run(requests_of("a", "b"), lasting, job="j")
    kept = (desk / "j" / "requests.jsonl").read_bytes()
    for lines in (
        requests_of("a", "c"),
        requests_of("a"),
        requests_of("a", "b", "c"),
        requests_of("c", "a", "b"),
    ):
        with pytest.raises(JournalError, match="not those that the job began with: line") as caught:
            run(lines, lasting, job="j")
        assert "a job of their own" in caught.value.hint
    assert (desk / "j" / "requests.jsonl").read_bytes() == kept
    assert [each.request for each in first] == requests_of("a", "b")


def test_what_is_no_backend_is_refused(desk):
    client = FakeBackend().openai_client()
    with pytest.raises(UsageError, match="not a Backend but a OpenAI") as caught:
        run(requests_of("a"), client)
    assert "OpenAIBackend(client)" in caught.value.hint
    client.close()


def test_what_is_no_model_is_refused_before_anything_is_sent(desk, lasting):
    with pytest.raises(UsageError, match="a response format is a pydantic model"):
        run(requests_of("a"), lasting, response_format={"type": "json_object"})
    assert not lasting.created


def test_lines_that_were_skipped_have_their_place_in_the_results(lasting):
    results = run([b"{", *requests_of("a"), {"custom_id": "z"}], lasting, skip_invalid=True)
    assert [(each.custom_id, each.is_ok) for each in results][::2] == [("", False), ("z", False)]
    assert next(each.error.code for each in results.failed) == "invalid_json_line"
    assert results.cost > 0
    assert results.retry().ok == 1


def test_a_folder_that_cannot_be_made_is_told(desk, lasting):
    (desk / "file").touch()
    with pytest.raises(UsageError, match="cannot make the job directory"):
        run(requests_of("a"), lasting, job="file/job")


@pytest.mark.slow
def test_reading_results_takes_no_more_memory_for_more_lines():
    def peak(count):
        requests = (Request.chat(f"{n:0>900}", model="gpt-5-nano") for n in range(count))
        results = run(requests, FakeBackend(pacing="instant", responder=lambda _: "x" * 900))
        tracemalloc.start()
        assert all(result.is_ok for result in results)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(12_000) < 1.2 * peak(4_000) < 10_000_000
