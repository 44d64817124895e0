"""Scripted answers: a responder from a user's function, mapping, JSONL file or cassette.

A mistake of the user becomes an error line, never an exception in the middle of a batch. If a
function raises, its line is a 500 with the error; the traceback is in the log.
"""

import inspect
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from batchsim.domain.answers import Answer, usage_of
from batchsim.domain.batches import Usage
from batchsim.domain.lines import RequestLine
from batchsim.domain.parameter_checks import a_kind
from batchsim.errors import InputError, UsageError
from batchsim.responders import Occasion, Responder, error_answers
from batchsim.responders.cassette import Cassette, is_cassette
from batchsim.responders.recorded import RecordedAnswers
from batchsim.responders.simulated import simulated, with_text

Script: TypeAlias = "str | Mapping[str, Any] | tuple[int, Any] | Answer | None"
"""The answer that a user gives for a line: a text, a whole body, a status code and a body, an
Answer, or None for the simulated answer."""

Source: TypeAlias = "Callable[..., Script] | Mapping[str, Script] | str | os.PathLike[str]"
"""The source of scripts: a function of the request (or of the request and the Occasion), a
mapping by custom_id, or the path of a JSONL file."""

LONGEST_BODY = 64 << 20  # the longest body, in characters, that a script may give

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


def scripted(source: Source) -> Responder:
    """Make a responder of `source`.

    A function gets a copy of the request, so it cannot harm the original. Lines that a mapping or a
    file does not name get the simulated answer. The lines of a file are
    `{"custom_id": ..., "text": ...}` or the lines of an output file. A file whose first line has a
    url and a response is a cassette (see batchsim.responders.cassette). A request that is not on it
    gets an error line that names the nearest recording.

    Raises UsageError when `source` is none of these or asynchronous, and InputError, with the line,
    when the file cannot be read or a line of it holds no answer.
    """
    if isinstance(source, Mapping):
        return _by_custom_id(source)
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        return _from_cassette(path) if is_cassette(path) else _from_file(path)
    if _is_asynchronous(source):
        raise UsageError(
            "a responder cannot be asynchronous: lines are answered one after another",
            hint="give a plain function; what it needs of asyncio it can have by asyncio.run(...)",
        )
    if callable(source):
        return _by_function(source)
    raise UsageError(
        f"a responder cannot be {a_kind(source)}",
        hint="give a function of the request, a mapping by custom_id, or the path of a JSONL file",
    )


def _by_custom_id(source: Mapping[str, Script]) -> Responder:
    scripts = dict(source)

    def respond(request: RequestLine, occasion: Occasion) -> Answer:
        return _answer(scripts.get(request.custom_id), request, occasion)

    return respond


def _from_file(path: Path) -> Responder:
    recorded = RecordedAnswers(path)

    def respond(request: RequestLine, occasion: Occasion) -> Answer:
        try:
            script = recorded.get(request.custom_id)
        except InputError as error:
            return error_answers.unusable_answer(error.message)
        return _answer(script, request, occasion)

    return respond


def _from_cassette(path: Path) -> Responder:
    cassette = Cassette(path)

    def respond(request: RequestLine, occasion: Occasion) -> Answer:
        try:
            script = cassette.get(request)
        except InputError as error:
            return error_answers.unusable_answer(error.message)
        if isinstance(script, str):
            _log.error("line %d (%r): %s", request.number, request.custom_id, script)
            return error_answers.unusable_answer(script)
        return _answer(script, request, occasion)

    return respond


def _by_function(function: Callable[..., Script]) -> Responder:
    takes_occasion = _takes_two(function)

    def respond(request: RequestLine, occasion: Occasion) -> Answer:
        own = request._replace(body=orjson.loads(orjson.dumps(request.body)))
        try:
            script = function(own, occasion) if takes_occasion else function(own)
        except Exception as error:  # noqa: BLE001 what a user's function raises is the line's outcome
            _log.exception(
                "the responder failed on line %d (%r)", request.number, request.custom_id
            )
            return error_answers.failed_responder(error)
        return _answer(script, request, occasion)

    return respond


def _is_asynchronous(source: object) -> bool:
    called = [source, getattr(type(source), "__call__", None)]  # noqa: B004 - it is looked into
    return any(
        inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in called
    )


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [each for each in parameters if each.default is each.empty]
    return len([each for each in required if each.kind in positional]) == 2


def _answer(script: Any, request: RequestLine, occasion: Occasion) -> Answer:
    if script is None:
        return simulated(request, occasion)
    if isinstance(script, str):
        return _with_text(script, request, occasion)
    if isinstance(script, Answer):
        return _checked(script)
    if isinstance(script, Mapping):
        return _with_body(200, script)
    if isinstance(script, tuple) and len(script) == 2:
        return _with_body(*script)
    if inspect.iscoroutine(script):
        script.close()
        return error_answers.unusable_answer("the function is asynchronous; give a plain one")
    return error_answers.unusable_answer(
        f"it is {a_kind(script)}; "
        "a text, a dict, (status code, dict), an Answer or None is asked for"
    )


def _with_text(text: str, request: RequestLine, occasion: Occasion) -> Answer:
    if len(text) > LONGEST_BODY:
        return _too_long()
    try:
        text.encode()
    except UnicodeEncodeError:
        return error_answers.unusable_answer("its text holds half a surrogate pair")
    return with_text(request, occasion, text)


def _with_body(status_code: Any, body: Any) -> Answer:
    try:
        text = json.dumps(dict(body) if isinstance(body, Mapping) else body, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return error_answers.unusable_answer(f"its body is not JSON: {error}")
    return _checked(Answer(status_code, text, usage_of(body)))


def _checked(answer: Answer) -> Answer:
    status_code: Any = answer.status_code
    body: Any = answer.body
    if type(status_code) is not int or not 100 <= status_code <= 599:
        return error_answers.unusable_answer("its status code is not an HTTP status")
    if not isinstance(body, str) or not body.isascii() or "\n" in body or "\r" in body:
        return error_answers.unusable_answer(
            "an Answer's body is JSON text, in ASCII and on one line"
        )
    if len(body) > LONGEST_BODY:
        return _too_long()
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return error_answers.unusable_answer(f"its body is not JSON: {error.msg}")
    usage: Any = answer.usage
    if not (isinstance(usage, Usage) and 200 <= status_code < 300):
        return answer._replace(usage=Usage())
    return answer


def _too_long() -> Answer:
    return error_answers.unusable_answer(f"it is longer than {LONGEST_BODY:,} characters")
