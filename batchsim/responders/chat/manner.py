"""How /v1/chat/completions answers a request, as far as its parameters alone decide that."""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quote
from typing import Any, NamedTuple

import orjson

from batchsim.domain import models
from batchsim.domain.answers import Answer
from batchsim.domain.lines import RequestLine, RequestLines
from batchsim.responders.chat.refusals import model_refusal
from batchsim.responders.content.answer_form import call_arguments, forced_function
from batchsim.responders.parameter_ranges import (
    boolean,
    decimal,
    integer,
    longest_prompt,
    one_of,
    refusal,
    string,
)

CHECKS = {
    "temperature": decimal(0, 2),
    "top_p": decimal(0, 1),
    "presence_penalty": decimal(-2, 2),
    "frequency_penalty": decimal(-2, 2),
    "n": integer(1, 128),
    "max_tokens": integer(1),
    "max_completion_tokens": integer(1),
    "top_logprobs": integer(0, 20),
    "logprobs": boolean,
    "parallel_tool_calls": boolean,
    "store": boolean,
    "user": string,
    "reasoning_effort": one_of("none", "minimal", "low", "medium", "high", "xhigh", "max"),
}
"""The ranges of the parameters (API reference)."""

LONGEST_REMEMBERED = 1 << 14
"""In bytes: what follows from longer parameters is not kept in memory."""


class Style(NamedTuple):
    """What is the same in all answers of one model; the first three are JSON text."""

    model: str
    logprobs: str
    fingerprint: str
    sizes: models.Model
    is_reasoning: bool


class Call(NamedTuple):
    """The function that the model is obliged to call; `name` is JSON text, `arguments` a string."""

    name: str
    arguments: str
    finish_reason: str


class Manner(NamedTuple):
    """What follows from a request's parameters alone, and so is the same for most of a batch."""

    style: Style
    copies: int
    """How many choices the answer has."""
    refused: Answer | None = None
    """The refusal of a parameter that is out of its range; what follows is then not known."""
    refused_by_model: Answer | None = None
    """The refusal of a parameter that the model does not take, once the messages are in order."""
    form: Any = None
    call: Call | None = None
    effort: Any = None
    limit: int | None = None
    limit_name: str = "max_tokens"
    longest_prompt: float = math.inf
    """In tokens: beyond it prompt and answer do not fit the model."""

    @property
    def is_plain(self) -> bool:
        """Whether the answer is one text, unless the messages are not in order."""
        refused = self.refused or self.refused_by_model
        return refused is None and self.form is None and self.call is None and self.copies == 1


def manner_of(request: RequestLine) -> Manner:
    """What follows from the request's parameters."""
    model = request.model or ""
    parameters = {**request.body, "messages": None}
    try:
        written = orjson.dumps(parameters)
    except orjson.JSONEncodeError:  # such as an integer of 30 digits, from a caller in Python
        return _manner(model, parameters)
    if len(written) > LONGEST_REMEMBERED:
        return _manner(model, parameters)
    return _remembered_manner(model, written)


def common_manner(lines: RequestLines) -> Manner | None:
    """What follows from the parameters of all the lines; None where they are not all the same."""
    parameters = [{**body, "messages": None} for body in lines.bodies]
    try:
        first, together = orjson.dumps(parameters[0]), orjson.dumps(parameters)
    except orjson.JSONEncodeError:
        return None
    if len(first) > LONGEST_REMEMBERED or together != b"[%b]" % b",".join(
        [first] * len(parameters)
    ):
        return None
    return _remembered_manner(lines.model or "", first)


@lru_cache(maxsize=256)
def _remembered_manner(model: str, parameters: bytes) -> Manner:
    return _manner(model, orjson.loads(parameters))


def _manner(model: str, parameters: dict[str, Any]) -> Manner:
    style = _style(model)
    copies = parameters.get("n")
    copies = copies if type(copies) is int and 1 < copies <= 128 else 1
    refused = refusal(parameters, CHECKS)
    if refused is not None:
        return Manner(style, copies, refused)
    limit_name = (
        "max_completion_tokens" if parameters.get("max_completion_tokens") else "max_tokens"
    )
    limit = parameters.get(limit_name)
    return Manner(
        style,
        copies,
        refused_by_model=model_refusal(parameters, model) if style.is_reasoning else None,
        form=parameters.get("response_format"),
        call=_call_of(parameters),
        effort=parameters.get("reasoning_effort"),
        limit=limit,
        limit_name=limit_name,
        longest_prompt=longest_prompt(style.sizes, limit),
    )


def _call_of(parameters: dict[str, Any]) -> Call | None:
    function = forced_function(parameters.get("tools"), parameters.get("tool_choice"))
    if function is None:
        return None
    # A call of a function that the request names ends with "stop" (API reference).
    finish_reason = "tool_calls" if parameters["tool_choice"] == "required" else "stop"
    return Call(quote(function["name"]), call_arguments(function), finish_reason)


@lru_cache(maxsize=256)
def _style(model: str) -> Style:
    name = models.snapshot(model)
    fingerprint = hashlib.blake2b(name.encode(), digest_size=5).hexdigest()
    # Reasoning models leave the key out (observed for gpt-5-nano).
    logprobs = "" if models.is_reasoning(model) else '"logprobs": null, '
    return Style(
        quote(name),
        logprobs,
        f'"fp_{fingerprint}"',
        models.sizes(model),
        models.is_reasoning(model),
    )
