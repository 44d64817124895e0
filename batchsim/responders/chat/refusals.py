"""Refusals of /v1/chat/completions, except those for ranges of parameters."""

import json
from typing import Any

from batchsim.domain import models
from batchsim.domain.answers import Answer
from batchsim.responders import error_answers

ROLES = ("system", "assistant", "user", "function", "tool", "developer")
"""The roles of messages, in the order of the API's refusal."""

FORMATS = ("json_object", "json_schema", "text")  # in the order of the API's refusal


def message_refusal(messages: Any) -> Answer | None:
    """Return the refusal of messages that are no conversation, None when they are one."""
    if type(messages) is not list:
        return error_answers.invalid_type("messages", "an array of objects", messages)
    if not messages:
        return error_answers.empty_array("messages")
    for index, message in enumerate(messages):
        if type(message) is not dict:
            return error_answers.invalid_type(f"messages[{index}]", "an object", message)
        role = message.get("role")
        if role not in ROLES:
            return _role_refusal(f"messages[{index}].role", role)
        content = message.get("content")
        if content is None:
            if role != "assistant":
                return error_answers.null_content(index)
        elif type(content) is not str and type(content) is not list:
            expected = "one of a string or array of objects"
            return error_answers.invalid_type(f"messages[{index}].content", expected, content)
    return None


def _role_refusal(param: str, role: Any) -> Answer:
    if role is None:
        return error_answers.missing_parameter(param)
    if type(role) is not str:
        return error_answers.invalid_type(param, "a string", role)
    return error_answers.invalid_value(param, role, ROLES)


def model_refusal(body: dict[str, Any], model: str) -> Answer | None:
    """Return the refusal of a parameter that a reasoning model does not take, if any."""
    if body.get("max_tokens") is not None:
        return error_answers.unsupported_parameter("max_tokens", "max_completion_tokens")
    if not models.takes_temperature(model):
        for name in ("temperature", "top_p"):
            if body.get(name) not in (None, 1):
                return error_answers.unsupported_value(name, body[name])
    return None


def format_refusal(messages: list[Any], form: Any) -> Answer | None:
    """Return the refusal of an invalid `response_format` (`form`), if it is invalid."""
    if type(form) is not dict:
        return error_answers.invalid_type("response_format", "an object", form)
    kind = form.get("type")
    if kind not in FORMATS:
        if type(kind) is str:
            return error_answers.invalid_value("response_format.type", kind, FORMATS)
        return error_answers.missing_parameter("response_format.type")
    if kind == "json_object" and "json" not in json.dumps(messages).lower():
        return error_answers.json_not_mentioned("messages", "response_format")
    if kind == "json_schema":
        holder = form.get("json_schema")
        if type(holder) is not dict or type(holder.get("name")) is not str:
            return error_answers.missing_parameter("response_format.json_schema.name")
    return None
