"""The token queues of models: how many prompt tokens may wait in each, learned from refusals.

Theory of operation. A service limits the tokens that an organization has queued per model, and
tells the limit only when a batch fails for it. The limit is kept in the journal, with the batch,
and across jobs in a small file in the user's state directory, by service and account. The tokens
in a queue are those of our own batches, by their estimates, and those of foreign batches, by the
lines that the list shows, counted at the mean of ours.
"""

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

import orjson

from batchsim.domain.batches import Batch
from batchsim.domain.models import alias
from batchsim.jsonl import replace_file

_LIMIT = re.compile(r"Limit:\s*([\d,_]+)")


def told_limit(batch: Batch) -> int | None:
    for error in batch.errors:
        if error.code == "token_limit_exceeded":
            found = _LIMIT.search(error.message)
            digits = re.sub(r"\D", "", found[1]) if found else ""
            if digits and len(digits) < 16:
                return int(digits)
    return None


def lines_queued(batches: Iterable[Batch], ours: Container[str]) -> Counter[str]:
    lines: Counter[str] = Counter()
    for batch in batches:
        if batch.id not in ours and not batch.status.is_terminal and batch.model:
            lines[alias(batch.model)] += batch.request_counts.total
    return lines


class KnownQueues:
    """The limits that earlier jobs learned at one account. A file that fails is ignored."""

    def __init__(self, path: Path, service: str, account: str) -> None:
        self._path = path
        self._key = f"{service} {account}".strip()

    def read(self) -> dict[str, int]:
        found = self._everything().get(self._key, {})
        return {
            model: limit
            for model, limit in (found.items() if isinstance(found, dict) else ())
            if isinstance(limit, int) and limit > 0
        }

    def learn(self, limits: Mapping[str, int]) -> None:
        known = self.read()
        if not limits or {**known, **limits} == known:
            return
        everything = self._everything()
        everything[self._key] = {**known, **limits}
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with replace_file(self._path, private=True) as stream:
                stream.write(orjson.dumps(everything, option=orjson.OPT_INDENT_2))
        except OSError:
            return

    def _everything(self) -> dict[str, object]:
        try:
            value = orjson.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}
