"""What the service checks about a body only when it runs the line: the ranges of its parameters.

A batch is validated by its lines' keys, url and model. A temperature of 999 passes that, and comes
back as a 400 in the error file (observed).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from batchsim.domain.answers import Answer
from batchsim.domain.models import Model
from batchsim.responders import error_answers

Check = Callable[[str, Any], Answer | None]
"""Takes a parameter's name and its value (never null); an answer is its refusal."""


def decimal(low: float, high: float) -> Check:
    """Any number from `low` to `high`."""

    def check(name: str, value: Any) -> Answer | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return error_answers.invalid_type(name, "a decimal", value)
        if value < low:
            return error_answers.out_of_range(name, "decimal", "minimum", low, value)
        if value > high:
            return error_answers.out_of_range(name, "decimal", "maximum", high, value)
        return None

    return check


def integer(low: int, high: int | None = None) -> Check:
    """An integer from `low` to `high`; None sets no upper bound."""

    def check(name: str, value: Any) -> Answer | None:
        if isinstance(value, bool) or not isinstance(value, int):
            return error_answers.invalid_type(name, "an integer", value)
        if value < low:
            return error_answers.out_of_range(name, "integer", "minimum", low, value)
        if high is not None and value > high:
            return error_answers.out_of_range(name, "integer", "maximum", high, value)
        return None

    return check


def boolean(name: str, value: Any) -> Answer | None:
    """True or false."""
    return None if isinstance(value, bool) else error_answers.invalid_type(name, "a boolean", value)


def string(name: str, value: Any) -> Answer | None:
    """Any string."""
    return None if isinstance(value, str) else error_answers.invalid_type(name, "a string", value)


def one_of(*supported: str) -> Check:
    """One of the `supported` strings."""

    def check(name: str, value: Any) -> Answer | None:
        if not isinstance(value, str):
            return error_answers.invalid_type(name, "a string", value)
        return None if value in supported else error_answers.invalid_value(name, value, supported)

    return check


def refusal(body: Mapping[str, Any], checks: Mapping[str, Check]) -> Answer | None:
    """The first refusal among the parameters in the order of the body; null is always taken."""
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
    """The refusal when prompt and answer do not fit the model.

    `param` names the prompt, `limit` the most tokens of the answer that `limit_name` asks for.
    """
    if model.context is not None and prompt_tokens + (limit or 0) > model.context:
        return error_answers.context_length_exceeded(
            param, model.context, prompt_tokens, limit or 0
        )
    if limit is not None and model.longest_answer is not None and limit > model.longest_answer:
        return error_answers.answer_too_long(limit_name, limit, model.longest_answer)
    return None


def longest_prompt(model: Model, limit: int | None) -> float:
    """The most tokens of a prompt that `size_refusal` takes; -1 when it takes none, or infinity."""
    if limit is not None and model.longest_answer is not None and limit > model.longest_answer:
        return -1
    return math.inf if model.context is None else model.context - (limit or 0)
