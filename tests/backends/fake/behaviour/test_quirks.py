"""Every quirk of the service that was reported from the field has a scenario, and shows in it.

The quirks are those that users of the real service reported, q1 to q34 of the project's collection.
"""

import io
import json
import math
from functools import cache

import pytest

from batchsim.backends.fake import SCENARIOS, FakeBackend
from batchsim.errors import (
    BatchsimError,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
)

CHAT = "/v1/chat/completions"
HOUR = 3_600
LINES = 40


class ScenarioRun:
    """One batch in one scenario, as somebody sees it who does not give up; and what was odd."""

    def __init__(self, scenario, pacing):
        self.fake = FakeBackend(scenario=scenario, pacing=pacing, seed=1)
        self.raised = []
        self.seen = []
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say it twice"}]}
        line = {"method": "POST", "url": CHAT, "body": body}
        self.ids = [f"line-{number}" for number in range(LINES)]
        content = "\n".join(json.dumps({"custom_id": each, **line}) for each in self.ids)
        self.uploaded = self.insist(
            "upload_file", io.BytesIO(content.encode()), filename="input.jsonl"
        )
        self.at_once = self.attempt("retrieve_file", self.uploaded.id)
        self.batch = self.insist("create_batch", input_file_id=self.uploaded.id, endpoint=CHAT)
        self.listed = self.attempt("list_batches")
        self.start = self.fake.clock.now()
        while not self.batch.status.is_terminal and self.fake.clock.now() < self.start + 30 * HOUR:
            self.fake.clock.sleep(10 if len(self.seen) < 100 else HOUR / 4)
            self.batch = self.insist("retrieve_batch", self.batch.id)
            self.seen.append((self.fake.clock.now() - self.start, self.batch))
        self.first_end = self.batch
        self.output = self.read(self.batch.output_file_id)
        self.fake.clock.sleep(40)
        self.later = self.insist("retrieve_batch", self.batch.id)
        self.late_output = self.read(self.later.output_file_id)
        self.errors = self.read(self.later.error_file_id)
        self.fake.clock.sleep(2 * HOUR)
        self.much_later = self.attempt("retrieve_batch", self.batch.id)

    def attempt(self, name, *arguments, **options):
        try:
            value = getattr(self.fake, name)(*arguments, **options)
            return b"".join(value) if name == "read_file" else value
        except BatchsimError as error:
            self.raised.append((name, error))
            return error

    def insist(self, name, *arguments, **options):
        for _ in range(30):
            value = self.attempt(name, *arguments, **options)
            if not isinstance(value, BatchsimError):
                return value
            if arguments and hasattr(arguments[0], "seek"):
                arguments[0].seek(0)
            self.fake.clock.sleep(60)
        raise value

    def read(self, file_id):
        if file_id is None:
            return []
        try:
            content = self.insist("read_file", file_id)
        except NotFound:
            return None
        return [json.loads(line) for line in content.splitlines()]

    @property
    def codes(self):
        """The status codes of all lines; None for those without a response."""
        lines = [*(self.late_output or []), *(self.errors or [])]
        return {(each["response"] or {}).get("status_code") for each in lines}

    @property
    def found(self):
        return [each["custom_id"] for each in self.late_output]

    @property
    def bodies(self):
        return [each["response"]["body"] for each in self.late_output]

    @property
    def seconds_in(self):
        """How long the batch was seen in each status."""
        seen = {}
        for at, batch in self.seen:
            first, _ = seen.get(batch.status, (at, at))
            seen[batch.status] = first, at
        return {status: last - first for status, (first, last) in seen.items()}

    def met(self, name, kind, text=""):
        return any(
            call == name and type(error) is kind and text in error.message
            for call, error in self.raised
        )


@cache
def run_scenario(scenario, pacing="today"):
    return ScenarioRun(scenario, pacing)


def batches_created(scenario_run):
    return len(scenario_run.fake.undisturbed.all_batches())


def values_in_choices(scenario_run, name):
    return {body["choices"][0][name] for body in scenario_run.bodies}


def seconds_to_cancel(scenario):
    """How long cancelling took, for a batch that has not begun."""
    fake = FakeBackend(scenario=scenario, pacing="quick")
    batch = fake.create_batch(input_file_id="file-x", endpoint=CHAT)
    fake.cancel_batch(batch.id)
    fake.clock.sleep(HOUR)
    batch = fake.retrieve_batch(batch.id)
    return batch.cancelled_at - batch.cancelling_at


def webhook_comes_twice(scenario_run):
    ended = scenario_run.fake.take_ended()
    return len(ended) == 2 and ended[0].id == ended[1].id


