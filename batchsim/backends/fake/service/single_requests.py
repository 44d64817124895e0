"""Single requests, answered at once and without a batch by the responder of the lines."""

import itertools
from typing import Any

from batchsim.backends.fake.execution import Settings
from batchsim.domain.answers import Answer
from batchsim.domain.endpoints import ENDPOINTS, Endpoint
from batchsim.domain.lines import RequestLine
from batchsim.responders import Occasion, error_answers


class SingleRequests:
    """Answers single requests. Their numbers, from 1 on, are the keys of their draws."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._numbers = itertools.count(1)

    def answer(self, url: str, body: dict[str, Any], now: float) -> Answer:
        refused = self._refusal(ENDPOINTS[url], body)
        if refused is not None:
            return refused
        number = next(self._numbers)
        request = RequestLine(number, "", url, body.get("model"), body)
        entropy = self._settings.draws.draw("synchronous answer", number, size=64)
        return self._settings.respond(request, Occasion(int(now), entropy))

    def _refusal(self, endpoint: Endpoint, body: dict[str, Any]) -> Answer | None:
        model = body.get("model")
        if model is None and "model" in endpoint.required:
            return error_answers.model_not_given()
        if model is not None and type(model) is not str:
            return error_answers.invalid_type("model", "a string", model)
        if model is not None and not self._settings.supports(model):
            return error_answers.no_such_model(model)
        if body.get("stream") is True and endpoint.streams:
            return error_answers.streaming_not_simulated()
        if any(body.get(name) is not None for name in endpoint.substitutes):
            return None
        missing = [name for name in endpoint.required if body.get(name) is None]
        return error_answers.missing_parameter(missing[0]) if missing else None
