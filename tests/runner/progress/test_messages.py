"""What a job tells while little happens, and when it cannot go on."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest

from batchsim.backends.fake import FakeBackend, Faults, RequestFault
from batchsim.cli.display.run_display import Display
from batchsim.errors import JobIncomplete
from batchsim.runner.run import Policy, run

LOST = Faults(requests=(RequestFault("reset", call="create_batch", nth=1),))


def run_with_lost_batch(build, observe, **policy):
    with pytest.raises(JobIncomplete) as caught:
        run(
            build.input([build.chat("a")]),
            FakeBackend(faults=LOST),
            results=build.results,
            policy=Policy(**policy),
            observe=observe,
        )
    return caught.value


def test_while_a_create_settles_that_is_told_once_a_minute(build):
    seen = []
    run_with_lost_batch(build, seen.append)
    news = {progress.message: progress.now for progress in reversed(seen)}
    told = sorted(at for message, at in news.items() if "looking for its batch for" in message)
    assert len(told) == 9
    assert all(60 <= later - earlier <= 80 for earlier, later in pairwise(told))
    assert any("for 10 min at most" in message for message in news)


def test_plain_lines_tell_it_once(build, capsys):
    run_with_lost_batch(build, Display().show)
    lines = capsys.readouterr().err.splitlines()
    assert sum("looking for its batch for" in line for line in lines) == 1
    assert "for 10 min at most" in next(line for line in lines if "looking for its" in line)
    assert not any("s  ;" in line for line in lines), "no line without news"


def test_a_batch_that_is_looked_for_is_no_matter_of_money(build):
    assert "--max-cost" not in run_with_lost_batch(build, None, max_cost=Decimal(100)).hint


def test_a_cap_that_cannot_be_met_is_to_be_raised(build):
    line = build.chat("a")
    line["body"]["max_tokens"] = 1_000
    backend, source = FakeBackend(), build.input([line])
    policy = Policy(max_cost=Decimal("0.0000001"))
    with pytest.raises(JobIncomplete, match=r"of the \$\S+ cap is left") as caught:
        run(source, backend, results=build.results, policy=policy)
    assert "raise --max-cost" in caught.value.hint
    assert "looks again" not in caught.value.hint
    more = replace(policy, max_cost=Decimal(1))
    assert run(source, backend, results=build.results, policy=more).all_ok
