"""Find the text of an answer, or the model's refusal, in its body."""

from collections.abc import Iterator
from typing import Any, NamedTuple


class AnswerText(NamedTuple):
    """The text or the refusal of a model. Both are None where the answer has no text."""

    text: str | None = None
    refusal: str | None = None


def read_answer_text(body: Any) -> AnswerText:
    """The first choice of a chat or older completion, or what a response says; never raises."""
    if not isinstance(body, dict):
        return AnswerText()
    if isinstance(body.get("choices"), list):
        return _of_choice(next(_objects(body["choices"]), {}))
    return _of_output(body.get("output"))


def _of_choice(choice: dict[str, Any]) -> AnswerText:
    message = choice.get("message")
    if not isinstance(message, dict):
        return AnswerText(_text(choice.get("text")))
    content = message.get("content")
    return AnswerText(
        content if isinstance(content, str) else _joined(content, "text"),
        _text(message.get("refusal")) or None,
    )


def _of_output(output: Any) -> AnswerText:
    """A response's messages; reasoning and calls of tools are no text."""
    parts = [
        part
        for item in _objects(output)
        if item.get("type") == "message"
        for part in _objects(item.get("content"))
    ]
    return AnswerText(_joined(parts, "text"), _joined(parts, "refusal"))


def _joined(parts: Any, name: str) -> str | None:
    texts = [part[name] for part in _objects(parts) if isinstance(part.get(name), str)]
    return "".join(texts) if texts else None


def _objects(values: Any) -> Iterator[dict[str, Any]]:
    for value in values if isinstance(values, list) else ():
        if isinstance(value, dict):
            yield value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
