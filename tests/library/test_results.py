import asyncio
import gc
import json
from decimal import Decimal

import pytest
from pydantic import BaseModel

from batchsim import FakeBackend, Policy, Request, Results, run
from batchsim.domain.batches import Usage
from batchsim.domain.lines import LineError
from batchsim.errors import JournalError, UsageError
from batchsim.pricing.prices import price


class Answer(BaseModel):
    value: int


def requests_of(count, **options):
    return [
        Request.chat(f"question {n}", model="gpt-5-nano", custom_id=f"q-{n}", **options)
        for n in range(count)
    ]


def responder_saying(*texts):
    """A responder that answers the lines q-0, q-1, ... with those texts."""
    return {f"q-{n}": text for n, text in enumerate(texts)}


def test_results_come_in_input_order_as_often_as_asked():
    results = run(requests_of(20), FakeBackend())
    for _ in range(2):
        assert [each.custom_id for each in results] == [f"q-{n}" for n in range(20)]
    assert (len(results), results.lines, results.ok, results.all_ok) == (20, 20, 20, True)
    assert len(results.batches) == 1


def test_a_result_knows_its_request_its_text_and_its_own_line():
    requests = requests_of(3)
    results = run(requests, FakeBackend(responder=responder_saying("a", "b", "c")))
    assert [each.request for each in results] == requests
    assert [each.text for each in results] == ["a", "b", "c"]
    assert b"".join(each.content + b"\n" for each in results) == results.path.read_bytes()


def test_lines_may_be_requests_objects_texts_and_bytes():
    requests = requests_of(4)
    mixed = [
        requests[0],
        requests[1].to_object(),
        requests[2].to_line().decode(),
        requests[3].to_line(),
    ]
    assert [each.request for each in run(mixed, FakeBackend())] == requests


def test_answers_are_parsed_and_refusals_and_mistakes_told_apart():
    def respond(line):
        text = {"q-0": '{"value": 4}', "q-1": '{"value": "four"}', "q-2": None, "q-3": "{"}
        content = text[line.custom_id]
        refusal = "I would rather not." if content is None else None
        message = {"role": "assistant", "content": content, "refusal": refusal}
        return {"model": line.model, "choices": [{"message": message}]}

    results = run(requests_of(4, response_format=Answer), FakeBackend(responder=respond))
    good, wrong, refused, cut = results
    assert (good.parsed, good.validation_error, good.refusal) == (Answer(value=4), None, None)
    assert wrong.parsed is None
    assert [each["loc"] for each in wrong.validation_error.errors()] == [("value",)]
    assert wrong.text == '{"value": "four"}'
    assert (refused.parsed, refused.validation_error) == (None, None)
    assert refused.refusal == "I would rather not."
    assert cut.validation_error is not None
    assert results.all_ok  # each was answered and paid for


def test_each_line_is_parsed_as_its_own_model():
    class Word(BaseModel):
        word: str

    requests = [
        Request.chat("a", model="gpt-5-nano", response_format=Answer),
        Request.response("b", model="gpt-5-nano", response_format=Word),
        Request.chat("c", model="gpt-5-nano"),
    ]
    kinds = [type(each.parsed) for each in run(requests, FakeBackend())]
    assert kinds == [Answer, Word, type(None)]


def test_two_models_of_one_name_are_refused_when_nothing_tells_them_apart(desk):
    twin = type("Answer", (BaseModel,), {"__annotations__": {"value": int}})
    requests = [
        *requests_of(1, response_format=Answer),
        Request.chat("b", model="m", response_format=twin),
    ]
    with pytest.raises(UsageError, match="two response formats are called Answer"):
        run(requests, FakeBackend())
    assert not list(desk.iterdir())


def test_a_file_is_parsed_as_the_model_that_is_given(desk):
    lines = b"".join(each.to_line() for each in requests_of(2, response_format=Answer))
    (desk / "input.jsonl").write_bytes(lines)
    results = run("input.jsonl", FakeBackend(), response_format=Answer)
    assert [each.parsed for each in results] == [Answer(value=0)] * 2
    assert [each.parsed for each in run("input.jsonl", FakeBackend())] == [None] * 2


def test_failed_holds_every_line_without_a_good_result():
    responder = {"q-0": "a", "q-1": (400, {"error": {"message": "no", "code": "bad"}})}
    results = run(requests_of(2), FakeBackend(responder=responder))
    (bad,) = results.failed
    assert (bad.custom_id, bad.is_ok, bad.text) == ("q-1", False, None)
    assert bad.error == LineError("bad", "no")
    assert bad.body == {"error": {"message": "no", "code": "bad"}}
    assert len(results.failed) == 1
    assert not results.all_ok
    assert results.report.failed == 1


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": {"message": "no", "type": "t", "code": None}}, LineError("t", "no")),
        ({"error": "no"}, LineError("http_500", "no")),
        ("<html>", LineError("http_500", "")),
        (None, LineError("http_500", "")),
    ],
)
def test_a_bad_answer_of_any_form_has_an_error(body, error):
    (result,) = run(requests_of(1), FakeBackend(responder=lambda _: (500, body)))
    assert result.error == error


def test_the_cost_is_what_the_usage_costs_in_a_batch():
    results = run(requests_of(3), FakeBackend())
    rates = price("gpt-5-nano", batch=True)
    usage = results.usage
    assert results.usage_by_model == {"gpt-5-nano-2025-08-07": usage}
    assert usage == sum((each.usage for each in results), Usage())
    expected = (usage.input_tokens * rates.input + usage.output_tokens * rates.output) / 1_000_000
    assert results.cost == expected > 0
    assert isinstance(results.cost, Decimal)
    assert results.unpriced_models == ()


