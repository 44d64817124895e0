"""Each finding, by a client that deserves it, and a clean client that gets none."""

import contextlib
import io
import json

import pytest

from batchsim.backends.fake import SCENARIOS, FakeBackend, Pacing
from batchsim.domain.lifecycle import Status
from batchsim.domain.limits import Limits
from batchsim.errors import OutcomeUnknown, RateLimited, Refused
from batchsim.stores.disk import DiskStore
from batchsim.verdict import CODES, judge

HALF_EXPIRES = {"pacing": Pacing(running=0.7 * 86_400, running_per_line=8_640.0, spread=0.0)}
"""Six lines take 31 hours, so two expire; two lines take 22."""


def answers_429_once():
    asked = set()

    def answer(request):
        first, _ = request.custom_id not in asked, asked.add(request.custom_id)
        error = {"error": {"code": "rate_limit_exceeded"}}
        return (429, error) if first and request.custom_id == "a" else "4"

    return {"responder": answer}


def polls_fast(client):
    batch = client.wait(client.submit("a"), every=1.0)
    client.read(batch.output_file_id)


def asks_again_at_once(client):
    for custom_id in "abc":
        with contextlib.suppress(RateLimited):
            client.upload(custom_id, expires_after=86_400)


def hammers_one_request(client):
    file = client.upload("a", expires_after=86_400)
    for _ in range(4):
        with contextlib.suppress(RateLimited):
            client.create(file)


def reads_the_output_only(client):
    batch = client.wait(client.submit("a", "b"))
    client.read(batch.output_file_id)


def takes_expired_for_nothing(client):
    batch = client.wait(client.submit(*"abcdef"))
    client.read(batch.error_file_id)
    client.clean(*"abcdef")


def cancels_and_forgets(client):
    batch = client.submit(*"abcdef")
    client.fake.clock.sleep(50_000)
    client.read(client.wait(client.fake.cancel_batch(batch.id)).error_file_id)


def does_not_read_what_completed(client):
    client.wait(client.submit("a"))


def gives_up_what_expired(client):
    batch = client.wait(client.submit(*"abcdef"))
    client.read(batch.output_file_id, batch.error_file_id)


def gives_up_what_got_lost(client):
    batch = client.wait(client.submit(*(f"line-{number}" for number in range(20))))
    client.read(batch.output_file_id, batch.error_file_id)


def gives_up_a_failed_batch(client):
    client.wait(client.submit("a"))


def sends_all_of_it_again(client):
    batch = client.wait(client.submit("a", "b"))
    client.read(batch.output_file_id, batch.error_file_id)
    batch = client.wait(client.submit("a", "b"))
    client.read(batch.output_file_id, batch.error_file_id)


def sends_while_it_runs(client):
    batches = [client.submit("a"), client.submit("b", "a")]
    for batch in map(client.wait, batches):
        client.read(batch.output_file_id)


def creates_after_a_lost_reply(client):
    file = client.upload("a", expires_after=86_400)
    with contextlib.suppress(OutcomeUnknown):
        client.create(file)
    client.read(client.wait(client.create(file)).output_file_id)
    client.fake.list_batches()


def leaves_what_it_uploaded(client):
    batch = client.wait(client.create(client.upload("a")))
    client.read(batch.output_file_id)


def leaves_the_results(client):
    batch = client.wait(client.submit("a", output_expires_after=None))
    client.read(batch.output_file_id)


def goes_away(client):
    client.submit("a")


def never_looks_back(client):
    client.submit("a")
    client.fake.clock.sleep(86_400)


def sends_too_much(client):
    client.wait(client.submit("a", "b", "c"))


def sends_a_large_file(client):
    with contextlib.suppress(Refused):
        client.upload("a", "b", "c")


def sends_nonsense(client):
    file = client.upload(content=b"{}\n{", expires_after=86_400)
    client.wait(client.create(file))


def fills_the_queue(client):
    batches = [client.submit(name) for name in "abc"]
    for batch in map(client.wait, batches):
        client.read(batch.output_file_id)
    for name in set("abc") - client.results.keys():
        client.clean(name)


def takes_it_in_one_piece(client):
    import openai  # noqa: F401 - the client below is of this package

    batch = client.wait(client.submit("a"))
    client.fake.openai_client().files.content(batch.output_file_id)


