"""Plans of faults as text: what is read is what was meant, and what is wrong is named."""

import json

import pytest

from batchsim.backends.fake import BatchFault, Faults, LineFault, RequestFault
from batchsim.backends.fake.behaviour.fault_files import PlanError, plan_object, plan_of, read_plan
from batchsim.errors import UsageError

TOML = """
stale_list_for = 60
unsorted_list = true
quota_after = 3
clock_ahead_by = -5.5

[[requests]]
fault = "error"
call = "upload_file"
nth = [1, 3]
status = 429
retry_after = "date:30"

[[requests]]
fault = "truncated"
call = "read_file"
file = "output"
at_byte = 1000
share = 0.5

[[lines]]
fault = "error"
custom_id = "request-7"
status = 404

[[batches]]
scenario = "expired_partial,rate_limited"
nth = 2
"""

PLAN = Faults(
    stale_list_for=60.0,
    unsorted_list=True,
    quota_after=3,
    clock_ahead_by=-5.5,
    requests=(
        RequestFault("error", call="upload_file", nth=(1, 3), status=429, retry_after="date:30"),
        RequestFault("truncated", call="read_file", file="output", at_byte=1_000, share=0.5),
    ),
    lines=(LineFault("error", custom_id="request-7", status=404),),
    batches=(BatchFault("expired_partial,rate_limited", nth=2),),
)


def test_a_plan_is_what_its_file_says(tmp_path):
    path = tmp_path / "faults.toml"
    path.write_text(TOML)
    assert read_plan(path) == PLAN


def test_a_plan_comes_back_from_its_json():
    assert plan_of(json.loads(json.dumps(plan_object(PLAN)))) == PLAN
    assert plan_of({}) == Faults()
    assert plan_of({"incident": None, "requests": None}) == Faults()


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("incidents = 1", "there is no 'incidents'"),
        ("incident = 2", "'incident' must be a number from 0 to 1, not 2"),
        ('incident = "all"', "'incident' must be a number from 0 to 1, not 'all'"),
        ("incident = true", "'incident' must be a number from 0 to 1"),
        ("incident = nan", "'incident' must be a number from 0 to 1"),
        ("stale_list_for = -1", "'stale_list_for' must be a number of seconds, at least 0"),
        ("unsorted_list = 1", "'unsorted_list' must be true or false"),
        ("quota_after = 1.5", "'quota_after' must be a whole number"),
        ("requests = 5", "'requests' must be a list of tables"),
        ("requests = [5]", r"'requests\[0\]' must be a table"),
        ("[[requests]]", r"'requests\[0\].fault' is missing"),
        (
            '[[requests]]\nfault = "thunder"',
            r"requests\[0\]: there is no request fault called 'thunder'",
        ),
        ('[[requests]]\nfault = "reset"\nstatus = 500', r"requests\[0\]: 'reset' has no 'status'"),
        (
            '[[requests]]\nfault = "reset"\nnth = "1"',
            r"'requests\[0\].nth' must be a whole number, at least 1, or a list of these, not '1'",
        ),
        (
            '[[requests]]\nfault = "reset"\nnth = [1, "2"]',
            r"'requests\[0\].nth\[1\]' must be a whole number",
        ),
        (
            '[[requests]]\nfault = "reset"\nnth = []',
            r"'requests\[0\].nth' must be a whole number, at least 1, or a list",
        ),
        (
            '[[requests]]\nfault = "reset"\nwhen = "__import__(\'os\')"',
            r"there is no 'requests\[0\].when'",
        ),
        ('[[lines]]\nfault = "error"\ncustom_id = 7', r"'lines\[0\].custom_id' must be a text"),
        (
            '[[batches]]\nscenario = "sunshine"',
            r"batches\[0\].scenario: there is no scenario called 'sunshine'",
        ),
        ("stale_list_for = inf", "'stale_list_for' must be finite"),
        ("[[requests", "this is not TOML"),
        ("a = " + "[" * 5_000, "this is not TOML"),
        ("\ufeffincident = 1", "this is not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_file_and_key(tmp_path, toml, message):
    path = tmp_path / "faults.toml"
    path.write_text(toml, "utf-8")
    with pytest.raises(UsageError, match=message) as refused:
        read_plan(path)
    assert refused.value.message.startswith(f"{path}: ")
    assert refused.value.hint or "this is not TOML" not in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe", "this is not TOML"),
        (b"#" * ((1 << 20) + 1), "at most 1,048,576 bytes"),
        (b'[[lines]]\nfault="cut"\n' * 1_001, "'lines' has at most 1,000 entries"),
    ],
)
def test_odd_files_are_refused(tmp_path, content, message):
    path = tmp_path / "faults.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as refused:
        read_plan(path)
    assert refused.value.hint or content is not None


def test_an_error_knows_its_key():
    with pytest.raises(PlanError) as refused:
        plan_of({"requests": [{"fault": "reset"}, {"fault": "reset", "share": "1"}]})
    assert refused.value.key == "requests[1].share"


def test_a_whole_number_may_have_a_point():
    plan = plan_of({"quota_after": 2.0, "requests": [{"fault": "reset", "nth": [1.0, 3]}]})
    assert plan == Faults(quota_after=2, requests=(RequestFault("reset", nth=(1, 3)),))
