"""Pacing: how long validating, running, finalizing, cancelling and moving bytes take."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from batchsim.backends.fake.behaviour.checks import check_fields, unknown
from batchsim.domain.constraints import Seconds, Share
from batchsim.domain.lifecycle import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """Durations in seconds; `math.inf` is a phase that never ends.

    A phase lasts its own time plus its time per line. Within `running`, lines finish one after
    another at even intervals, in an order drawn by key. `spread` is the share by which a duration
    may be longer or shorter, drawn by key for each batch and phase. Cancelling keeps to its time,
    as it does in the service (observed: 605 to 606 s in every sample).

    Raises UsageError for a negative duration, or a spread above 1.
    """

    validating: Seconds = 62.0
    running: Seconds = 60.0
    running_per_line: Seconds = 0.2
    finalizing: Seconds = 1.0
    finalizing_per_line: Seconds = 0.075
    cancelling: Seconds = 605.0
    spread: Share = 0.02
    expiry_delay: Seconds = 0.0  # from `expires_at` to the window's end (half an hour observed)
    upload: Seconds = 0.0
    download: Seconds = 0.0  # how long a download takes before the first byte
    download_per_line: Seconds = 0.0  # per line of a result file; the sum is cut to whole seconds

    def __post_init__(self) -> None:
        check_fields(self)

    def seconds(self, status: Status, lines: int, chance: float) -> float:
        """How long a batch of `lines` lines stays in `status`; `chance` is in [0, 1)."""
        if status is Status.CANCELLING:
            return self.cancelling
        if status is Status.VALIDATING:
            typical = self.validating
        elif status is Status.IN_PROGRESS:
            typical = self.running + self.running_per_line * lines
        else:
            typical = self.finalizing + self.finalizing_per_line * lines
        return typical * (1.0 + self.spread * (2.0 * chance - 1.0))


_NO_TIME = dict.fromkeys(
    (
        *("validating", "running", "running_per_line", "finalizing", "finalizing_per_line"),
        *("cancelling", "spread"),
    ),
    0.0,
)

PACINGS: Mapping[str, Pacing] = MappingProxyType(  # pacings by name; FakeBackend takes the name too
    {
        # Observed from September 2025 to August 2026.
        "today": Pacing(),
        # Observed in early 2025: validated after 1 s, three lines done after 8 s.
        "2025": Pacing(
            validating=1.0, running=5.0, running_per_line=0.4, finalizing=0.5, spread=0.0
        ),
        # Fitted to two real runs of April 2024 whose client polled every 10 s: the results were in
        # hand 70 s after the creation for 3 lines and 83 s after it for 20. The batches therefore
        # ended in (60, 70] s and (70, 80] s; these values say 62.5 s and 75 s, give or take 1.5 s.
        # The 3 s beyond the last poll were the client's own download, here 0.15 s a line.
        "2024": Pacing(
            validating=2.0,
            running=57.0,
            running_per_line=0.66,
            finalizing=1.3,
            download_per_line=0.15,
        ),
        # For watching every status go by within seconds.
        "quick": Pacing(
            **{**_NO_TIME, "validating": 1.0, "running": 3.0, "finalizing": 1.0, "cancelling": 2.0}
        ),
        # Everything is due at once: `create_batch` says validating, the next call says completed.
        "instant": Pacing(**_NO_TIME),
    }
)


def pacing_of(choice: Pacing | str | None) -> Pacing:
    """The pacing itself, the one of that name, or today's. Raises UsageError for other names."""
    if isinstance(choice, Pacing):
        return choice
    try:
        return PACINGS["today" if choice is None else choice]
    except (KeyError, TypeError):
        raise unknown("pacing", choice, PACINGS) from None