@pytest.mark.parametrize(
    ("codes", "work", "options"),
    [
        (["polls_too_often"], polls_fast, {}),
        (["ignores_retry_after"], asks_again_at_once, {"limits": Limits(uploads_per_minute=1)}),
        (
            ["ignores_retry_after", "leaves_batches"],
            hammers_one_request,
            {"limits": Limits(batches_per_hour=1)},
        ),
        (
            ["never_reads_error_file", "sends_nothing_again"],
            reads_the_output_only,
            answers_429_once,
        ),
        (["never_reads_error_file"], reads_the_output_only, {"responder": {"a": (400, {})}}),
        (
            ["sends_good_lines_again", "drops_partial_results"],
            takes_expired_for_nothing,
            HALF_EXPIRES,
        ),
        (["drops_partial_results"], cancels_and_forgets, HALF_EXPIRES),
        (["drops_results"], does_not_read_what_completed, {}),
        (["sends_nothing_again"], gives_up_what_expired, HALF_EXPIRES),
        (
            ["sends_nothing_again"],
            gives_up_what_got_lost,
            {"faults": SCENARIOS["missing_lines"].faults},
        ),
        (
            ["sends_nothing_again"],
            gives_up_a_failed_batch,
            {"limits": Limits(enqueued_tokens={"gpt-4o-mini": 1})},
        ),
        (["sends_good_lines_again"], sends_all_of_it_again, {}),
        (["sends_running_lines_again"], sends_while_it_runs, {}),
        (
            ["creates_twice", "drops_results"],
            creates_after_a_lost_reply,
            {"scenario": "reply_lost"},
        ),
        (["leaves_files"], leaves_what_it_uploaded, {}),
        (["leaves_files"], leaves_the_results, {}),
        (["leaves_batches"], goes_away, {}),
        (["leaves_batches"], never_looks_back, {}),
        (["meets_known_limits"], sends_too_much, {"limits": Limits(requests_per_batch=2)}),
        (["meets_known_limits"], sends_a_large_file, {"limits": Limits(input_file_bytes=300)}),
        (["meets_known_limits"], sends_nonsense, {}),
        (
            ["meets_known_limits"],
            fills_the_queue,
            {"limits": Limits(enqueued_tokens={"gpt-4o-mini": 10})},
        ),
        (
            ["loads_all_in_memory"],
            takes_it_in_one_piece,
            {"responder": {"a": {"padding": "x" * (4 << 20)}}},
        ),
        ([], takes_it_in_one_piece, {"responder": {"a": {"padding": "x" * (3 << 20)}}}),
    ],
)
def test_a_client_gets_what_it_deserves(client, codes, work, options):
    someone = client(**(options() if callable(options) else options))
    work(someone)
    verdict = someone.verdict
    assert list(verdict.codes) == codes, str(verdict)
    for finding in verdict.findings:
        assert finding.evidence
        assert finding.remedy
        assert finding.code in CODES


@pytest.mark.parametrize("scenario", ["completed", "missing_lines", "duplicate_lines", "slow"])
def test_a_clean_client_gets_none_in(client, scenario):
    chosen = SCENARIOS[scenario]
    someone = client(pacing=chosen.paced(Pacing()), faults=chosen.faults)
    someone.clean(*(f"line-{number}" for number in range(10)))
    assert len(someone.results) == 10
    assert someone.verdict.is_clean, str(someone.verdict)


def test_a_clean_client_gets_none_when_lines_expire_or_fail_for_a_while(client):
    for options in (HALF_EXPIRES, answers_429_once()):
        someone = client(**options)
        someone.clean(*"abcdef")
        assert len(someone.results) == 6
        assert someone.verdict.is_clean, str(someone.verdict)


def test_who_deletes_its_files_leaves_none(client):
    someone = client()
    file = someone.upload("a")
    batch = someone.wait(someone.create(file, output_expires_after=None))
    someone.read(batch.output_file_id)
    for file_id in (file.id, batch.output_file_id):
        someone.fake.delete_file(file_id)
    assert someone.verdict.is_clean, str(someone.verdict)


def test_a_cancelled_batch_is_not_left_behind(client):
    someone = client()
    someone.fake.cancel_batch(someone.submit("a").id)
    assert someone.verdict.is_clean, str(someone.verdict)


def test_lines_are_known_after_their_files_are_deleted(client):
    someone = client()
    for _ in range(2):
        file = someone.upload("a", "b")
        batch = someone.wait(someone.create(file))
        someone.read(batch.output_file_id)
        for file_id in (file.id, batch.output_file_id):
            someone.fake.delete_file(file_id)
    assert someone.verdict.codes == ("sends_good_lines_again",)


def test_lines_that_are_too_many_to_remember_are_not_judged_and_it_is_said(client, monkeypatch):
    monkeypatch.setattr("batchsim.backends.fake.store.removed_contents.ROOM", 100)
    someone = client()
    for _ in range(2):
        file = someone.upload("a", "b")
        batch = someone.wait(someone.create(file))
        someone.read(batch.output_file_id)
        someone.fake.delete_file(file.id)
    assert someone.verdict.is_clean
    assert "the lines of 2 batches" in str(someone.verdict)


@pytest.mark.parametrize("others", [0, 1])
def test_a_line_that_is_twice_in_one_batch_is_no_line_sent_again(client, others):
    someone = client()
    for _ in range(others):
        someone.clean("b")
    batch = someone.wait(someone.submit("a", "a"))
    assert batch.errors
    assert someone.verdict.codes == ("meets_known_limits",)


