"""How long batches may be expected to take: drawn from what was seen, never a promise.

No service says how long a batch runs, only that its window is 24 hours. By OpenRouter's statistics
of 2026 half of all batches ended within 7 minutes and nine of ten within an hour, though on some
days of that year they took 8 to 19 hours; results were written at 60 to 90 milliseconds a line
(by the timestamps in result files of 2025). Batches of one model run side by side as far as their
prompts may be queued at once; the rest waits for its turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from batchsim.domain.limits import DAY, ENQUEUED_TOKENS, HOUR, Limits
from batchsim.runner.grouping import queue

USUAL_SECONDS = 7 * 60
SLOW_SECONDS = HOUR
WRITING_SECONDS_PER_LINE = 0.075
SOURCE = "half of all batches of 2026 took less than 7 minutes, nine of ten less than an hour"

_NEW_ACCOUNT = Limits(enqueued_tokens=ENQUEUED_TOKENS)


class Expectation(NamedTuple):
    """How long work may take, in seconds.

    Half of the time it is less than `usual`, mostly less than `slow`, and never more than
    `longest`, when the last window closes. `turns` is how often the queue of a model has to be filled, by the limits of a new account
    (usage tier 1, observed), which are the strictest; None where the model's limit is not known.
    """

    usual: float
    slow: float
    longest: float
    turns: int | None


def expect(model: str | None, lines: int, prompt_tokens: int, batches: int) -> Expectation:
    """How long `lines` for one model may take in so many batches."""
    name = queue(_NEW_ACCOUNT, model)
    turns = None if name is None else max(1, -(-prompt_tokens // ENQUEUED_TOKENS[name]))
    times = turns or 1
    writing = WRITING_SECONDS_PER_LINE * lines / max(batches, times)
    return Expectation(
        times * (USUAL_SECONDS + writing), times * (SLOW_SECONDS + writing), times * DAY, turns
    )


def together(expectations: Iterable[Expectation]) -> Expectation:
    """How long work may take that goes on at the same time: as long as the longest of it."""
    usual, slow, longest, turns = zip(*expectations, strict=True)
    known = None if None in turns else max(turns)
    return Expectation(max(usual), max(slow), max(longest), known)