QUIRKS = {
    "q1 results in input order": ("input_order", lambda p: p.found == p.ids),
    "q2 no line is run for an hour": (
        "stuck_in_progress",
        lambda p: p.seconds_in["in_progress"] > HOUR and not p.batch.request_counts.completed,
    ),
    "q3 finalizing for long": ("stuck_finalizing", lambda p: p.seconds_in["finalizing"] > HOUR),
    "q4 validating with no counts for minutes": (
        "slow_validating",
        lambda p: p.seconds_in["validating"] > 600 and p.seen[0][1].request_counts.total == 0,
    ),
    "q5 completed with an error file": (
        "some_failed",
        lambda p: p.batch.status == "completed" and p.batch.error_file_id and p.found,
    ),
    "q6 completed without an output file": (
        "all_failed",
        lambda p: p.batch.status == "completed" and p.later.output_file_id is None,
    ),
    "q7 completed, its files not yet named": (
        "late_output_file",
        lambda p: p.first_end.output_file_id is None and p.later.output_file_id,
    ),
    "q8 expired with a part of the results": (
        "expired_partial",
        lambda p: p.batch.status == "expired" and 0 < len(p.found) < LINES,
    ),
    "q8 expired later than a day": (
        "late_expiry",
        lambda p: p.batch.expired_at > p.batch.expires_at + 1_000,
    ),
    "q9 cancelling takes ten minutes": (
        "slow_cancelling",
        lambda _: seconds_to_cancel("slow_cancelling") == 605,
    ),
    "q10 cannot find a file just uploaded": (
        "file_race",
        lambda p: p.met("create_batch", Refused, "Cannot find file"),
    ),
    "q11 failed, a listed file not found": (
        "incident",
        lambda p: {each.status for each in twenty_batches("incident")} == {"failed", "completed"},
    ),
    "q12 a file not found just after its upload": (
        "unseen_file",
        lambda p: isinstance(p.at_once, NotFound),
    ),
    "q13 a file uploaded before it is processed": (
        "pending_file",
        lambda p: (
            (p.at_once.status, p.fake.retrieve_file(p.uploaded.id).status)
            == ("uploaded", "processed")
        ),
    ),
    "q14 429 on the creation": ("rate_limited", lambda p: p.met("create_batch", RateLimited)),
    "q15 5xx while polling": (
        "flaky_server",
        lambda p: p.met("retrieve_batch", Unavailable, "500"),
    ),
    "q15 web pages while polling": (
        "html_errors",
        lambda p: p.met("retrieve_batch", Unavailable, "502 Bad Gateway"),
    ),
    "q15 a web page with status 200": (
        "garbled_answers",
        lambda p: p.met("retrieve_batch", Unavailable, "cannot be read"),
    ),
    "q15 time goes by while polling": ("slow_answers", lambda p: p.seen[0][0] > 30),
    "q15 nothing answers for ten minutes": (
        "outage",
        lambda p: p.met("retrieve_batch", Unavailable, "503") and p.batch.status == "completed",
    ),
    "q16 a download cut off": ("truncated_download", lambda p: "read_file" in dict(p.raised)),
    "q17 413 from the edge": ("upload_refused", lambda p: p.met("upload_file", Refused, "413")),
    "q18 tokens held after the end": (
        "tokens_held",
        lambda p: SCENARIOS["tokens_held"].faults.tokens_held_for > 60,  # see test_validating
    ),
    "q19 a failed batch and its file stay": (
        "failed_validation",
        lambda p: p.much_later.status == "failed" and p.fake.retrieve_file(p.uploaded.id),
    ),
    "q20 lines with status code 0": (
        "blank_lines",
        lambda p: 0 in p.codes and p.batch.request_counts.completed == LINES,
    ),
    "q20 lines missing, though counted": (
        "missing_lines",
        lambda p: len(p.found) < LINES == p.batch.request_counts.completed,
    ),
    "q21 a custom_id twice": (
        "duplicate_lines",
        lambda p: len(p.found) > len(set(p.found)) == LINES,
    ),
    "q22 lines with 404": ("not_found_lines", lambda p: p.codes == {200, 404}),
    "q23 lines with 504": ("timed_out_lines", lambda p: p.codes == {200, 504}),
    "q24 lines with 500": ("some_failed", lambda p: p.codes == {200, 500}),
    "q25 no money in the middle": ("quota_exhausted", lambda p: p.codes == {200, 429}),
    "q26 refusals are good lines": (
        "refusals",
        lambda p: (
            len(p.found) == LINES
            and any(body["choices"][0]["message"]["refusal"] for body in p.bodies)
        ),
    ),
    "q27 incomplete answers are good lines": (
        "incomplete_answers",
        lambda p: (
            len(p.found) == LINES and values_in_choices(p, "finish_reason") == {"stop", "length"}
        ),
    ),
    "q28 an old batch is not found": ("forgotten", lambda p: isinstance(p.much_later, NotFound)),
    "q29 an old result file is not found": (
        "output_expired",
        lambda p: p.output is None and p.later.output_file_id,
    ),
    "q30 metadata null, not {}": ("completed", lambda p: p.batch.metadata is None),
    "q31 the last id of a page is that of its last entry": (
        "completed",
        lambda p: p.listed.data[-1].id == p.batch.id,
    ),
    "q32 no usage before the end": ("completed", lambda p: p.seen[0][1].usage.input_tokens == 0),
    "q33 a creation without an answer takes effect": (
        "reply_lost",
        lambda p: p.met("create_batch", OutcomeUnknown) and batches_created(p) == 2,
    ),
    "q34 a webhook comes twice": ("webhooks_twice", webhook_comes_twice),
}
"""What was reported: the scenario in which it is so, and how that shows."""