def test_the_lines_of_one_batch_that_runs_are_not_read_for_a_verdict(client, monkeypatch):
    someone = client()
    someone.submit("a")
    monkeypatch.setattr("batchsim.backends.fake.log.client_history.History.request_lines", None)
    assert someone.verdict.codes == ("leaves_batches",)


def test_what_was_read_before_the_store_was_opened_again_is_not_dropped(client, tmp_path):
    before = client(store=DiskStore(tmp_path))
    batch = before.wait(before.submit("a"))
    before.read(batch.output_file_id)
    before.fake.close()
    someone = client(store=DiskStore(tmp_path))
    someone.fake.clock.sleep(60)
    assert someone.fake.retrieve_batch(batch.id).output_file_id == batch.output_file_id
    assert someone.verdict.is_clean
    someone.wait(someone.submit("b"))
    assert someone.verdict.codes == ("drops_results",)
    someone.fake.close()


def test_what_expired_unread_may_be_sent_again(client):
    someone = client()
    someone.submit("a", output_expires_after=3_600)
    someone.fake.clock.sleep(2 * 86_400)
    someone.fake.list_batches()
    batch = someone.wait(someone.submit("a"))
    someone.read(batch.output_file_id)
    assert "sends_good_lines_again" not in someone.verdict.codes


def test_evidence_names_requests_times_ids_and_custom_ids(client):
    someone = client()
    sends_all_of_it_again(someone)
    (found,) = someone.verdict.findings
    first, second = (each.batch.id for each in someone.fake.history().batches)
    assert found.evidence == (
        f"{second} holds 'a', 'b' of {first}, which has a good result for it (request 8 at 180 s)",
    )
    assert str(someone.verdict).splitlines() == [
        "verdict on 12 requests: 1 finding: sends_good_lines_again",
        "sends_good_lines_again: it resends lines that have a good result, and pays for them twice",
        f"  - {found.evidence[0]}",
        "  remedy: send only lines of which no result file of any batch so far has a good result",
    ]


def test_much_evidence_is_cut_and_counted(client):
    someone = client()
    for number in range(9):
        someone.submit(str(number))
    (found,) = someone.verdict.findings
    assert len(found.evidence) == 6
    assert found.evidence[-1] == "and 4 more"


def test_a_verdict_is_plain_json_too(client):
    someone = client()
    goes_away(someone)
    value = json.loads(json.dumps(someone.verdict.to_object()))
    assert value["is_clean"] is False
    assert value["requests"] == 2
    assert [each["code"] for each in value["findings"]] == ["leaves_batches"]


def test_assert_clean_tells_all_but_what_is_allowed(client):
    someone = client()
    assert someone.verdict.summary() == "verdict on 0 requests: clean"
    someone.verdict.assert_clean()
    goes_away(someone)
    someone.verdict.assert_clean(allow="leaves_batches")
    with pytest.raises(AssertionError, match="leaves_batches: it abandons batches"):
        someone.verdict.assert_clean(allow=["leaves_files"])


def test_a_batch_that_ended_is_live_until_then(client):
    someone = client()
    batch = someone.wait(someone.submit("a"), every=0.25)
    (each,) = judge_history(someone.fake).batches
    assert each.batch.status is Status.COMPLETED
    assert each.is_live(each.ended - 0.1)
    assert not each.is_live(each.ended)
    assert batch.completed_at == int(each.ended)


def judge_history(fake: FakeBackend):
    history = fake.history()
    assert judge(history).requests == history.requests
    return history


def test_the_journal_is_bounded_and_says_so(client, monkeypatch):
    monkeypatch.setattr("batchsim.backends.fake.log.request_log.MOST_ENTRIES", 10)
    someone = client()
    for number in range(25):
        someone.fake.list_batches()
        someone.fake.list_files()
        assert len(someone.fake.requests.entries()) == min(2 * number + 2, 10)
    history = someone.fake.history()
    assert (history.requests, history.forgotten) == (50, 40)
    assert [entry.number for entry in history.entries] == [*range(41, 51)]
    assert someone.verdict.unjudged == ("the first 40 requests: they are forgotten by now",)


def test_a_day_of_polling_is_a_handful_of_entries(client):
    someone = client(scenario="slow")
    batches = [someone.submit(name) for name in "ab"]
    for _ in range(200):
        someone.fake.clock.sleep(60)
        for batch in batches:
            someone.fake.retrieve_batch(batch.id)
    entries = someone.fake.requests.entries()
    assert len(entries) < 12
    assert sum(entry.times for entry in entries) == 404
    assert entries[-1].last_number == 404


def test_a_name_that_would_move_the_cursor_is_told_escaped(client):
    someone = client()
    with contextlib.suppress(Refused):
        someone.fake.upload_file(io.BytesIO(b"{}"), filename="a\x1b[2J\n" + "x" * 9_000 + ".txt")
    (entry,) = someone.fake.requests.entries()
    assert entry.words.isprintable()
    assert len(entry.words) < 1_000
    assert len(str(someone.verdict).splitlines()) == 4
