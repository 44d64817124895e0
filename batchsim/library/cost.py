"""The cost of good results, from the usage that they report."""

from decimal import Decimal

import orjson

from batchsim.domain.batches import Usage
from batchsim.domain.lines import ResultLine
from batchsim.pricing.prices import cost

_FREE = "/v1/moderations"  # the endpoint that costs nothing and reports no usage (API reference)


class Bill:
    """Sums the usage of good results by model, and notes the models that do not report it."""

    def __init__(self) -> None:
        self._usage: dict[tuple[str, bool], Usage] = {}
        self._unreported: set[str] = set()

    def add(self, line: ResultLine, request_line: bytes, *, in_batch: bool = True) -> None:
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
                self._unreported.add(model)
        key = model, in_batch
        self._usage[key] = self._usage.get(key, Usage()) + line.usage

    @property
    def usage(self) -> dict[str, Usage]:
        """The usage by model."""
        by_model: dict[str, Usage] = {}
        for (model, _), usage in self._usage.items():
            by_model[model] = by_model.get(model, Usage()) + usage
        return by_model

    def cost(self) -> Decimal | None:
        """US dollars; None when it cannot be known for one of the models.

        What was in batches is counted at their price, and the rest at the ordinary one.
        """
        if self.unpriced():
            return None
        each = (cost(model, usage, batch=batch) for (model, batch), usage in self._usage.items())
        return sum((usd or Decimal(0) for usd in each), Decimal(0))

    def unpriced(self) -> tuple[str, ...]:
        """The models whose cost cannot be known."""
        return tuple(
            model
            for model, usage in self.usage.items()
            if model in self._unreported or cost(model, usage, batch=True) is None
        )