FEARS = {
    "a 500 after the creation": ("error_after_effect", lambda p: batches_created(p) == 2),
    "a creation takes effect late": ("late_create", lambda p: batches_created(p) == 2),
    "a creation is carried out twice": ("duplicate_create", lambda p: batches_created(p) == 2),
    "an upload without an answer takes effect": (
        "upload_lost",
        lambda p: (
            len([each for each in p.fake.undisturbed.all_files() if each.purpose == "batch"]) == 2
        ),
    ),
    "a new batch is not in the list": ("stale_list", lambda p: p.listed.data == ()),
    "the list is in no order": (
        "unsorted_list",
        lambda p: lists_newest_first("unsorted_list") is False,
    ),
    "validation never ends": ("stuck_validating", lambda p: p.seconds_in["validating"] > 20 * HOUR),
    "the window closes on nothing": (
        "expired_empty",
        lambda p: p.batch.status == "expired" and not p.found and len(p.errors) == LINES,
    ),
    "somebody else cancels": (
        "cancelled_partial",
        lambda p: p.batch.status == "cancelled" and 0 < len(p.found) < LINES,
    ),
    "lines take eight hours": ("slow", lambda p: p.seconds_in["in_progress"] > 7 * HOUR),
    "the queue is full": (
        "token_limit",
        lambda p: (
            [each.code for each in p.batch.errors] == ["token_limit_exceeded"]
            and {each.status for each in twenty_batches("token_limit")} == {"failed", "completed"}
        ),
    ),
    "lines that nobody asked for": ("foreign_lines", lambda p: len(set(p.found) - set(p.ids)) > 1),
    "lines without a response": ("unanswered_lines", lambda p: p.codes == {200, None}),
    "another clock": ("clock_skew", lambda p: p.batch.created_at - p.start == pytest.approx(300)),
}
"""What was not reported but is possible, and what RELIABILITY asks of a runner to survive."""


def twenty_batches(scenario):
    fake = FakeBackend(scenario=scenario, pacing="instant")
    body = {"model": "gpt-4o-mini", "input": "x"}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": body}
    file = fake.upload_file(io.BytesIO(json.dumps(line).encode()), filename="input.jsonl")
    made = [fake.create_batch(input_file_id=file.id, endpoint="/v1/embeddings") for _ in range(20)]
    return [fake.retrieve_batch(each.id) for each in made]


def lists_newest_first(scenario):
    fake = FakeBackend(scenario=scenario)
    made = [fake.create_batch(input_file_id="file-x", endpoint=CHAT).id for _ in range(9)]
    return [each.id for each in fake.list_batches().data] == made[::-1]


@pytest.mark.parametrize("quirk", [*QUIRKS, *FEARS])
def test_a_quirk_shows_in_its_scenario(quirk):
    scenario, shows = {**QUIRKS, **FEARS}[quirk]
    assert shows(run_scenario(scenario)), quirk


ORDINARY = ("completed",)
OF_THEIR_OWN = ("slow_cancelling", "incident", "tokens_held", "unsorted_list")
"""Scenarios whose check looks at a fake of its own, or at the plan."""


@pytest.mark.parametrize(
    "quirk",
    [
        quirk
        for quirk, (scenario, _) in {**QUIRKS, **FEARS}.items()
        if scenario not in ORDINARY + OF_THEIR_OWN
    ],
)
def test_a_quirk_does_not_show_when_nothing_is_unusual(quirk):
    _, shows = {**QUIRKS, **FEARS}[quirk]
    try:
        shown = shows(run_scenario("completed"))
    except (KeyError, AttributeError, IndexError, TypeError):
        shown = False
    assert not shown


def test_every_reported_quirk_has_a_scenario():
    assert {int(quirk.split()[0][1:]) for quirk in QUIRKS} == set(range(1, 35))
    assert {scenario for scenario, _ in QUIRKS.values()} <= set(SCENARIOS)


def test_every_scenario_is_there_for_a_quirk():
    assert {scenario for scenario, _ in {**QUIRKS, **FEARS}.values()} == set(SCENARIOS)


def test_every_scenario_keeps_its_name_and_is_described():
    for name, scenario in SCENARIOS.items():
        assert (scenario.name, bool(scenario.description)) == (name, True)
        assert not math.isnan(sum(scenario.durations.values()))
