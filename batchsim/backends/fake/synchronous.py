"""Single requests, answered at once and without a batch, by the responder that answers the lines."""

from __future__ import annotations

import itertools
from typing import Any

from batchsim.backends.fake.behaviour import Behaviour
from batchsim.domain.endpoints import ENDPOINTS, Endpoint
from batchsim.domain.lines import RequestLine
from batchsim.responders import Answer, Occasion, errors


class Synchronous:
    """Answers single requests. They are counted from 1, and the count is the key of their chance."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._numbers = itertools.count(1)

    def answer(self, url: str, body: dict[str, Any], now: float) -> Answer:
        """The answer to `body` sent to `url`, one of ENDPOINTS, at the time `now`."""
        refused = self._refusal(ENDPOINTS[url], body)
        if refused is not None:
            return refused
        number = next(self._numbers)
        request = RequestLine(number, "", url, body.get("model"), body)
        entropy = self._behaviour.draws.draw("synchronous answer", number, size=64)
        return self._behaviour.respond(request, Occasion(int(now), entropy))

    def _refusal(self, endpoint: Endpoint, body: dict[str, Any]) -> Answer | None:
        model = body.get("model")
        if model is None and "model" in endpoint.required:
            return errors.model_not_given()
        if model is not None and type(model) is not str:
            return errors.invalid_type("model", "a string", model)
        if model is not None and not self._behaviour.supports(model):
            return errors.no_such_model(model)
        if body.get("stream") is True and endpoint.streams:
            return errors.streaming_not_simulated()
        if any(body.get(name) is not None for name in endpoint.substitutes):
            return None
        missing = [name for name in endpoint.required if body.get(name) is None]
        return errors.missing_parameter(missing[0]) if missing else None
