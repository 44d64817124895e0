"""The pydantic models that the answers to a job's lines are parsed as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from batchsim.errors import UsageError
from batchsim.library.answer_text import AnswerText
from batchsim.library.requests import Request

if TYPE_CHECKING:
    from pydantic import ValidationError


class ResponseModels:
    """The models of a job's lines: `for_all`, or the one of each request.

    Raises UsageError when `for_all` is no pydantic model. A line's own bytes hold the form that it
    asks for, so nothing is kept for a line.
    """

    def __init__(self, for_all: Any = None) -> None:
        if for_all is not None:
            from batchsim.backends.openai.strict_schema import checked

            for_all = checked(for_all)
        self._for_all = for_all
        self._by_form: dict[bytes, Any] = {}

    def add(self, request: Request[Any]) -> None:
        """Remember the model of `request`.

        Raises UsageError when another model already asks for the very same form.
        """
        if request.response_format is None or self._for_all is not None:
            return
        form = _form(request.body)
        known = self._by_form.setdefault(form, request.response_format)
        if known is not request.response_format:
            raise UsageError(
                f"two response formats are called {known.__name__} and have the same fields",
                hint="rename one of the classes, or use the same one",
            )

    def parse(self, answer: AnswerText, request_line: bytes) -> tuple[Any, ValidationError | None]:
        """Parse the answer as the line's model: a value, an error, or neither."""
        if answer.text is None or answer.refusal is not None:
            return None, None
        model = self._for_all or self._model(request_line)
        if model is None:
            return None, None
        from pydantic import ValidationError

        try:
            return model.model_validate_json(answer.text), None
        except ValidationError as error:
            return None, error

    def _model(self, request_line: bytes) -> Any:
        if not self._by_form:
            return None
        return self._by_form.get(_form(orjson.loads(request_line)["body"]))


def _form(body: Mapping[str, Any]) -> bytes:
    text = body.get("text")
    form = body.get("response_format") or (text.get("format") if isinstance(text, dict) else None)
    return orjson.dumps(form, option=orjson.OPT_SORT_KEYS)
