"""Answers of /v1/images/generations and /v1/images/edits, as GPT Image models give them.

An image is a PNG of one pixel. Its colour depends on the text, and its description says that it is
simulated. A picture of full size would make every line megabytes long.
"""

import base64
import hashlib
import json
import struct
import zlib
from typing import Any

from batchsim.domain.answers import Answer
from batchsim.domain.batches import Usage
from batchsim.domain.lines import RequestLine
from batchsim.pricing.token_estimate import estimate_prompt_tokens, estimate_tokens
from batchsim.responders import Occasion, error_answers
from batchsim.responders.content import echo
from batchsim.responders.parameter_ranges import boolean, integer, one_of, refusal, string

CHECKS = {  # the ranges of the parameters (API reference)
    "prompt": string,
    "n": integer(1, 10),
    "size": string,
    "quality": one_of("auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"),
    "background": one_of("transparent", "opaque", "auto"),
    "output_format": one_of("png", "webp", "jpeg", "gif", "svg"),
    "output_compression": integer(0, 100),
    "moderation": one_of("low", "auto"),
    "partial_images": integer(0, 3),
    "stream": boolean,
    "user": string,
}

IMAGE_TOKENS = {"low": (272, 408), "medium": (1056, 1584), "high": (4160, 6240)}
"""Tokens of a square and of an oblong image, by quality (API reference, gpt-image-1)."""

_PIXEL = bytes.fromhex("789c6360000000020001")


def respond(request: RequestLine, occasion: Occasion) -> Answer:
    """Answer with `n` images, always as PNG, whatever format is asked for."""
    body = request.body
    refused = refusal(body, CHECKS)
    if refused is not None:
        return refused
    if "images" in body and not body["images"]:
        return error_answers.empty_array("images")
    return with_text(request, occasion, echo(body["prompt"]))


def with_text(request: RequestLine, occasion: Occasion, text: str) -> Answer:
    """Make a well-formed answer whose images have `text` as their description."""
    body = request.body
    copies = body.get("n")
    if type(copies) is not int or not 1 <= copies <= 10:
        copies = 1
    image = base64.b64encode(png(text)).decode("ascii")
    quality, size = _quality(body.get("quality")), _size(body.get("size"))
    tokens = copies * IMAGE_TOKENS[quality][size != "1024x1024"]
    prompt_tokens = estimate_prompt_tokens(request)
    written = request.body.get("prompt")
    text_tokens = min(prompt_tokens, estimate_tokens(written) if type(written) is str else 0)
    answer = {
        "created": occasion.at,
        "background": "transparent" if body.get("background") == "transparent" else "opaque",
        "data": [{"b64_json": image}] * copies,
        "output_format": "png",
        "quality": quality,
        "size": size,
        "usage": {
            "total_tokens": prompt_tokens + tokens,
            "input_tokens": prompt_tokens,
            "output_tokens": tokens,
            "input_tokens_details": {
                "text_tokens": text_tokens,
                "image_tokens": prompt_tokens - text_tokens,
            },
            "output_tokens_details": {"text_tokens": 0, "image_tokens": tokens},
        },
    }
    return Answer(200, json.dumps(answer), Usage(prompt_tokens, tokens))


def png(text: str) -> bytes:
    written = text.encode("utf-8", "replace")
    header = struct.pack(">IIBBBBB", 1, 1, 8, 3, 0, 0, 0)
    colour = hashlib.blake2b(written, digest_size=3).digest()
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", colour),
            _chunk(b"iTXt", b"Description\0\0\0\0\0" + written),
            _chunk(b"IDAT", _PIXEL),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)


def _quality(asked: Any) -> str:
    return asked if type(asked) is str and asked in IMAGE_TOKENS else "medium"


def _size(asked: Any) -> str:
    return asked if type(asked) is str and asked != "auto" else "1024x1024"
