"""What good results cost, from the usage that they tell."""

from __future__ import annotations

from decimal import Decimal

import orjson

from batchsim.domain.batches import Usage
from batchsim.domain.lines import ResultLine
from batchsim.pricing.prices import cost

_FREE = "/v1/moderations"
"""The endpoint that costs nothing and tells no usage (API reference)."""


class Bill:
    """The usage of good results by model, and those of which it is not told."""

    def __init__(self) -> None:
        self.usage: dict[str, Usage] = {}
        self._untold: set[str] = set()

    def add(self, line: ResultLine, request_line: bytes) -> None:
        """Take in one good result, and the line of the input that it answers."""
        body = line.response.body if line.response else None
        body = body if isinstance(body, dict) else {}
        model = body.get("model")
        if not (isinstance(model, str) and isinstance(body.get("usage"), dict)):
            request = orjson.loads(request_line)
            if request["url"] == _FREE:
                return
            model = model if isinstance(model, str) else str(request["body"].get("model", ""))
            if not isinstance(body.get("usage"), dict):
                self._untold.add(model)
        self.usage[model] = self.usage.get(model, Usage()) + line.usage

    def cost(self) -> Decimal | None:
        """US dollars at batch prices; None when it cannot be known of one of the models."""
        if self.unpriced():
            return None
        return sum((_cost(*each) or Decimal(0) for each in self.usage.items()), Decimal(0))

    def unpriced(self) -> tuple[str, ...]:
        """The models of which the cost cannot be known."""
        return tuple(
            model
            for model, usage in self.usage.items()
            if model in self._untold or _cost(model, usage) is None
        )


def _cost(model: str, usage: Usage) -> Decimal | None:
    return cost(model, usage, batch=True)
