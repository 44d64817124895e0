"""How a job is run: the options that `run` and `adopt` share, as a Policy."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from batchsim.cli.terminal.paths import state_folder
from batchsim.errors import UsageError

if TYPE_CHECKING:
    from batchsim.runner.policy import Policy


def _dollars(_: click.Context, __: click.Parameter, value: str | None) -> Decimal | None:
    """An amount above zero. Anything that people may have meant otherwise is refused."""
    if value is None:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII) and Decimal(value):
        return Decimal(value)
    raise click.BadParameter(f"{value!r} is no amount in dollars; write it like 12.50")


def _queue_limits(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    """The limits by the model's name without its date."""
    from batchsim.domain.models import alias

    limits = {}
    for value in values:
        model, _sign, tokens = value.rpartition("=")
        number = re.sub(r"(?<=\d)[_,](?=\d)", "", tokens)
        if not model or not re.fullmatch(r"[1-9]\d{0,14}", number, re.ASCII):
            raise click.BadParameter(f"{value!r} is not MODEL=TOKENS, such as gpt-4o=90000")
        limits[alias(model)] = int(number)
    return limits


_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def _duration(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """Seconds."""
    if value is None:
        return None
    told = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smhd])", value, re.ASCII)
    if told is None or not float(told[1]):
        raise click.BadParameter(f"{value!r} is not a time such as 90m, 6h or 2d")
    return float(told[1]) * _UNITS[told[2]]


OPTIONS = (
    click.option(
        "--retries",
        type=click.IntRange(min=0),
        default=2,
        show_default=True,
        metavar="N",
        help="Send lines up to N times again that expired, got lost or met a passing error (408, "
        "409, 429, 5xx); never lines with a good result. Each time is a batch of its own, with a "
        "window of its own, and what runs in it is paid like any other.",
    ),
    click.option(
        "--on-unknown",
        type=click.Choice(["stop", "wait", "fence"]),
        help="When creating a batch got no answer and the batch cannot be found: stop and leave it "
        "to you, wait until it would have ended, or fence it off by deleting its input file and "
        "create it again. With one runner stop never pays twice; for two, and for the others, see "
        "`Never pay twice` in the README. [default: stop; with --fake, fence]",
    ),
    click.option(
        "--max-cost",
        callback=_dollars,
        metavar="USD",
        help="Stop before the job could cost more than so many US dollars, over restarts and "
        "retries. What a batch may cost at most is reserved before it is created: plain text as its "
        "tokens count (with the tokens extra) and any other byte as a token, and every answer as long as "
        "its body allows. A model without a known "
        "price, or output that nothing bounds, is not sent at all.",
    ),
    click.option(
        "--queue-limit",
        "queue_limits",
        multiple=True,
        metavar="MODEL=TOKENS",
        callback=_queue_limits,
        help="Let at most so many prompt tokens of a model be queued at once (per model; may be "
        "repeated). Without it the limit is learned from the first refusal, and remembered.",
    ),
    click.option(
        "--same-account",
        is_flag=True,
        help="The key is another than the one with which the job began, and of the same project, "
        "as when a key was replaced. The job is tied to it from then on. A key that does not show "
        "the job's batches is refused all the same.",
    ),
    click.option(
        "--alone",
        is_flag=True,
        help="You know that no other runner is at work on a copy of this job's directory. Without it "
        "the first batch waits 40 seconds, and a runner that finds that another one uploaded "
        "before it, at another site, creates nothing; so does the job of a directory that was "
        "copied, restored or moved to another disk, until you say this once. [with --fake it is so]",
    ),
    click.option(
        "--network-files",
        is_flag=True,
        help="Let the job directory lie on a network file system, where locks may not hold.",
    ),
    click.option(
        "--finish-sync",
        is_flag=True,
        help="When the deadline nears, cancel what is under way, keep what has run, and ask for what "
        "is left one by one at the ordinary price, twice that of a batch. Under --max-cost each of "
        "them is reserved before it is sent, and what does not fit is not sent. Lines of a batch that "
        "may exist (see --on-unknown) are not asked for again, unless it is fenced off; their "
        "records say outcome_unknown.",
    ),
    click.option(
        "--deadline",
        callback=_duration,
        metavar="TIME",
        help="For --finish-sync: when the results are wanted, counted from the start of the job, "
        "such as 90m, 6h or 2d. It begins half an hour before, or a quarter of the time. [default: "
        "when a batch expires]",
    ),
    click.option(
        "--delete-remote",
        is_flag=True,
        help="Once the results are written and their copies here are verified, delete the files "
        "that the job made at the service; batches that were adopted keep theirs.",
    ),
)


def policy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command that has `backend`; it gets the argument `policy`."""

    @wraps(command)
    def with_policy(
        *,
        backend: str | None,
        retries: int,
        on_unknown: str | None,
        max_cost: Decimal | None,
        queue_limits: dict[str, int],
        same_account: bool,
        alone: bool,
        network_files: bool,
        delete_remote: bool,
        finish_sync: bool,
        deadline: float | None,
        **options: Any,
    ) -> Any:
        if deadline is not None and not finish_sync:
            raise UsageError(
                "--deadline says when --finish-sync begins, which was not given",
                hint="give both, or neither",
            )
        policy = replace(
            _policy(backend, retries=retries, on_unknown=on_unknown),
            max_cost=max_cost,
            queue_limits=queue_limits,
            queue_memory=state_folder() / "queues.json" if backend == "real" else None,
            same_account=same_account,
            alone=alone or backend == "fake",
            network_files=network_files,
            delete_remote=delete_remote,
            finish_sync=finish_sync,
            deadline=deadline,
        )
        return command(backend=backend, policy=policy, **options)

    wrapped: Callable[..., Any] = with_policy
    for option in reversed(OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _policy(backend: str | None, *, on_unknown: str | None, **options: Any) -> Policy:
    """No request to the simulator outlives this process, so a lost one may be made again."""
    from batchsim.runner.policy import OnUnknown, Policy

    unknown = on_unknown or ("fence" if backend == "fake" else "stop")
    return Policy(on_unknown=OnUnknown(unknown), **options)