def test_a_price_that_is_not_known_is_no_cost_of_nothing():
    requests = [*requests_of(1), Request.chat("a", model="gpt-99-nova")]
    results = run(requests, FakeBackend(), supports=lambda _: True)
    assert results.cost is None
    assert results.unpriced_models == ("gpt-99-nova",)


def test_answers_that_do_not_tell_their_usage_are_not_free():
    results = run([*requests_of(1), Request.video("a", model="sora-2")], FakeBackend())
    assert results.cost is None
    assert results.unpriced_models == ("sora-2",)


def test_moderations_are_free():
    assert run([Request.moderation("a")], FakeBackend()).cost == 0


def test_nothing_is_paid_where_all_failed():
    results = run(requests_of(1), FakeBackend(responder=lambda _: (500, None)))
    assert results.cost == 0
    assert results.usage == Usage()


def test_results_that_are_gone_are_told_and_come_back(desk):
    backend = FakeBackend()
    results = run(requests_of(2), backend, results="r.jsonl")
    content = results.path.read_bytes()
    results.path.unlink()
    with pytest.raises(JournalError, match="cannot be read") as caught:
        list(results)
    assert "run the same job again" in caught.value.hint
    assert run(requests_of(2), backend, results="r.jsonl").path.read_bytes() == content


def test_a_results_file_that_somebody_cut_is_told(desk):
    results = run(requests_of(2), FakeBackend(), results="r.jsonl")
    results.path.write_bytes(results.path.read_bytes()[:-9])
    with pytest.raises(JournalError, match=r"line 2 of r\.jsonl is no result"):
        list(results)
    results.path.write_bytes(results.path.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(JournalError, match=r"r\.jsonl has fewer lines"):
        list(results)


def test_an_input_that_is_gone_is_told(desk):
    (desk / "input.jsonl").write_bytes(requests_of(1)[0].to_line())
    results = run("input.jsonl", FakeBackend(), results="r.jsonl")
    (desk / "input.jsonl").unlink()
    with pytest.raises(JournalError, match="the input cannot be read"):
        list(results)


def test_asyncio_runs_it_in_a_thread_beside_other_work():
    async def work() -> tuple[Results[None], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(tick())
        results = await asyncio.to_thread(run, requests_of(50), FakeBackend())
        beside.cancel()
        return results, ticks

    results, ticks = asyncio.run(work())
    assert results.all_ok
    assert ticks > 1
    assert [json.loads(each.content)["custom_id"] for each in results][:2] == ["q-0", "q-1"]


def test_two_jobs_run_in_two_threads():
    async def both():
        return await asyncio.gather(
            asyncio.to_thread(run, requests_of(5), FakeBackend()),
            asyncio.to_thread(run, requests_of(7), FakeBackend()),
        )

    assert [len(each) for each in asyncio.run(both())] == [5, 7]


class FailingFirst:
    """Answers the lines that it is asked about, each badly so many times before it is well."""

    def __init__(self, bad, status=500):
        self.bad = dict(bad)
        self.status = status
        self.asked = []

    def __call__(self, line):
        self.asked.append(line.custom_id)
        left = self.bad.get(line.custom_id, 0)
        self.bad[line.custom_id] = left - 1
        return f"answer {len(self.asked)}" if left <= 0 else (self.status, {"error": {}})


def test_retry_sends_again_what_failed_and_only_that(desk):
    moody = FailingFirst({"q-1": 2, "q-3": 1})
    backend = FakeBackend(responder=moody)
    first = run(requests_of(5), backend, results="r.jsonl", policy=Policy(retries=0))
    good = {each.custom_id: each.content for each in first if each.is_ok}
    assert [each.custom_id for each in first.failed] == ["q-1", "q-3"]
    assert (first.ok, len(moody.asked)) == (3, 5)

    second = first.retry()
    assert [each.custom_id for each in second.failed] == ["q-1"]
    assert sorted(moody.asked[5:]) == ["q-1", "q-3"]

    third = second.retry()
    assert third.all_ok
    assert moody.asked[7:] == ["q-1"]
    assert [each.custom_id for each in third] == [f"q-{n}" for n in range(5)]
    assert good.items() <= {each.custom_id: each.content for each in third}.items()
    assert third.usage == sum((each.usage for each in third), Usage())
    assert third.path == first.path
    assert len(third.batches) == 3

    assert third.retry().batches == third.batches  # nothing is left to send
    again = run(requests_of(5), backend, results="r.jsonl", policy=Policy(retries=0))
    assert [each.content for each in again] == [each.content for each in third]
    assert len(moody.asked) == 8


def test_retry_does_not_send_what_no_try_mends():
    moody = FailingFirst({"q-0": 9}, status=400)
    results = run(requests_of(2), FakeBackend(responder=moody))
    assert len(results.retry().failed) == 1
    assert len(moody.asked) == 2


def test_a_retry_keeps_a_passing_job_as_long_as_it_is_known():
    results = run(
        requests_of(2), FakeBackend(responder=FailingFirst({"q-0": 1})), policy=Policy(retries=0)
    )
    results = results.retry()
    gc.collect()
    assert [each.is_ok for each in results] == [True, True]
