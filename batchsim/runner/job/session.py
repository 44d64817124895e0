"""The session: what one process knows about its own work on a job, and forgets when it ends.

The next process reads the lists and polls every batch anew. Only the time of the latest poll is
taken from the journal, so that polls keep their distance over a restart.
"""

from dataclasses import dataclass, field

from batchsim.runner.job.shard_state import Setback, set_back
from batchsim.runner.journal import job_entries, shard_entries
from batchsim.runner.journal.job_entries import Entry


@dataclass(slots=True)
class Session:
    """The session of the process that works at `site`; all times are in unix seconds."""

    site: str = ""
    stood_back: str | None = None
    """Why this process leaves it to another runner to create batches."""
    is_reconciled: bool = False
    """True if this process has read the lists."""
    foreign_lines: dict[str, int] = field(default_factory=dict)
    """The lines of unfinished batches that are not this job's, by model, as last surveyed."""
    polled_at: float | None = None
    """When the latest request was made that only reads."""
    survey_cursor: str | None = None
    survey_began_at: float = 0.0
    surveyed_at: float | None = None
    """When the latest survey ended."""
    setback: Setback | None = None
    halted: str | None = None

    def apply(self, at: float, entry: Entry) -> None:
        match entry:
            case shard_entries.Checked() | shard_entries.Observed() | shard_entries.Postponed():
                self.polled_at = at
            case job_entries.Surveyed():
                self._survey(at, entry)
            case job_entries.Elected() | job_entries.Audited():
                self.setback = None
            case job_entries.Reconciled():
                self.is_reconciled, self.setback = True, None
            case job_entries.Delayed():
                self.setback = set_back(self.setback, at, entry)
            case job_entries.StoodBack():
                self.stood_back = entry.reason
            case job_entries.Halted():
                self.halted = entry.reason

    def _survey(self, at: float, entry: job_entries.Surveyed) -> None:
        self.polled_at, self.setback = at, None
        if self.survey_cursor is None:
            self.survey_began_at = at
            self.foreign_lines = {}
        for model, lines in entry.foreign_lines.items():
            self.foreign_lines[model] = self.foreign_lines.get(model, 0) + lines
        self.survey_cursor = entry.cursor
        if entry.cursor is None:
            self.surveyed_at = at
