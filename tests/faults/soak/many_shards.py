"""A job of thousands of live shards over hours of the virtual clock: how often the service is
asked.

    python tests/faults/soak/many_shards.py --shards 2000 --hours 12

Every batch has one line and runs for hours, so that the runner does little but look. In the end it
is
checked that no two requests that only look came within a second of each other, and that a shard was
worked on only when something was seen of it. What is printed: requests, CPU time, peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from batchsim.backends.fake import FakeBackend, Pacing
from batchsim.domain.limits import HOUR
from batchsim.runner.engine import loop
from batchsim.runner.run import Policy, run
from batchsim.runner.schedule import agenda
from batchsim.runner.schedule.actions import Poll, Survey


class WatchedService(FakeBackend):
    """Notes when it was asked by the runner's looks, and how many batches it showed."""

    def __init__(self, hours: float) -> None:
        super().__init__(seed=1, pacing=Pacing(running=hours * HOUR, running_per_line=0))
        self.is_look = False
        self.looks: list[float] = []
        self.others = self.shown = 0

    def list_batches(self, **options):
        page = super().list_batches(**options)
        self._note(len(page.data))
        return page

    def retrieve_batch(self, batch_id):
        self._note(1)
        return super().retrieve_batch(batch_id)

    def _note(self, shown: int) -> None:
        if self.is_look:
            self.looks.append(self.clock.now())
            self.shown += shown
        else:
            self.others += 1

    def watching(self, perform):
        """`perform` of the runner's loop, whose looks are told from its other requests."""

        def performed(work, action):
            steps = perform(work, action)
            while True:
                self.is_look = isinstance(action, Poll | Survey)
                entries = next(steps, None)
                self.is_look = False
                if entries is None:
                    return
                yield entries

        return performed


class JobFigures(NamedTuple):
    """What a job asked and did; seconds on the job's clock."""

    seconds: float
    looks: list[float]
    others: int
    shown: int
    worked_out: int
    """How often it was worked out what a shard may do."""

    @property
    def closest(self) -> float:
        """The least time between two looks."""
        return min(later - earlier for earlier, later in pairwise(self.looks))

    def check(self, shards: int) -> None:
        assert self.closest >= 1.0, f"two looks came within {self.closest} s"
        windows = Counter(int(at) for at in self.looks)
        assert max(windows.values()) == 1
        assert self.worked_out <= self.shown + 14 * shards


def run_job(folder: Path, shards: int, hours: float, **policy) -> JobFigures:
    """Run a job of so many shards whose batches run for so many hours."""
    source = folder / "input.jsonl"
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    start = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    source.write_text(
        "".join(json.dumps({"custom_id": str(n), **start}) + "\n" for n in range(shards))
    )
    backend = WatchedService(hours)
    began = backend.clock.now()
    worked_out = Counter()
    standing, perform = agenda.next_steps, loop.perform

    def counted(*arguments, **options):
        worked_out["standing"] += 1
        return standing(*arguments, **options)

    agenda.next_steps, loop.perform = counted, backend.watching(perform)
    try:
        report = run(
            source,
            backend,
            results=folder / "results.jsonl",
            limits=replace(backend.limits, requests_per_batch=1),
            policy=Policy(max_live=shards, **policy),
        )
    finally:
        agenda.next_steps, loop.perform = standing, perform
    assert report.all_ok
    assert report.shards == shards
    seconds = backend.clock.now() - began
    return JobFigures(seconds, backend.looks, backend.others, backend.shown, worked_out["standing"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shards", type=int, default=2_000)
    parser.add_argument("--hours", type=float, default=12.0)
    options = parser.parse_args()
    began = time.process_time()
    with tempfile.TemporaryDirectory() as name:
        looked = run_job(Path(name), options.shards, options.hours)
    looked.check(options.shards)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(  # noqa: T201 - a program
        f"{options.shards:,} shards, {looked.seconds / HOUR:.1f} hours: {len(looked.looks):,} looks, "
        f"at least {looked.closest:.1f} s apart, {looked.others:,} other reads; "
        f"{looked.worked_out / options.shards:.0f} times a shard worked out; "
        f"{time.process_time() - began:.1f} s of CPU, peak memory {peak} MiB with the simulator"
    )


if __name__ == "__main__":
    main()
