"""A large job on the simulator, killed again and again: every line has its record, in order.

    python tests/soak --lines 1000000 --kills 10

It writes the input, starts the job in a process of its own, kills that process (SIGKILL) after a few
seconds, starts it again, and so on; in the end it checks every line of the results and of the
ledger. Two lines in a hundred fail in passing, each time that they are tried, and the queue of the
model has room for three shards; one batch expires half done. What is printed: time, peak memory of the job's process, figures.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

MODEL = "gpt-4o-mini"
TOKENS_PER_LINE = 13
RETRIES = 6


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


def work(folder: Path, shard_lines: int) -> None:
    """One life of the job's process."""
    from batchsim.backends.fake import FakeBackend
    from batchsim.clock import VirtualClock
    from batchsim.domain.limits import Limits
    from batchsim.responders import Answer
    from batchsim.runner.run import Policy, run
    from batchsim.stores.disk import DiskStore

    good = json.dumps(
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}}
    )
    bad = json.dumps({"error": {"message": "The server had an error.", "code": None}})

    def respond(request, occasion):
        return Answer(500, bad) if occasion.entropy[0] < 5 else Answer(200, good)

    limits = Limits(
        requests_per_batch=shard_lines, enqueued_tokens={MODEL: 3 * shard_lines * TOKENS_PER_LINE}
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
        policy=Policy(on_unknown="fence", retries=RETRIES, settle=60.0),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps([report.lines, report.ok, report.shards, report.rounds, report.resent, peak]))


def live(folder: Path, shard_lines: int, kills: int, seconds: float) -> list[int]:
    """Run the job to its end, killing its process on the way; what it said at last."""
    chance = random.Random(1)
    command = [sys.executable, __file__, "--work", str(folder), "--shard-lines", str(shard_lines)]
    for left in range(kills, -1, -1):
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        try:
            out, _ = process.communicate(timeout=chance.uniform(1, seconds) if left else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            continue
        if process.returncode:
            sys.exit(f"the job ended with {process.returncode}")
        print(f"killed {kills - left} times")
        return json.loads(out)
    raise AssertionError


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
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20.0, help="the longest life")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(options.work, options.shard_lines)
    with tempfile.TemporaryDirectory(prefix="batchsim-soak-") as name:
        folder = Path(name)
        write_input(folder / "input.jsonl", options.lines)
        began = time.monotonic()
        told = live(folder, options.shard_lines, options.kills, options.seconds)
        took = time.monotonic() - began
        check(folder, options.lines)
    lines, ok, shards, rounds, resent, peak = told
    assert lines == options.lines
    print(f"{ok:,} of {lines:,} good; {shards} shards, {rounds} rounds, {resent:,} sent again")
    print(f"{took:.0f} s; peak memory of the job with its simulator {peak} MiB")
    return None


if __name__ == "__main__":
    main()
