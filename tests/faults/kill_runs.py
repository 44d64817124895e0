"""A program: real runners, killed with SIGKILL at random moments against a real `batchsim serve`.

    python tests/faults/kill_runs.py --kills 200 --seed 0

Each job of a few shards is run by processes that are killed one after the other until one of them
finishes. Then the service is asked: exactly one batch per shard that ran a line, and the results
hold each line once, in order, with the answer to its own request. A run that stops and asks what to
do about an unknown create is counted and continued with `fence`. Says one line of figures; exits 1
with the seed when anything is violated.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from openai import OpenAI

from batchsim.backends.openai import OpenAIBackend
from batchsim.clock import ScaledClock
from batchsim.domain.limits import Limits
from batchsim.errors import JobIncomplete
from batchsim.runner.policy import Polling
from batchsim.runner.run import Policy, run

SPEED = 100
LONGEST = 2.5
"""Seconds after which at most a runner is killed; an undisturbed one takes about as long."""

LINES, PER_BATCH = 6, 2
ASKED = 75


def work(source, results, on_unknown):
    """One runner, in a process of its own."""
    backend = OpenAIBackend(clock=ScaledClock(SPEED))
    policy = Policy(on_unknown=on_unknown, list_lag=60, polling=Polling(search=10), parallel=3)
    try:
        report = run(
            source,
            backend,
            results=results,
            limits=Limits(requests_per_batch=PER_BATCH),
            policy=policy,
        )
    except JobIncomplete:
        return ASKED
    return 0 if report.all_ok else 1


def line(number):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"line {number}"}]}
    start = {"custom_id": f"id-{number}", "method": "POST", "url": "/v1/chat/completions"}
    return json.dumps({**start, "body": body}) + "\n"


def started(command, environment, line_begins):
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    for said in process.stdout:
        if said.startswith(line_begins):
            return process, said
    raise RuntimeError(f"{command} ended with {process.wait()}")


class Trial:
    def __init__(self, folder, seed):
        self.folder, self.draw = folder, random.Random(seed)
        self.kills = self.jobs = self.asked = self.processes = 0
        self.violations = []
        serve = [sys.executable, "-m", "batchsim", "serve", "--port", "0", "--speed", str(SPEED)]
        quiet = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI_")}
        self.server, said = started(
            [*serve, "--pacing", "quick"], quiet, ("export OPENAI_BASE_URL", "set", "$env")
        )
        address = re.search(r"https?://[^\s\"']+", said)[0]
        os.environ["OPENAI_BASE_URL"] = address

    def close(self):
        self.server.terminate()
        self.server.wait()

    def job(self, kills):
        """Run one job, killing its runners until so many kills are used or it has finished."""
        self.jobs += 1
        folder = self.folder / f"job-{self.jobs}"
        folder.mkdir()
        source, results = folder / "input.jsonl", folder / "results.jsonl"
        source.write_text("".join(line(number) for number in range(LINES)))
        os.environ["OPENAI_API_KEY"] = f"sk-job-{self.jobs}"
        left, on_unknown = kills, "stop"
        while True:
            code = self._run(source, results, on_unknown, is_killed=left > 0)
            if code == -signal.SIGKILL:
                self.kills += 1
                left -= 1
            elif code == ASKED:
                self.asked += 1
                on_unknown = "fence"
            elif code == 0:
                break
            else:
                self.violations.append(f"job {self.jobs}: a runner ended with {code}")
                return
        self._judge(results)

    def _run(self, source, results, on_unknown, *, is_killed):
        """One runner, forked so that it need not import everything again; how it ended."""
        self.processes += 1
        process = os.fork()
        if not process:
            os._exit(work(source, results, on_unknown))
        if is_killed:
            time.sleep(self.draw.uniform(0, 1) ** 2 * LONGEST)
            os.kill(process, signal.SIGKILL)  # an ended process is not gone before it is waited for
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    def _judge(self, results):
        told = [json.loads(each) for each in results.read_text().splitlines()]
        if [each["custom_id"] for each in told] != [f"id-{number}" for number in range(LINES)]:
            self.violations.append(f"job {self.jobs}: the results are not the lines in order")
        with OpenAI() as client:
            batches = list(client.batches.list(limit=100))
        paid = Counter(
            batch.metadata["bs_shard"]
            for batch in batches
            if batch.status != "failed" and batch.request_counts.completed
        )
        wanted = {f"{n + 1}/{LINES // PER_BATCH}": 1 for n in range(LINES // PER_BATCH)}
        if paid != wanted:
            self.violations.append(f"job {self.jobs}: paid batches by shard: {dict(paid)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder), options.seed)
        try:
            while trial.kills < options.kills and not trial.violations:
                trial.job(min(8, options.kills - trial.kills))
        finally:
            trial.close()
    print(
        f"{trial.kills} kills, {trial.jobs} jobs, {trial.processes} processes, "
        f"asked {trial.asked} times, {len(trial.violations)} violations, "
        f"{time.monotonic() - begun:.0f} s"
    )
    for violation in trial.violations:
        print(f"{violation} (--kills {options.kills} --seed {options.seed})")
    return 1 if trial.violations else 0


if __name__ == "__main__":
    sys.exit(main())
