"""The scenarios of whole batches and their input files: not found, failed, out of the queue."""

from __future__ import annotations

from batchsim.backends.fake.behaviour.faults import Faults
from batchsim.backends.fake.behaviour.scenarios.scenario import Scenario
from batchsim.domain.limits import HOUR

BATCHES = (
    Scenario(
        "file_race",
        "a file cannot be found by who creates a batch within a second of its upload",
        faults=Faults(file_unknown_for=1.0),
    ),
    Scenario(
        "unseen_file",
        "a file is not found within five seconds of its creation",
        faults=Faults(file_unseen_for=5.0),
    ),
    Scenario(
        "pending_file",
        "a file is `uploaded` for ten seconds before it is `processed`",
        faults=Faults(file_pending_for=10.0),
    ),
    Scenario(
        "failed_validation",
        "every batch fails: line 1 is found not to be JSON",
        faults=Faults(failed_validation=1.0),
    ),
    Scenario(
        "incident",
        "half of the batches fail with an existing file not found",
        faults=Faults(incident=0.5),
    ),
    Scenario(
        "token_limit",
        "the first batch fails with token_limit_exceeded",
        faults=Faults(full_queue_batches=1),
    ),
    Scenario(
        "tokens_held",
        "the tokens of an ended batch stay in the queue for ten minutes",
        faults=Faults(tokens_held_for=600.0),
    ),
    Scenario(
        "forgotten",
        "a batch is not found any more an hour after its end",
        faults=Faults(forgotten_after=float(HOUR)),
    ),
    Scenario(
        "webhooks_twice",
        "every webhook event is delivered twice",
        faults=Faults(webhooks_twice=True),
    ),
    Scenario(
        "clock_skew",
        "the service's clock is five minutes ahead (feared)",
        faults=Faults(clock_ahead_by=300.0),
    ),
)
