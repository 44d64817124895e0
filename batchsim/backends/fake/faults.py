"""What can go wrong: a plan of named faults, all of them off by default.

A correct client survives every one of them. They are grouped by the boundary that they hit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from batchsim.backends.fake.request_faults import RequestFault
from batchsim.errors import UsageError

SHARES = ("incident", "lost_lines", "doubled_lines", "blank_lines")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Each share is between 0 and 1 and drawn by key; times are in seconds.

    `a + b` has the faults of both; where both have a value, b's counts.

    Requests:
      `requests`: lost answers, errors, resets and more, each for the requests that it hits; of
      several that hit the same request the first counts.

    Time:
      `clock_ahead_by`: how far the service's clock, hence all that it stamps, is ahead of the
      client's; behind it when negative.

    Files:
      `file_unknown_for`: for so long after its upload a file cannot be found by who creates a
      batch, and a file that does not exist is refused at once instead of failing the batch later
      (observed: about 1 s).
      `file_unseen_for`: for so long after its creation a file is not found and not listed
      (observed).

    Creating and listing batches:
      `stale_list_for`: for so long after its creation a batch is not in the list (feared).
      `unsorted_list`: batches are listed in a drawn order instead of newest first (feared).

    Validating:
      `incident`: the share of batches that fail with "Cannot find file" for an existing file
      (observed during provider incidents); another batch over the same file may pass.
      `tokens_held_for`: how long the tokens of an ended batch stay in the queue (observed for
      failed ones: some minutes).

    Running:
      `quota_after`: after so many lines of a batch, in the order in which they finish, every
      further line gets 429 insufficient_quota (observed). None: never.

    Results:
      `result_ids_late_by`: for so long after its end a batch shows no file ids (observed).
      `lost_lines`, `doubled_lines`, `blank_lines`: the shares of good lines that are missing from
      the output file, in it twice, or there with status_code 0 and no body (observed, rare).
    """

    requests: tuple[RequestFault, ...] = ()
    clock_ahead_by: float = 0.0
    file_unknown_for: float = 0.0
    file_unseen_for: float = 0.0
    stale_list_for: float = 0.0
    unsorted_list: bool = False
    incident: float = 0.0
    tokens_held_for: float = 0.0
    quota_after: int | None = None
    result_ids_late_by: float = 0.0
    lost_lines: float = 0.0
    doubled_lines: float = 0.0
    blank_lines: float = 0.0

    def __post_init__(self) -> None:
        for name in SHARES:
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise UsageError(f"the share of {name} cannot be {share!r}: it is between 0 and 1")
        if not math.isfinite(self.clock_ahead_by):
            raise UsageError(f"a clock cannot be ahead by {self.clock_ahead_by!r}")

    def __add__(self, other: Faults) -> Faults:
        changes = {
            each.name: getattr(other, each.name)
            for each in fields(self)
            if getattr(other, each.name) != each.default
        }
        return replace(self, **{**changes, "requests": self.requests + other.requests})


NO_FAULTS = Faults()
