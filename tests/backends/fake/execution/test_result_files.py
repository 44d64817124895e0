"""Rows of the checklist about result files."""

import dataclasses
import hashlib
import json
import re

import pytest

from batchsim.backends.fake import Faults, Pacing
from batchsim.domain.answers import Answer
from batchsim.errors import Refused

STEADY = Pacing(
    validating=60, running=100, running_per_line=0, finalizing=10, finalizing_per_line=0, spread=0
)
GOLDEN = {
    "shuffled": "a9cfd4b0980053e8b3211ccef143f594b072345d57e7e331b6325380ae8dfe18",
    "input": "fc6af6a93610fbe88aba67a479e9d89f5a2cec91c1704578d88b5a4753a49449",
}


def ids(results):
    return [line["custom_id"] for line in results]


def odd_lines_fail(line):
    return (500, {"error": None}) if line.number % 2 else "fine"


def test_rows_125_and_126_a_line_is_ascii_json_with_spaces(user, line, jsonl):
    someone = user(responder=lambda line: Answer(200, '{"text": "\\u00fc"}'))
    batch = someone.finish(jsonl([line('日本😀\u2028"')]))
    content = someone.read(batch.output_file_id)
    assert re.fullmatch(
        rb'\{"id": "batch_req_[0-9a-f]{32}", '
        rb'"custom_id": "\\u65e5\\u672c\\ud83d\\ude00\\u2028\\"", '
        rb'"response": \{"status_code": 200, "request_id": "[0-9a-f-]{36}", '
        rb'"body": \{"text": "\\u00fc"\}\}, "error": null\}\n',
        content,
    )


def test_row_126_a_default_answer_is_written_as_python_writes_json(user, chats):
    someone = user()
    content = someone.read(someone.finish(chats(20)).output_file_id)
    assert content.isascii()
    assert content.endswith(b"}\n")
    for line in content.decode().splitlines():
        assert json.dumps(json.loads(line)) == line


def test_row_127_a_line_id_tells_when_it_was_written(user, chats):
    someone = user(pacing=STEADY)
    batch = someone.finish(chats(20))
    results = someone.results(batch.output_file_id)
    assert len({line["id"] for line in results}) == 20
    times = []
    for line in results:
        match = re.fullmatch(
            r"batch_req_([0-9a-f]{8})([0-9a-f]{4})8190[89ab][0-9a-f]{15}", line["id"]
        )
        times.append(int(match[1], 16) + int(match[2], 16) / 65_536)
    assert times == sorted(times)
    assert batch.finalizing_at < times[0]
    assert times[-1] == batch.completed_at


def test_row_128_a_request_id_is_a_uuid(user, chats):
    someone = user(responder=odd_lines_fail)
    batch = someone.finish(chats(20))
    found = [
        line["response"]["request_id"]
        for file_id in (batch.output_file_id, batch.error_file_id)
        for line in someone.results(file_id)
    ]
    assert len(set(found)) == 20
    uuid = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert all(re.fullmatch(uuid, each) for each in found)


@pytest.mark.parametrize("ending", ["completed", "expired", "cancelled"])
def test_rows_129_and_130_both_files_can_keep_the_input_order(user, chats, ending):
    pacing = STEADY if ending == "completed" else dataclasses.replace(STEADY, running=2 * 86_400)
    someone = user(order="input", pacing=pacing, responder=odd_lines_fail)
    batch = someone.start(chats(40))
    if ending == "cancelled":
        someone.backend.clock.sleep(86_300)
        someone.backend.cancel_batch(batch.id)
    batch = someone.look(batch, after=3 * 86_400)
    assert batch.status == ending
    output, errors = (
        [int(each.removeprefix("request-")) for each in ids(someone.results(file_id))]
        for file_id in (batch.output_file_id, batch.error_file_id)
    )
    assert output == sorted(output)
    assert errors == sorted(errors)
    assert sorted(output + errors) == list(range(1, 41))


@pytest.mark.parametrize("count", [2, 3, 4, 50])
@pytest.mark.parametrize("seed", range(10))
def test_row_129_shuffled_results_are_never_in_input_order(user, chats, count, seed):
    someone = user(seed=seed)
    found = ids(someone.results(someone.finish(chats(count)).output_file_id))
    expected = [f"request-{n}" for n in range(1, count + 1)]
    assert found != expected
    assert sorted(found) == sorted(expected)


def test_row_131_lines_that_ran_badly_are_in_the_error_file_alone(user, chats):
    someone = user(responder=odd_lines_fail)
    batch = someone.finish(chats(4))
    assert sorted(ids(someone.results(batch.output_file_id))) == ["request-2", "request-4"]
    for line in someone.results(batch.error_file_id):
        assert list(line) == ["id", "custom_id", "response", "error"]
        assert line["error"] is None
        assert line["response"]["status_code"] == 500


@pytest.mark.parametrize(
    ("cancelled", "code", "message"),
    [
        (
            False,
            "batch_expired",
            "This request could not be executed before the completion window expired.",
        ),
        (
            True,
            "batch_cancelled",
            "This request was not executed because the batch was cancelled.",
        ),
    ],
)
def test_row_132_lines_that_never_ran_say_why(user, chats, cancelled, code, message):
    someone = user(pacing=dataclasses.replace(STEADY, running=float("inf")))
    batch = someone.look(someone.start(chats(3)), after=100)
    if cancelled:
        someone.backend.cancel_batch(batch.id)
    batch = someone.look(batch, after=86_400)
    assert batch.output_file_id is None
    content = someone.read(batch.error_file_id).decode()
    for line in content.splitlines():
        assert json.dumps(json.loads(line)) == line
        _, _, rest = line.partition('"response": ')
        assert rest == f'null, "error": {{"code": "{code}", "message": "{message}"}}}}'
    assert sorted(ids(someone.results(batch.error_file_id))) == [
        "request-1",
        "request-2",
        "request-3",
    ]


