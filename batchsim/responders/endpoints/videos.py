"""Answers of /v1/videos: result lines hold finished video objects (API reference)."""

import json

from batchsim.domain.answers import Answer
from batchsim.domain.limits import DAY
from batchsim.domain.lines import RequestLine
from batchsim.responders import Occasion, error_answers
from batchsim.responders.parameter_ranges import one_of, refusal, string

CHECKS = {  # the ranges of the parameters (API reference)
    "prompt": string,
    "seconds": one_of("4", "8", "12", "16", "20"),
    "size": one_of("720x1280", "1280x720", "1024x1792", "1792x1024", "1080x1920", "1920x1080"),
}


def respond(request: RequestLine, occasion: Occasion) -> Answer:
    """Answer with a completed video, available for a day. It has no usage."""
    body = request.body
    refused = refusal(body, CHECKS)
    if refused is not None:
        return refused
    answer = {
        "id": f"video_{occasion.entropy[:24].hex()}",
        "object": "video",
        "model": request.model,
        "status": "completed",
        "progress": 100,
        "created_at": occasion.at,
        "completed_at": occasion.at,
        "expires_at": occasion.at + DAY,
        "prompt": body["prompt"],
        "size": body.get("size") or "720x1280",
        "seconds": body.get("seconds") or "4",
        "remixed_from_video_id": None,
        "error": None,
    }
    return Answer(200, json.dumps(answer))


def with_text(
    request: RequestLine,  # noqa: ARG001 whatever it is
    occasion: Occasion,  # noqa: ARG001 whenever it is
    text: str,  # noqa: ARG001 whatever it says
) -> Answer:
    """Return an error: a video object has no place for a text."""
    return error_answers.unusable_answer("a video has no text; give the whole body as a dict")
