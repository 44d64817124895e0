"""The options of `run` and `adopt` that become a Policy."""

import re
from collections.abc import Callable
from decimal import Decimal
from functools import wraps
from typing import Any

import click

from batchsim.cli.terminal.state_folder import state_folder
from batchsim.errors import UsageError


def _dollars(_: click.Context, __: click.Parameter, value: str | None) -> Decimal | None:
    """Return an amount above zero. Anything ambiguous is refused."""
    if value is None:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII) and Decimal(value):
        return Decimal(value)
    raise click.BadParameter(f"{value!r} is no amount in dollars; write it like 12.50")


def _queue_limits(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
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
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smhd])", value, re.ASCII)
    if match is None or not float(match[1]):
        raise click.BadParameter(f"{value!r} is not a time such as 90m, 6h or 2d")
    return float(match[1]) * _UNITS[match[2]]


OPTIONS = (
    click.option(
        "--retries",
        type=click.IntRange(min=0),
        default=2,
        show_default=True,
        metavar="N",
        help="Send lines again that expired or met a passing error (408, 409, 429, 5xx), up to N "
        "times; never lines with a good result. Each time makes new batches, "
        "with a window of their own, that are paid like any other.",
    ),
    click.option(
        "--accept-lost",
        is_flag=True,
        help="Give up results that the service counts as completed and that its files lack, and "
        "send their lines again as --retries says: they are paid a second time. Without it such "
        "files are downloaded again for an hour, and then the job stops.",
    ),
    click.option(
        "--on-unknown",
        type=click.Choice(["stop", "wait", "fence"]),
        help="What to do if creating a batch got no answer and the batch cannot be found. stop: "
        "leave it to you; wait: look until it would have ended; fence: delete its input "
        "file and create it again. With one runner, stop never pays twice; for two runners,"
        " and for the others, see `batchsim guide never-pay-twice`. [default: stop; with "
        "--fake, fence]",
    ),
    click.option(
        "--max-cost",
        callback=_dollars,
        metavar="USD",
        help="The most that the job may cost, in US dollars, over restarts and retries. The most"
        " that a batch can cost is reserved before it is created: plain text counts by its "
        "tokens (with the extra `tokens`), any other byte as a token, and every answer as "
        "long as its body allows. Lines of a model without a known price, and lines whose "
        "output has no limit, are not sent.",
    ),
    click.option(
        "--queue-limit",
        "queue_limits",
        multiple=True,
        metavar="MODEL=TOKENS",
        callback=_queue_limits,
        help="The most prompt tokens of a model that may be queued at once. May be repeated, for "
        "several models. Without it the limit is learned from the first refusal, and remembered.",
    ),
    click.option(
        "--same-account",
        is_flag=True,
        help="Continue the job with another key of the same project, as after a key was "
        "replaced. From then on the job stays with the new key. A key that does not show "
        "the job's batches is refused.",
    ),
    click.option(
        "--alone",
        is_flag=True,
        help="Say that no other runner works on a copy of this job directory. Without it, the "
        "first batch waits 40 seconds, and a runner creates nothing if another one uploaded"
        " before it, at another site. A directory that was copied, restored or moved to "
        "another disk needs this once. [always on with --fake]",
    ),
    click.option(
        "--network-files",
        is_flag=True,
        help="Allow a job directory on a network file system, where locks may not work.",
    ),
    click.option(
        "--finish-sync",
        is_flag=True,
        help="Shortly before the deadline, cancel what is still running, keep what has run, and "
        "ask for the other lines one by one, at the ordinary price: twice that of a batch. "
        "--max-cost covers these requests too; what does not fit is not sent. Lines of a "
        "batch that may exist (see --on-unknown) are not asked for again, unless it is "
        "fenced; their records say outcome_unknown.",
    ),
    click.option(
        "--deadline",
        callback=_duration,
        metavar="TIME",
        help="With --finish-sync: when you want the results, counted from the start of the job: "
        "90m, 6h, 2d, ... It begins half an hour before that, or a quarter of the time if "
        "that is less. [default: when a batch expires]",
    ),
    click.option(
        "--delete-remote",
        is_flag=True,
        help="Delete the files that the job made at the service, once the results are written and "
        "the copies on this machine are verified. Adopted batches keep their files.",
    ),
)


_SAME_NAMES = (
    "accept_lost",
    "retries", "max_cost", "queue_limits", "same_account", "network_files", "delete_remote"
)  # fmt: skip


def policy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command that has `backend`; it gets the argument `policy`."""

    @wraps(command)
    def with_policy(
        *,
        backend: str | None,
        on_unknown: str | None,
        finish_sync: bool,
        deadline: float | None,
        alone: bool,
        **options: Any,
    ) -> Any:
        from batchsim.runner.policy import OnUnknown, Policy

        if deadline is not None and not finish_sync:
            raise UsageError(
                "--deadline says when --finish-sync begins, which was not given",
                hint="give both, or neither",
            )
        is_fake = backend == "fake"
        policy = Policy(
            # No request to the simulator outlives this process, so a lost one may be repeated.
            on_unknown=OnUnknown(on_unknown or ("fence" if is_fake else "stop")),
            queue_memory=state_folder() / "queues.json" if backend == "real" else None,
            alone=alone or is_fake,
            finish_sync=finish_sync,
            deadline=deadline,
            **{name: options.pop(name) for name in _SAME_NAMES},
        )
        return command(backend=backend, policy=policy, **options)

    wrapped: Callable[..., Any] = with_policy
    for option in reversed(OPTIONS):
        wrapped = option(wrapped)
    return wrapped
