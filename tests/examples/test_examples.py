"""How check_pipeline finds the classic bugs, how the verdict names them, and that
the cure is one.
"""

import pytest

import batchsim
from batchsim import Limits
from batchsim.backends.fake import Pacing
from batchsim.testing.pipeline_check import PipelineFailed

pytestmark = pytest.mark.sdk

BUGS = {
    "AssumesOrder": {"misorders"},
    "IgnoresTheErrorFile": {"raises"},
    "TakesExpiredForNothing": {"loses", "double_pays"},
    "CreatesTwice": {"double_pays"},
    "LoadsAllInMemory": {"loads_all_in_memory"},
}

LINES = [
    {
        "custom_id": f"question-{number}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Why?"}]},
    }
    for number in range(4)
]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("bug", BUGS)
def test_each_classic_bug_is_found(program, bug, seed):
    pipeline = getattr(program("classic_bugs"), bug)

    def run(lines):
        return pipeline().run(lines)

    with pytest.raises(PipelineFailed) as failed:
        batchsim.check_pipeline(run, seed=seed)
    assert failed.value.kind in BUGS[bug]
    with pytest.raises(PipelineFailed) as again:
        batchsim.check_pipeline(run, replay=failed.value.replay)
    assert again.value.kind == failed.value.kind


def test_the_naive_program_does_not_last(program):
    with pytest.raises(PipelineFailed):
        batchsim.check_pipeline(program("naive").run)


@pytest.mark.slow
def test_the_corrected_program_lasts(program):
    tried = batchsim.check_pipeline(program("corrected").run, seconds=None, examples=60)
    assert tried == 60


@pytest.mark.batchsim(scenario="reply_lost")
def test_the_verdict_names_what_the_naive_program_does(program, batchsim):
    program("naive").run(LINES)
    assert set(batchsim.verdict.codes) == {
        "creates_twice",
        "polls_too_often",
        "leaves_batches",
        "leaves_files",
    }


@pytest.mark.batchsim(responder={"question-1": (400, {"error": None})})
def test_the_verdict_names_an_error_file_that_nobody_reads(program, batchsim):
    program("naive").run(LINES)
    assert set(batchsim.verdict.codes) == {
        "never_reads_error_file",
        "polls_too_often",
        "leaves_files",
    }


@pytest.mark.batchsim(
    pacing=Pacing(running=1_000.0, running_per_line=0.0, spread=0.0),
    limits=Limits(completion_window=600),
)
def test_the_verdict_names_results_that_are_thrown_away(program, batchsim):
    assert program("naive").run(LINES) == []
    assert set(batchsim.verdict.codes) == {
        "drops_partial_results",
        "never_reads_error_file",
        "sends_nothing_again",
        "polls_too_often",
        "leaves_files",
    }


@pytest.mark.parametrize(
    "scenario", ["completed", "reply_lost", "missing_lines", "late_output_file", "incident"]
)
def test_the_corrected_program_gets_a_clean_verdict(request, program, scenario):
    request.applymarker(pytest.mark.batchsim(scenario=scenario))
    account = request.getfixturevalue("batchsim")
    assert all(program("corrected").run(LINES))
    account.verdict.assert_clean()
