"""What happens beside a run while it goes on: it is shown, registered, noted for others, and stopped."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from batchsim.cli.job import Begun, Job
from batchsim.cli.outlook import Outlook
from batchsim.cli.progress import Display
from batchsim.cli.registry import register
from batchsim.cli.stopping import Stopping
from batchsim.clock import Clock, SystemClock
from batchsim.errors import BatchsimError

if TYPE_CHECKING:
    from batchsim.backends import Backend
    from batchsim.runner.report import Progress

NOTE_SECONDS = 1.0
"""How often, in real time, the counts of batches under way are noted for other commands."""


class Observer:
    """Takes in every Progress of a run; `latest` is the last one.

    `account`, when given, is asked once for its earlier batches, to tell how long these will take.
    """

    def __init__(
        self,
        job: Job,
        begun: Begun,
        display: Display,
        outlook: Outlook,
        stopping: Stopping,
        account: Backend | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.latest: Progress | None = None
        self._job = job
        self._begun = begun
        self._display = display
        self._outlook = outlook
        self._stopping = stopping
        self._account = account
        self._clock = clock or SystemClock()
        self._noted = float("-inf")

    def observe(self, progress: Progress) -> None:
        """Take in where the job stands; called when that is on the disk."""
        if self.latest is None:
            self._begin()
        self.latest = progress
        self._ask_account(progress)
        self._display.show(progress)
        self._note(progress)
        self._stopping.recorded()

    def _begin(self) -> None:
        self._job.write_begun(self._begun)
        register(self._job.path, self._clock.now())

    def _ask_account(self, progress: Progress) -> None:
        """Learn from the account's last batches, once it is known to answer."""
        if self._account is None or not progress.batches:
            return
        account, self._account = self._account, None
        with suppress(BatchsimError):
            for batch in account.list_batches(limit=100).data:
                self._outlook.history.add(batch)

    def _note(self, progress: Progress) -> None:
        if self._clock.now() - self._noted < NOTE_SECONDS:
            return
        self._noted = self._clock.now()
        batches = (shard.batch for shard in progress.states if shard.tally is None)
        self._job.write_counts({each.id: each.request_counts for each in batches if each})
