"""A plan of faults: what goes wrong in the simulated service. By default nothing does.

A correct client survives every fault. They are grouped by the boundary that they hit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from batchsim.backends.fake.behaviour import checks
from batchsim.backends.fake.behaviour.line_faults import LineFault
from batchsim.backends.fake.behaviour.request_faults import RequestFault
from batchsim.backends.fake.ids import Draws
from batchsim.domain.constraints import Count, Seconds, Share
from batchsim.errors import UsageError


@dataclass(frozen=True, slots=True)
class BatchFault:
    """Some batches run in another scenario than the rest.

      `scenario`: its name, or several names with commas between them.
      `nth`: only the batch of this number in the service, counted from 1, or several numbers.
      `share`: the share of these batches, between 0 and 1, drawn by key.

    The scenario's faults of single requests hit the requests about the batch, once it exists.
    Raises UsageError for an impossible share or number.
    """

    scenario: str
    nth: checks.Positions | None = None
    share: Share = 1.0

    def __post_init__(self) -> None:
        checks.check_fields(self)

    def hits(self, number: int, draws: Draws) -> bool:
        """True if it hits the batch of that number, counted from 0."""
        if not checks.is_at(self.nth, number + 1):
            return False
        purpose = f"batch fault {checks.label_of(self)}"
        return self.share >= 1 or draws.share(purpose, number) < self.share


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Shares are between 0 and 1 and drawn by key. Times are in seconds.

    `a + b` has the faults of both. Where both set a value, b's counts.

    Requests, lines and batches, each hit exactly or by share:
      `requests`: lost replies, errors, resets and more. Of several faults that hit one request
      the first counts.
      `lines`: bad, missing, foreign and other lines.
      `batches`: batches that run in another scenario.

    Time:
      `clock_ahead_by`: how far the service's clock, and so every time stamp, is ahead of the
      client's clock; behind it when negative.

    Files:
      `file_unknown_for`: for this long after its upload a file cannot be found when a batch is
      created, and a missing file is refused at once instead of failing the batch later
      (observed: about 1 s).
      `file_unseen_for`: for this long after its creation a file is not found and not listed
      (observed).
      `file_pending_for`: for this long after its upload a file has the status "uploaded"
      (documented once; other services still do).
      `results_live_for`: how long result files are kept, whatever was asked for. None: as asked.

    Creating and listing batches:
      `stale_list_for`: for this long after its creation a batch is not in the list (feared).
      `unsorted_list`: batches are listed in a drawn order instead of newest first (feared).
      `forgotten_after`: this long after its end a batch is no longer found (observed, after
      weeks). None: never.

    Validating:
      `incident`: the share of batches that fail with "Cannot find file" for an existing file
      (observed during provider incidents). Another batch over the same file may pass.
      `failed_validation`: the share of batches that fail because line 1 is not JSON.
      `full_queue_batches`: how many batches, from the first on, fail with token_limit_exceeded.
      `tokens_held_for`: how long the tokens of an ended batch stay in the queue (observed for
      failed ones: some minutes).

    Running:
      `quota_after`: how many lines of a batch run, in the order in which they finish, before
      every further line gets 429 insufficient_quota (observed). None: all.
      `cancelled_midway`: the share of batches that somebody else cancels half-way.

    Results:
      `result_ids_late_by`: for this long after its end a batch shows no file ids (observed).
      `lost_lines`, `doubled_lines`, `blank_lines`: the shares of good lines that are missing from
      the output file, in it twice, or there with status_code 0 and no body (observed, rare). They
      are short for LineFaults.

    Webhooks:
      `webhooks_twice`: every event is delivered twice, with the same webhook-id (documented).
    """

    requests: tuple[RequestFault, ...] = ()
    lines: tuple[LineFault, ...] = ()
    batches: tuple[BatchFault, ...] = ()
    clock_ahead_by: checks.TimeDifference = 0.0
    file_unknown_for: Seconds = 0.0
    file_unseen_for: Seconds = 0.0
    file_pending_for: Seconds = 0.0
    results_live_for: checks.FiniteSeconds | None = None
    stale_list_for: Seconds = 0.0
    unsorted_list: bool = False
    forgotten_after: checks.FiniteSeconds | None = None
    incident: Share = 0.0
    failed_validation: Share = 0.0
    full_queue_batches: Count = 0
    tokens_held_for: Seconds = 0.0
    quota_after: Count | None = None
    cancelled_midway: Share = 0.0
    result_ids_late_by: Seconds = 0.0
    lost_lines: Share = 0.0
    doubled_lines: Share = 0.0
    blank_lines: Share = 0.0
    webhooks_twice: bool = False

    def __post_init__(self) -> None:
        checks.check_fields(self, leave_out=RULES)
        for name, kind in RULES.items():
            _check_rules(name, getattr(self, name), kind)

    def __add__(self, other: "Faults") -> "Faults":
        changes = {
            each.name: getattr(other, each.name)
            for each in fields(self)
            if getattr(other, each.name) != each.default
        }
        rules = {name: getattr(self, name) + getattr(other, name) for name in RULES}
        return replace(self, **{**changes, **rules})

    @property
    def running_lines(self) -> tuple[LineFault, ...]:
        return tuple(each for each in self.lines if not each.hits_result)

    @property
    def result_lines(self) -> tuple[LineFault, ...]:
        """The faults that hit the results of lines, the ones given as a share among them."""
        short = {
            "missing": self.lost_lines,
            "blank": self.blank_lines,
            "doubled": self.doubled_lines,
        }
        shares = tuple(LineFault(name, share=share) for name, share in short.items() if share)
        return shares + tuple(each for each in self.lines if each.hits_result)


RULES: Mapping[str, type[Any]] = {
    "requests": RequestFault,
    "lines": LineFault,
    "batches": BatchFault,
}
"""The fields that hold single faults, and their type. Adding two plans joins these."""


def _check_rules(name: str, rules: object, kind: type[Any]) -> None:
    if not isinstance(rules, tuple) or not all(isinstance(each, kind) for each in rules):
        hint = f"it must be a tuple of {kind.__name__}s, such as ({kind.__name__}(...),)"
        raise UsageError(f"Faults.{name} cannot be {rules!r:.200}", hint=hint)


NO_FAULTS = Faults()
