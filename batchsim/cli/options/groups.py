"""The help of commands with many options: the options stand in named groups."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

JOB_GROUPS = {
    "Service": ("fake", "real", "provider", "supports", "store", "seed"),
    "Rehearse failures": ("scenario", "plan"),
    "Batches to take over": ("pairs", "input_file_id", "source"),
    "Results": ("output", "job", "as_json"),
    "Bad lines and retries": ("skip_invalid", "retries"),
    "Cost and limits": ("max_cost", "queue_limits"),
    "Results by a fixed time": ("finish_sync", "deadline"),
    "Safety": ("on_unknown", "accept_lost", "alone", "same_account", "network_files"),
    "Clean-up": ("delete_remote",),
    "Webhooks": ("webhook_port", "webhook_host"),
}
SERVER_GROUPS = {
    "Address and access": ("host", "port", "allowed_hosts", "tokens", "as_json"),
    "Behaviour": ("pacing", "speed", "scenario", "plan", "seed", "ranges"),
    "State": ("data",),
    "For tests": ("control", "webhook_urls", "webhook_secret"),
}


def examples(*commands: str) -> str:
    """Return the end of a help text, with commands as they are typed after `batchsim`."""
    return "\b\nExamples:\n" + "".join(f"  batchsim {command}\n" for command in commands)


class GroupedCommand(click.Command):
    """A command whose help shows its options by `groups`; those in no group come last."""

    def __init__(
        self, *arguments: Any, groups: Mapping[str, Sequence[str]], **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.groups = groups

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        records = {each.name: each.get_help_record(ctx) for each in options}
        named = {name for names in self.groups.values() for name in names}
        others = {"Options": [name for name in records if name not in named]}
        for heading, names in {**self.groups, **others}.items():
            rows = [row for row in map(records.get, names) if row is not None]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)
