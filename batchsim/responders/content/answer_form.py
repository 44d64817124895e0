"""The form of an answer that a request asks for: a call of a function, or a JSON text."""

import json
from typing import Any

from batchsim.responders.content.json_instances import instance
from batchsim.responders.content.replies import MARK


def forced_function(tools: Any, tool_choice: Any) -> dict[str, Any] | None:
    """Return the function that the model must call, as the request declares it.

    Reads both spellings: `{"type": "function", "function": {...}}` of chat completions and the flat
    one of responses.
    """
    if type(tools) is not list or tool_choice in (None, "none", "auto"):
        return None
    functions = [
        tool.get("function", tool)
        for tool in tools
        if type(tool) is dict and tool.get("type") == "function"
    ]
    functions = [each for each in functions if type(each) is dict and type(each.get("name")) is str]
    if type(tool_choice) is dict:
        chosen = tool_choice.get("function", tool_choice)
        name = chosen.get("name") if type(chosen) is dict else None
        functions = [each for each in functions if each["name"] == name]
    return functions[0] if functions else None


def formatted_text(text: str, form: Any) -> str:
    """Return `text` as the JSON that a response format asks for, or unchanged without one.

    Reads both spellings: `json_schema` holding the schema (chat completions) and the flat one.
    """
    kind = form.get("type") if type(form) is dict else None
    if kind == "json_object":
        return json.dumps({"answer": text}, ensure_ascii=False)
    if kind == "json_schema":
        holder = form.get("json_schema", form)
        schema = holder.get("schema") if type(holder) is dict else None
        return json.dumps(instance(schema, text), ensure_ascii=False)
    return text


def call_arguments(function: dict[str, Any]) -> str:
    """Return the smallest arguments that a declared function takes, as JSON text."""
    arguments = instance(function.get("parameters"), MARK)
    return json.dumps(arguments if isinstance(arguments, dict) else {}, ensure_ascii=False)
