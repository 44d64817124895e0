"""What can go wrong inside the service: a plan of named faults, all of them off by default.

A correct client survives every one of them. They are grouped by the boundary that they hit; the
faults of single requests (lost answers, resets, truncated downloads) belong to the doors.
"""

from __future__ import annotations

from dataclasses import dataclass

from batchsim.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Each share is between 0 and 1 and drawn by key; times are in seconds.

    Creating a batch:
      `file_unknown_for`: for so long after its upload a file cannot be found, and a file that does
      not exist is refused at once instead of failing the batch later (observed: about 1 s).

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

    file_unknown_for: float = 0.0
    incident: float = 0.0
    tokens_held_for: float = 0.0
    quota_after: int | None = None
    result_ids_late_by: float = 0.0
    lost_lines: float = 0.0
    doubled_lines: float = 0.0
    blank_lines: float = 0.0

    def __post_init__(self) -> None:
        for name in ("incident", "lost_lines", "doubled_lines", "blank_lines"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise UsageError(f"the share of {name} cannot be {share!r}: it is between 0 and 1")


NO_FAULTS = Faults()