def test_row_134_lines_may_be_missing_doubled_or_blank(user, chats):
    someone = user(faults=Faults(lost_lines=0.2, doubled_lines=0.2, blank_lines=0.2))
    batch = someone.finish(chats(200))
    assert batch.request_counts.completed == 200
    results = someone.results(batch.output_file_id)
    times = {each: ids(results).count(each) for each in ids(results)}
    assert 20 <= 200 - len(times) <= 60
    assert 15 <= sum(count == 2 for count in times.values()) <= 50
    blank = [line["response"] for line in results if line["response"]["status_code"] == 0]
    assert len(blank) >= 15
    assert blank[0] == {"status_code": 0, "request_id": "", "body": None}


def test_row_136_result_files_are_named_after_the_batch(user, chats):
    someone = user(responder=odd_lines_fail)
    batch = someone.finish(chats(2))
    for file_id, kind in ((batch.output_file_id, "output"), (batch.error_file_id, "error")):
        file = someone.backend.retrieve_file(file_id)
        assert (file.filename, file.purpose) == (f"{batch.id}_{kind}.jsonl", "batch_output")
        assert file.created_at == batch.completed_at
        assert file.expires_at == batch.completed_at + 2_592_000
        assert file.bytes == len(someone.read(file_id))


def test_row_140_when_the_quota_is_spent_the_rest_gets_429(user, chats):
    asked = []
    someone = user(faults=Faults(quota_after=3), responder=asked.append)
    batch = someone.finish(chats(10))
    assert (batch.status, batch.request_counts.failed, len(asked)) == ("completed", 7, 3)
    for line in someone.results(batch.error_file_id):
        assert line["response"]["status_code"] == 429
        assert line["response"]["body"]["error"]["code"] == "insufficient_quota"
        assert list(line["response"]["body"]["error"]) == ["message", "type", "param", "code"]


def test_row_084_the_file_ids_may_appear_late(user, chats):
    someone = user(pacing=STEADY, faults=Faults(result_ids_late_by=5))
    batch = someone.look(someone.start(chats(1)), after=170)
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert someone.look(batch, after=4).output_file_id is None
    assert someone.look(batch, after=1).output_file_id is not None


def test_row_062_a_file_may_be_unknown_just_after_its_upload(user, chats):
    someone = user(faults=Faults(file_unknown_for=1), project="proj_1")
    file = someone.upload(chats(1))
    for unknown in (file.id, "file-unknown"):
        with pytest.raises(Refused) as refused:
            someone.backend.create_batch(input_file_id=unknown, endpoint="/v1/chat/completions")
        error = refused.value
        assert error.message == (
            f"Cannot find file {unknown}, or project proj_1 does not have access to it."
        )
        assert (error.status, error.param, error.code) == (400, "file_id", None)
    someone.backend.clock.sleep(1)
    someone.backend.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions")


def test_a_responder_is_asked_once_and_only_when_the_time_has_come(user, chats):
    asked = []
    someone = user(pacing=STEADY, responder=lambda line, occasion: asked.append((line, occasion)))
    batch = someone.look(someone.start(chats(10)), after=60)
    assert asked == []
    someone.look(batch, after=35)
    assert len(asked) == 3
    someone.look(batch)
    assert len(asked) == 3
    someone.backend.cancel_batch(batch.id)
    someone.look(batch, after=86_400)
    assert len(asked) == 3
    assert sorted(occasion.at - batch.in_progress_at for _, occasion in asked) == [10, 20, 30]


def test_a_line_has_its_own_chance(user, chats):
    seen = {}

    def remember(line, occasion):
        seen.setdefault(line.custom_id, []).append(occasion.entropy)

    for count in (3, 5):
        user(responder=remember, pacing="instant").finish(chats(count))
    assert {len(each) for pair in seen.values() for each in pair} == {64}
    assert all(len(set(pair)) == 1 for pair in seen.values())
    assert len({pair[0] for pair in seen.values()}) == 5


@pytest.mark.parametrize("order", GOLDEN)
def test_the_same_seed_gives_the_same_bytes_everywhere(user, chats, order):
    someone = user(
        seed=7, order=order, pacing="today", responder=lambda line: {"number": line.number}
    )
    batch = someone.finish(chats(500))
    assert someone.finish(chats(500)).id != batch.id
    content = json.dumps(batch.to_object()).encode() + someone.read(batch.output_file_id)
    assert hashlib.sha256(content).hexdigest() == GOLDEN[order]


def test_another_seed_gives_other_bytes(user, chats):
    first, second = (
        someone.read(someone.finish(chats(5)).output_file_id)
        for someone in (user(seed=1), user(seed=2))
    )
    assert first != second


def test_row_133_each_custom_id_is_there_once(user, chats):
    someone = user(pacing=dataclasses.replace(STEADY, running=2 * 86_400), responder=odd_lines_fail)
    batch = someone.finish(chats(30))
    assert batch.status == "expired"
    found = ids(someone.results(batch.output_file_id) + someone.results(batch.error_file_id))
    assert sorted(found) == sorted(f"request-{n}" for n in range(1, 31))


def test_row_135_an_incomplete_answer_is_a_good_line(user, chats):
    someone = user(responder=lambda line: {"choices": [{"finish_reason": "length"}]})
    batch = someone.finish(chats(1))
    (line,) = someone.results(batch.output_file_id)
    assert line["response"]["status_code"] == 200
    assert batch.error_file_id is None
