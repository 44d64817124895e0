"""What can go wrong: a plan of named faults, all of them off by default.

A correct client survives every one of them. They are grouped by the boundary that they hit.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from batchsim.backends.fake.behaviour.checks import (
    check_amount,
    check_places,
    check_seconds,
    check_share,
    is_number,
    label_of,
    places_of,
)
from batchsim.backends.fake.behaviour.line_faults import LineFault
from batchsim.backends.fake.behaviour.request_faults import RequestFault
from batchsim.backends.fake.ids import Draws
from batchsim.errors import UsageError

SHARES = (
    "incident",
    "failed_validation",
    "cancelled_midway",
    "lost_lines",
    "doubled_lines",
    "blank_lines",
)
DELAYS = (
    "file_unknown_for",
    "file_unseen_for",
    "file_pending_for",
    "stale_list_for",
    "tokens_held_for",
    "result_ids_late_by",
)
LIFETIMES = ("results_live_for", "forgotten_after")


@dataclass(frozen=True, slots=True)
class BatchFault:
    """Some batches that live in another scenario than the rest.

      `scenario`: its name, or several with commas between them.
      `nth`: only the so manieth batch of the service, from 1 on, or several.
      `share`: the share of these, between 0 and 1, drawn by key.

    What the scenario says of single requests holds for those about the batch, once it exists.
    Raises UsageError for a share or a place that is none.
    """

    scenario: str
    nth: int | tuple[int, ...] | None = None
    share: float = 1.0

    def __post_init__(self) -> None:
        check_share(self.share)
        check_places("nth", self.nth)

    def hits(self, number: int, draws: Draws) -> bool:
        """Whether it hits the batch of that number, counted from 0."""
        if self.nth is not None and number + 1 not in places_of(self.nth):
            return False
        purpose = f"batch fault {label_of(self)}"
        return self.share >= 1 or draws.share(purpose, number) < self.share


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Each share is between 0 and 1 and drawn by key; times are in seconds.

    `a + b` has the faults of both; where both have a value, b's counts.

    Requests, lines, batches, each one exactly or by share:
      `requests`: lost answers, errors, resets and more; of several that hit the same request the
      first counts.
      `lines`: bad, missing, foreign and other lines.
      `batches`: batches that live in another scenario.

    Time:
      `clock_ahead_by`: how far the service's clock, hence all that it stamps, is ahead of the
      client's; behind it when negative.

    Files:
      `file_unknown_for`: for so long after its upload a file cannot be found by who creates a
      batch, and a file that does not exist is refused at once instead of failing the batch later
      (observed: about 1 s).
      `file_unseen_for`: for so long after its creation a file is not found and not listed
      (observed).
      `file_pending_for`: for so long after its upload a file has the status "uploaded" (documented
      once; other services still do).
      `results_live_for`: how long result files are kept, whatever was asked for. None: as asked.

    Creating and listing batches:
      `stale_list_for`: for so long after its creation a batch is not in the list (feared).
      `unsorted_list`: batches are listed in a drawn order instead of newest first (feared).
      `forgotten_after`: so long after its end a batch is not found any more (observed, after
      weeks). None: never.

    Validating:
      `incident`: the share of batches that fail with "Cannot find file" for an existing file
      (observed during provider incidents); another batch over the same file may pass.
      `failed_validation`: the share of batches whose first line is found not to be JSON.
      `full_queue_batches`: so many batches, the first ones, fail with token_limit_exceeded.
      `tokens_held_for`: how long the tokens of an ended batch stay in the queue (observed for
      failed ones: some minutes).

    Running:
      `quota_after`: after so many lines of a batch, in the order in which they finish, every
      further line gets 429 insufficient_quota (observed). None: never.
      `cancelled_midway`: the share of batches that somebody else cancels half-way.

    Results:
      `result_ids_late_by`: for so long after its end a batch shows no file ids (observed).
      `lost_lines`, `doubled_lines`, `blank_lines`: the shares of good lines that are missing from
      the output file, in it twice, or there with status_code 0 and no body (observed, rare): short
      for LineFaults.

    Webhooks:
      `webhooks_twice`: every event is delivered twice, with the same webhook-id (documented).
    """

    requests: tuple[RequestFault, ...] = ()
    lines: tuple[LineFault, ...] = ()
    batches: tuple[BatchFault, ...] = ()
    clock_ahead_by: float = 0.0
    file_unknown_for: float = 0.0
    file_unseen_for: float = 0.0
    file_pending_for: float = 0.0
    results_live_for: float | None = None
    stale_list_for: float = 0.0
    unsorted_list: bool = False
    forgotten_after: float | None = None
    incident: float = 0.0
    failed_validation: float = 0.0
    full_queue_batches: int = 0
    tokens_held_for: float = 0.0
    quota_after: int | None = None
    cancelled_midway: float = 0.0
    result_ids_late_by: float = 0.0
    lost_lines: float = 0.0
    doubled_lines: float = 0.0
    blank_lines: float = 0.0
    webhooks_twice: bool = False

    def __post_init__(self) -> None:
        for name in SHARES:
            share = getattr(self, name)
            if not (is_number(share) and 0 <= share <= 1):
                raise UsageError(f"the share of {name} cannot be {share!r}: it is between 0 and 1")
        if not (is_number(self.clock_ahead_by) and math.isfinite(self.clock_ahead_by)):
            raise UsageError(f"clock_ahead_by cannot be {self.clock_ahead_by!r}")
        for name in DELAYS:
            check_seconds(name, getattr(self, name))
        for name in LIFETIMES:
            if getattr(self, name) is not None:
                check_seconds(name, getattr(self, name), sys.float_info.max)
        check_amount("full_queue_batches", self.full_queue_batches)
        if self.quota_after is not None:
            check_amount("quota_after", self.quota_after)
        for name, kind in RULES.items():
            _check_rules(name, getattr(self, name), kind)

    def __add__(self, other: Faults) -> Faults:
        changes = {
            each.name: getattr(other, each.name)
            for each in fields(self)
            if getattr(other, each.name) != each.default
        }
        rules = {name: getattr(self, name) + getattr(other, name) for name in RULES}
        return replace(self, **{**changes, **rules})

    def of_running(self) -> tuple[LineFault, ...]:
        """The faults of lines that hit them while they run."""
        return tuple(each for each in self.lines if not each.spoils)

    def of_results(self) -> tuple[LineFault, ...]:
        """The faults of lines that hit their results, those that are told by a share among them."""
        short = {
            "missing": self.lost_lines,
            "blank": self.blank_lines,
            "doubled": self.doubled_lines,
        }
        shares = tuple(LineFault(name, share=share) for name, share in short.items() if share)
        return shares + tuple(each for each in self.lines if each.spoils)


RULES: Mapping[str, type[Any]] = {
    "requests": RequestFault,
    "lines": LineFault,
    "batches": BatchFault,
}
"""The fields that hold faults of their own, and of which kind; those of two plans are joined."""


def _check_rules(name: str, rules: object, kind: type[Any]) -> None:
    if not isinstance(rules, tuple) or not all(isinstance(each, kind) for each in rules):
        hint = f"it is a tuple of {kind.__name__}s, such as ({kind.__name__}(...),)"
        raise UsageError(f"{name} cannot be {rules!r:.200}", hint=hint)


NO_FAULTS = Faults()
