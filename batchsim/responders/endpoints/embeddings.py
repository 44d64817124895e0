"""Answers of /v1/embeddings: vectors that depend on the text alone.

Theory of operation. A vector of d numbers has fixed sizes in a fixed order, chosen so that its
length is 1. Only the signs come from the text (from its hash). So equal texts have equal vectors
under any seed, and different texts have vectors that are nearly at right angles. Nothing is
computed per number: four bits of the hash look up four ready-made numbers.
"""

import base64
import hashlib
import math
import struct
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quote
from typing import Any, NamedTuple

import orjson

from batchsim.domain.answers import Answer
from batchsim.domain.batches import Usage
from batchsim.domain.lines import RequestLine
from batchsim.pricing.token_estimate import estimate_tokens
from batchsim.responders import Occasion, error_answers
from batchsim.responders.parameter_ranges import integer, one_of, refusal, string

DIMENSIONS = {"text-embedding-3-large": 3072}  # of the vectors (API reference); 1536 for others
LONGEST_INPUT = 8_192  # the most tokens of one input (API reference)
INPUTS_PER_REQUEST = 2_048  # the most inputs of one request (API reference)

CHECKS = {"dimensions": integer(1), "encoding_format": one_of("float", "base64"), "user": string}
"""The ranges of the parameters (API reference)."""


class _Input(NamedTuple):
    content: bytes
    tokens: int


class _Block(NamedTuple):
    """Four neighbouring numbers of a vector with each of the 16 choices of their signs."""

    texts: tuple[str, ...]
    floats: tuple[bytes, ...]


def respond(request: RequestLine, occasion: Occasion) -> Answer:  # noqa: ARG001 no chance in it
    """Answer with one vector per input, of the `dimensions` and `encoding_format` asked for."""
    inputs = _inputs(request.body.get("input"))
    refused = refusal(request.body, CHECKS) or _refusal(request, inputs)
    if refused is not None:
        return refused
    return _list(request, inputs, [each.content for each in inputs])


def with_text(
    request: RequestLine,
    occasion: Occasion,  # noqa: ARG001 no chance in it
    text: str,
) -> Answer:
    """Make a well-formed answer that gives every input the vector of `text`."""
    inputs = _inputs(request.body.get("input"))
    return _list(request, inputs, [text.encode("utf-8", "replace")] * len(inputs))


def _refusal(request: RequestLine, inputs: list[_Input]) -> Answer | None:
    if not 0 < len(inputs) <= INPUTS_PER_REQUEST or not all(each.tokens for each in inputs):
        return error_answers.invalid_input()
    longest = max(each.tokens for each in inputs)
    if longest > LONGEST_INPUT:
        return error_answers.embedding_input_too_long(LONGEST_INPUT, longest)
    model = request.model or ""
    dimensions, most = request.body.get("dimensions"), DIMENSIONS.get(model, 1536)
    if dimensions is None:
        return None
    if model == "text-embedding-ada-002":
        return error_answers.dimensions_unsupported()
    return error_answers.too_many_dimensions(dimensions, most) if dimensions > most else None


def _inputs(value: Any) -> list[_Input]:
    if type(value) is not list or (value and type(value[0]) is int):
        value = [value]
    return [_input(each) for each in value]


def _input(value: Any) -> _Input:
    if type(value) is str:
        return _Input(value.encode("utf-8", "surrogatepass"), estimate_tokens(value))
    if type(value) is list and all(type(each) is int for each in value):
        return _Input(orjson.dumps(value), len(value))
    return _Input(b"", 0)


def _list(request: RequestLine, inputs: list[_Input], contents: list[bytes]) -> Answer:
    asked = request.body.get("dimensions")
    dimensions = asked if type(asked) is int and 0 < asked <= 3072 else None
    blocks = _blocks(dimensions or DIMENSIONS.get(request.model or "", 1536))
    write = _base64 if request.body.get("encoding_format") == "base64" else _floats
    data = ", ".join(
        f'{{"object": "embedding", "embedding": {write(content, blocks)}, "index": {index}}}'
        for index, content in enumerate(contents)
    )
    tokens = sum(each.tokens for each in inputs)
    body = (
        f'{{"object": "list", "data": [{data}], "model": {quote(request.model or "")}, '
        f'"usage": {{"prompt_tokens": {tokens}, "total_tokens": {tokens}}}}}'
    )
    return Answer(200, body, Usage(tokens))


def _floats(content: bytes, blocks: tuple[_Block, ...]) -> str:
    pieces = zip(blocks, _signs(content, len(blocks)), strict=True)
    return f"[{', '.join([block.texts[signs] for block, signs in pieces])}]"


def _base64(content: bytes, blocks: tuple[_Block, ...]) -> str:
    pieces = zip(blocks, _signs(content, len(blocks)), strict=True)
    joined = b"".join([block.floats[signs] for block, signs in pieces])
    return f'"{base64.b64encode(joined).decode("ascii")}"'


def _signs(content: bytes, blocks: int) -> bytes:
    return bytes(byte & 15 for byte in hashlib.shake_128(content).digest(blocks))


@lru_cache(maxsize=8)
def _blocks(dimensions: int) -> tuple[_Block, ...]:
    sizes = _sizes(dimensions)
    return tuple(_block(sizes[start : start + 4]) for start in range(0, dimensions, 4))


def _sizes(dimensions: int) -> list[float]:
    """Return mixed, evenly spread sizes of total length 1, in half precision (observed)."""
    step = next(each for each in (1009, 1013) if math.gcd(each, dimensions) == 1)
    raw = [0.5 + index * step % dimensions for index in range(dimensions)]
    length = math.sqrt(math.fsum(size * size for size in raw))
    return [struct.unpack("<e", struct.pack("<e", size / length))[0] for size in raw]


def _block(sizes: list[float]) -> _Block:
    signed = [
        [-size if signs >> place & 1 else size for place, size in enumerate(sizes)]
        for signs in range(16)
    ]
    return _Block(
        tuple(", ".join(map(repr, each)) for each in signed),
        tuple(struct.pack(f"<{len(each)}f", *each) for each in signed),
    )
