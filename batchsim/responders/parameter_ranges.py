"""The ranges of parameters, which the service checks only when it runs a line.

Validation of a batch checks the keys, url and model of its lines. A temperature of 999 passes, and
comes back as a 400 in the error file (observed).
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from batchsim.domain.answers import Answer
from batchsim.domain.models import Model
from batchsim.responders import error_answers

Check = Callable[[str, Any], Answer | None]
"""Checks a parameter's name and value (never null), and returns a refusal or None."""


def decimal(low: float, high: float) -> Check:
    return _in_range("a decimal", int | float, low, high)


def integer(low: int, high: int | None = None) -> Check:
    """An integer from `low` to `high`; None sets no upper bound."""
    return _in_range("an integer", int, low, high)


def _in_range(kind: str, types: Any, low: float, high: float | None) -> Check:
    def check(name: str, value: Any) -> Answer | None:
        if isinstance(value, bool) or not isinstance(value, types):
            return error_answers.invalid_type(name, kind, value)
        if value < low:
            return error_answers.out_of_range(name, kind.split()[1], "minimum", low, value)
        if high is not None and value > high:
            return error_answers.out_of_range(name, kind.split()[1], "maximum", high, value)
        return None

    return check


def boolean(name: str, value: Any) -> Answer | None:
    return None if isinstance(value, bool) else error_answers.invalid_type(name, "a boolean", value)


def string(name: str, value: Any) -> Answer | None:
    return None if isinstance(value, str) else error_answers.invalid_type(name, "a string", value)


def one_of(*supported: str) -> Check:
    def check(name: str, value: Any) -> Answer | None:
        if not isinstance(value, str):
            return error_answers.invalid_type(name, "a string", value)
        return None if value in supported else error_answers.invalid_value(name, value, supported)

    return check


def refusal(body: Mapping[str, Any], checks: Mapping[str, Check]) -> Answer | None:
    """Return the first refusal in the order of the body. Null passes every check."""
    for name, value in body.items():
        check = checks.get(name)
        if check is not None and value is not None:
            refused = check(name, value)
            if refused is not None:
                return refused
    return None


def size_refusal(
    param: str, model: Model, prompt_tokens: int, limit: int | None, limit_name: str
) -> Answer | None:
    """Return the refusal when prompt and answer do not fit the model.

    `param` names the prompt. `limit` is the value of the parameter `limit_name`, in tokens.
    """
    if model.context is not None and prompt_tokens + (limit or 0) > model.context:
        return error_answers.context_length_exceeded(
            param, model.context, prompt_tokens, limit or 0
        )
    if limit is not None and model.longest_answer is not None and limit > model.longest_answer:
        return error_answers.answer_too_long(limit_name, limit, model.longest_answer)
    return None


def longest_prompt(model: Model, limit: int | None) -> float:
    """Return the most tokens of a prompt that fits; -1 when none does, or infinity."""
    if limit is not None and model.longest_answer is not None and limit > model.longest_answer:
        return -1
    return math.inf if model.context is None else model.context - (limit or 0)
