"""A large job on the simulator, killed again and again: every line has its record, in order.

    python tests/faults/soak --lines 1000000 --kills 40

It writes the input, starts the job in a process of its own, kills that process (SIGKILL) after a
few
seconds, starts it again, and so on, in every phase of the job: while it plans, in the first round
of
batches, in the rounds of lines that are sent again, while it puts the results in order. In the end
it
checks every line of the results and of the ledger, and by the service's own batches that no more
were ever live than the queue admits. Two lines in a hundred fail in passing, each time that they
are
tried, and the queue of the model has room for three shards; one batch expires half done. What is
printed: time, kills by phase, peak memory of all the job's processes, figures.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

MODEL = "gpt-4o-mini"
TOKENS_PER_LINE = 9
RETRIES = 6
AT_ONCE = 3
"""So many shards the queue admits."""

PHASES = {"plan": 0.1, "first round": 0.6, "later rounds": 0.2, "assembly": 0.1}
"""Their shares of the kills."""

FIRST = "first round"
"""The longest phase: its kills are spread over the lines."""


def write_input(path: Path, lines: int) -> None:
    with path.open("w") as stream:
        for n in range(lines):
            body = {"model": MODEL, "messages": [{"role": "user", "content": f"line {n:07}"}]}
            line = {
                "custom_id": f"id-{n}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": body,
            }
            stream.write(json.dumps(line) + "\n")


class Phase:
    """Says on stdout which phase the job has come to, and the share of the lines that are done."""

    def __init__(self, first_round: int) -> None:
        self.first_round, self.told = first_round, ""

    def observe(self, progress) -> None:
        if progress.counts.collected == progress.shards:
            phase = "assembly"
        else:
            phase = "later rounds" if progress.shards > self.first_round else "first round"
        told = f"{phase}: {progress.done / progress.lines:.2f}"
        if told != self.told:
            self.told = told
            print(told, flush=True)


def work(folder: Path, lines: int, shard_lines: int) -> None:
    """One life of the job's process."""
    from batchsim.backends.fake import FakeBackend
    from batchsim.clock import VirtualClock
    from batchsim.domain.answers import Answer
    from batchsim.domain.limits import Limits
    from batchsim.runner.run import Policy, run
    from batchsim.stores.disk import DiskStore

    good = json.dumps(
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}}
    )
    bad = json.dumps({"error": {"message": "The server had an error.", "code": None}})

    def respond(request, occasion):
        return Answer(500, bad) if occasion.entropy[0] < 5 else Answer(200, good)

    limits = Limits(
        requests_per_batch=shard_lines,
        enqueued_tokens={MODEL: AT_ONCE * shard_lines * TOKENS_PER_LINE},
    )

    class Service(FakeBackend):
        """The first batch of one shard expires when about half of its lines have run."""

        def create_batch(self, *, metadata, **options):
            if metadata["bs_round"] == "0" and metadata["bs_shard"].startswith("2/"):
                metadata = {**metadata, "batchsim.scenario": "expired_partial"}
            return super().create_batch(metadata=metadata, **options)

    store = DiskStore(folder / "store")
    clock = VirtualClock(store.latest) if store.latest else VirtualClock()
    backend = Service(seed=1, clock=clock, store=store, responder=respond, limits=limits)
    report = run(
        folder / "input.jsonl",
        backend,
        results=folder / "results.jsonl",
        limits=limits,
        policy=Policy(on_unknown="fence", retries=RETRIES, list_lag=60.0),
        observe=Phase(-(-lines // shard_lines)).observe,
    )
    print(json.dumps([report.lines, report.ok, report.shards, report.rounds, report.resent]))


class Life:
    """One process of the job: its phase, and at its end what it said and used."""

    def __init__(self, command: list[str]) -> None:
        self.phase, self.share, self.last = "plan", 1.0, ""
        self.changed = threading.Event()
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for said in self._process.stdout:
            self.last = said.strip()
            phase, _, share = self.last.partition(": ")
            if phase not in PHASES:
                continue
            if phase != self.phase:
                self.changed.set()
            self.phase, self.share = phase, float(share) if phase == FIRST else 1.0
        self.changed.set()

    @property
    def has_ended(self) -> bool:
        return not self._reader.is_alive()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)

    def wait(self) -> tuple[int, int]:
        """How the process ended, and the most memory that it used, in MiB."""
        self._reader.join()
        _, status, used = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return self._process.returncode, used.ru_maxrss // 1024


def live(folder: Path, options: argparse.Namespace) -> tuple[list[int], Counter[str], int]:
    """Run the job to its end, killing its process on the way.

    What it said at last, the kills by phase, and the most memory of any of its processes in MiB.
    """
    chance = random.Random(1)
    sizes = [f"--lines={options.lines}", f"--shard-lines={options.shard_lines}"]
    command = [sys.executable, __file__, "--work", str(folder), *sizes]
    wanted = {phase: max(1, round(options.kills * share)) for phase, share in PHASES.items()}
    kills: Counter[str] = Counter()
    peak = 0
    while True:
        life = Life(command)
        while not life.has_ended:
            if not options.kills or kills[life.phase] >= wanted[life.phase] * life.share:
                life.changed.wait(0.1)
            elif not life.changed.wait(chance.uniform(0, options.seconds)):
                kills[life.phase] += 1
                life.kill()
                break
            life.changed.clear()
        code, most = life.wait()
        peak = max(peak, most)
        if code == 0:
            return json.loads(life.last), kills, peak
        if code != -signal.SIGKILL:
            sys.exit(f"the job ended with {code}")


def most_at_once(folder: Path) -> int:
    """How many batches were live at once at most, by the service's own times."""
    from batchsim.backends.fake import FakeBackend
    from batchsim.clock import VirtualClock
    from batchsim.stores.disk import DiskStore

    store = DiskStore(folder / "store")
    backend = FakeBackend(seed=1, clock=VirtualClock(store.latest), store=store)
    moments = []
    page = backend.list_batches(limit=100)
    while True:
        for batch in page.data:
            ends = (batch.completed_at, batch.failed_at, batch.expired_at, batch.cancelled_at)
            ended = next(at for at in ends if at is not None)
            moments += [(batch.created_at, 1), (max(ended, batch.created_at), -1)]
        if not page.has_more:
            break
        page = backend.list_batches(limit=100, after=page.data[-1].id)
    live = most = 0
    for _, change in sorted(moments):
        live += change
        most = max(most, live)
    return most


def check(folder: Path, lines: int) -> None:
    """Every line of the input has its record and its account, in order."""
    outcomes = Counter()
    paths = folder / "results.jsonl", folder / "results.jsonl.job" / "ledger.jsonl"
    with paths[0].open() as results, paths[1].open() as ledger:
        for n, (result, account) in enumerate(zip(results, ledger, strict=True)):
            record, told = json.loads(result), json.loads(account)
            assert record["custom_id"] == told["custom_id"] == f"id-{n}", n
            assert told["line"] == n + 1
            assert (told["outcome"] == "ok") == (record["response"]["status_code"] == 200)
            outcomes[told["outcome"]] += 1
    assert sum(outcomes.values()) == lines
    print(f"{lines:,} lines in order: {dict(outcomes)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--shard-lines", type=int, default=50_000)
    parser.add_argument(
        "--kills", type=int, default=10, help="how often it is killed; at least once in each phase"
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="the longest time between two kills"
    )
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(options.work, options.lines, options.shard_lines)
    with tempfile.TemporaryDirectory(prefix="batchsim-soak-") as name:
        folder = Path(name)
        write_input(folder / "input.jsonl", options.lines)
        began = time.monotonic()
        told, kills, peak = live(folder, options)
        took = time.monotonic() - began
        check(folder, options.lines)
        at_once = most_at_once(folder)
    lines, ok, shards, rounds, resent = told
    assert lines == options.lines
    admitted = min(AT_ONCE, -(-options.lines // options.shard_lines))
    assert at_once == admitted, f"{at_once} batches were live at once"
    print(f"killed {kills.total()} times: {dict(kills)}; at most {at_once} batches live at once")
    print(f"{ok:,} of {lines:,} good; {shards} shards, {rounds} rounds, {resent:,} sent again")
    print(f"{took:.0f} s; peak memory of the job with its simulator {peak} MiB")
    return None


if __name__ == "__main__":
    main()
