"""Inner names that programs import, with every module that has held them.

Only `--against` needs the later modules of a row: the same program measures an older checkout.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "JobDirectory": ("batchsim.runner.job.directory", "batchsim.runner.directory"),
    "fold": ("batchsim.runner.job.state", "batchsim.runner.state"),
    "Source": ("batchsim.runner.journal.shard_entries", "batchsim.runner.shard_entries"),
    "Journal": ("batchsim.runner.journal.store", "batchsim.runner.journal"),
    "custom_ids_in": (
        "batchsim.runner.planning.request_lines",
        "batchsim.runner.planning.plan",
        "batchsim.runner.plan",
    ),
    "ShardContent": ("batchsim.runner.planning.shard_content", "batchsim.runner.content"),
    "assemble": ("batchsim.runner.results.assemble", "batchsim.runner.assemble"),
    "collect": ("batchsim.runner.results.collect", "batchsim.runner.collect"),
    "CustomIdSpool": ("batchsim.runner.results.custom_id_spool", "batchsim.runner.custom_ids"),
}


def inner(name: str) -> Any:
    """Return a class or function of batchsim from the module that holds it in this version."""
    for home in _HOMES[name]:
        try:
            return getattr(import_module(home), name)
        except ModuleNotFoundError as error:
            if not home.startswith(str(error.name)):
                raise
    raise SystemExit(f"this version of batchsim has no {name}, or elsewhere")
