"""Answers of /v1/moderations: only a scripted text flags something."""

import hashlib
import json
from typing import Any

from batchsim.domain.answers import Answer
from batchsim.domain.lines import RequestLine
from batchsim.responders import Occasion, error_answers
from batchsim.responders.content import base62
from batchsim.responders.parameter_ranges import refusal, string

CATEGORIES = (  # the categories (API reference)
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit"),
    *("illicit/violent", "self-harm", "self-harm/intent", "self-harm/instructions"),
    *("sexual", "sexual/minors", "violence", "violence/graphic"),
)

CHECKS = {"model": string}  # the types of the parameters besides the input (API reference)
DEFAULT_MODEL = "omni-moderation-latest"  # where the request names none (API reference)


def respond(request: RequestLine, occasion: Occasion) -> Answer:
    """Answer with one result per input, nothing flagged. Scores depend on the input alone."""
    refused = refusal(request.body, CHECKS)
    if refused is not None:
        return refused
    value = request.body.get("input")
    if type(value) is list and not value:
        return error_answers.empty_array("input")
    if type(value) is not str and type(value) is not list:
        return error_answers.invalid_type("input", "one of a string or array of objects", value)
    for index, each in enumerate(value if type(value) is list else ()):
        if type(each) is not type(value[0]) or type(each) not in (str, dict):
            return error_answers.invalid_type(f"input[{index}]", "one of a string or object", each)
    return _moderation(request, occasion, frozenset())


def with_text(request: RequestLine, occasion: Occasion, text: str) -> Answer:
    """Make a well-formed answer that flags the categories in `text`, separated by commas."""
    flagged = frozenset(filter(None, map(str.strip, text.split(","))))
    unknown = sorted(flagged.difference(CATEGORIES))
    if unknown:
        return error_answers.unusable_answer(
            f"a text for /v1/moderations lists the categories to flag, and {unknown[0]!r} is none"
        )
    return _moderation(request, occasion, flagged)


def _moderation(request: RequestLine, occasion: Occasion, flagged: frozenset[str]) -> Answer:
    value = request.body.get("input")
    inputs = value if type(value) is list and value and type(value[0]) is str else [value]
    body = {
        "id": f"modr-{base62(occasion.entropy[:29])}",
        "model": request.model or DEFAULT_MODEL,
        "results": [_result(each, flagged) for each in inputs],
    }
    return Answer(200, json.dumps(body))


def _result(value: Any, flagged: frozenset[str]) -> dict[str, Any]:
    digest = hashlib.blake2b(json.dumps(value).encode(), digest_size=len(CATEGORIES)).digest()
    return {
        "flagged": bool(flagged),
        "categories": {name: name in flagged for name in CATEGORIES},
        # Dividing by a power of two is exact, so the scores are the same on every machine.
        "category_scores": {
            name: (byte + 1) / 65_536 + (0.9 if name in flagged else 0.0)
            for name, byte in zip(CATEGORIES, digest, strict=True)
        },
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
    }
