"""Parameters of /v1/chat/completions: all that follows from them without the messages.

Most requests of a batch have the same parameters, so their consequences are cached.
"""

import hashlib
import math
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quote
from typing import Any, NamedTuple

import orjson

from batchsim.domain import models
from batchsim.domain.answers import Answer
from batchsim.domain.lines import RequestLine, RequestLines
from batchsim.responders import parameter_ranges as ranges
from batchsim.responders.chat.refusals import model_refusal
from batchsim.responders.content import call_arguments, forced_function

CHECKS = {  # the ranges of the parameters (API reference)
    "temperature": ranges.decimal(0, 2),
    "top_p": ranges.decimal(0, 1),
    "presence_penalty": ranges.decimal(-2, 2),
    "frequency_penalty": ranges.decimal(-2, 2),
    "n": ranges.integer(1, 128),
    "max_tokens": ranges.integer(1),
    "max_completion_tokens": ranges.integer(1),
    "top_logprobs": ranges.integer(0, 20),
    "logprobs": ranges.boolean,
    "parallel_tool_calls": ranges.boolean,
    "store": ranges.boolean,
    "user": ranges.string,
    "reasoning_effort": ranges.one_of("none", "minimal", "low", "medium", "high", "xhigh", "max"),
}

LONGEST_CACHED = 1 << 14  # Bytes of parameters. The consequences of longer ones are not cached.


class ModelFields(NamedTuple):
    """The fields that are the same in all answers of one model; the first three are JSON text."""

    model: str
    logprobs: str
    fingerprint: str
    sizes: models.Model
    is_reasoning: bool


class ForcedCall(NamedTuple):
    """The function that the model must call; `name` is JSON text, `arguments` a string."""

    name: str
    arguments: str
    finish_reason: str


class Parameters(NamedTuple):
    fields: ModelFields
    copies: int  # the number of choices in the answer
    refused: Answer | None = None  # for a parameter out of its range; the rest is not known then
    refused_by_model: Answer | None = None
    """The refusal of a parameter that the model does not take, once the messages are valid."""
    form: Any = None
    call: ForcedCall | None = None
    effort: Any = None
    limit: int | None = None
    limit_name: str = "max_tokens"
    longest_prompt: float = math.inf  # tokens that fit the model, together with the answer

    @property
    def is_plain(self) -> bool:
        """True if the answer is one text, if the messages are valid."""
        refused = self.refused or self.refused_by_model
        return refused is None and self.form is None and self.call is None and self.copies == 1


def parameters_of(request: RequestLine) -> Parameters:
    model = request.model or ""
    body = {**request.body, "messages": None}
    try:
        written = orjson.dumps(body)
    except orjson.JSONEncodeError:  # such as an integer of 30 digits, from a caller in Python
        return _parameters(model, body)
    if len(written) > LONGEST_CACHED:
        return _parameters(model, body)
    return _cached_parameters(model, written)


def common_parameters(lines: RequestLines) -> Parameters | None:
    """Return the parameters of all the lines, None where they differ."""
    bodies = [{**body, "messages": None} for body in lines.bodies]
    try:
        first, written = orjson.dumps(bodies[0]), orjson.dumps(bodies)
    except orjson.JSONEncodeError:
        return None
    if len(first) > LONGEST_CACHED or written != b"[%b]" % b",".join([first] * len(bodies)):
        return None
    return _cached_parameters(lines.model or "", first)


@lru_cache(maxsize=256)
def _cached_parameters(model: str, body: bytes) -> Parameters:
    return _parameters(model, orjson.loads(body))


def _parameters(model: str, body: dict[str, Any]) -> Parameters:
    fields = _fields(model)
    copies = body.get("n")
    copies = copies if type(copies) is int and 1 < copies <= 128 else 1
    refused = ranges.refusal(body, CHECKS)
    if refused is not None:
        return Parameters(fields, copies, refused)
    limit_name = "max_completion_tokens" if body.get("max_completion_tokens") else "max_tokens"
    limit = body.get(limit_name)
    return Parameters(
        fields,
        copies,
        refused_by_model=model_refusal(body, model) if fields.is_reasoning else None,
        form=body.get("response_format"),
        call=_forced_call(body),
        effort=body.get("reasoning_effort"),
        limit=limit,
        limit_name=limit_name,
        longest_prompt=ranges.longest_prompt(fields.sizes, limit),
    )


def _forced_call(body: dict[str, Any]) -> ForcedCall | None:
    function = forced_function(body.get("tools"), body.get("tool_choice"))
    if function is None:
        return None
    # A call of a function that the request names ends with "stop" (API reference).
    finish_reason = "tool_calls" if body["tool_choice"] == "required" else "stop"
    return ForcedCall(quote(function["name"]), call_arguments(function), finish_reason)


@lru_cache(maxsize=256)
def _fields(model: str) -> ModelFields:
    name = models.snapshot(model)
    fingerprint = hashlib.blake2b(name.encode(), digest_size=5).hexdigest()
    is_reasoning = models.is_reasoning(model)
    # Reasoning models leave the key out (observed for gpt-5-nano).
    logprobs = "" if is_reasoning else '"logprobs": null, '
    return ModelFields(
        quote(name), logprobs, f'"fp_{fingerprint}"', models.sizes(model), is_reasoning
    )
