"""The least cost of a line: each step, alone and in its plainest form.

A figure can miss its target because the code does too much, or because the target is below the cost
of the parts on this machine. So the parts are measured in the same run: loops of one statement,
without checks. Their sum, each as often as needed, is the least that this design can cost.
"""

from __future__ import annotations

import gc
import hashlib
import os
from array import array
from collections.abc import Callable, Iterable
from io import BytesIO
from itertools import accumulate, islice
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import orjson

from bench.programs import Facts, timed

MOST_LINES = 10_000
FLOOR = "floor"
"""The fact that says what one orjson pass costs, in microseconds of CPU a line."""


class Part(NamedTuple):
    """One thing that is done with a line, and how often each activity has to do it."""

    name: str
    what: str
    validate: int = 0
    fake: int = 0
    run: int = 0


PARTS = (
    Part("split", "split the file into lines", validate=1, fake=1, run=2),
    Part("parse", "parse it", validate=1, fake=1, run=2),
    Part("judge", "compare its keys, method, url and model", validate=1, fake=1, run=2),
    Part("remember", "remember its custom_id", validate=1, fake=1, run=2),
    Part("digest", "hash its bytes: SHA-256", run=1),
    Part("copy", "copy its bytes: an upload, a download", run=2),
    Part("derive", "derive ids and an answer from it", fake=1, run=1),
    Part("write", "write the answer, note where", fake=1, run=1),
    Part("move", "read an answer from its place, write it to another", fake=1, run=2),
    Part("match", "parse an answer, find the line that it is for", run=1),
)
ACTIVITIES = ("validate", "fake", "run")


def least(activity: str, facts: Facts) -> float:
    """What an activity costs at least, in orjson passes: its parts' sum."""
    total: float = sum(getattr(part, activity) * facts[part.name] for part in PARTS)
    return total / facts[FLOOR]


def parts(path: str) -> Facts:
    """Microseconds of CPU a line for each part, and for one orjson pass over the same lines."""
    with Path(path).open("rb") as stream:
        lines = list(islice(stream, MOST_LINES))
    inputs = Path(f"{path}.parts")
    inputs.write_bytes(b"".join(lines))
    places = Path(f"{path}.places")
    gc.disable()  # as the hot loops do
    facts: Facts = {}

    def cost(name: str, work: Callable[[], Any]) -> Any:
        seconds: Facts = {}
        with timed(seconds):
            value = work()
        facts[name] = 1e6 * seconds["cpu"] / len(lines)
        return value

    with inputs.open("rb") as source, places.open("w+b") as answers, BytesIO() as target:
        cost(FLOOR, lambda: _parse(source))
        source.seek(0)
        cost("split", lambda: _split(source))
        cost("parse", lambda: _parse(lines))
        values = [orjson.loads(line) for line in lines]
        cost("judge", lambda: _judge(values))
        cost("remember", lambda: _remember(values))
        cost("digest", lambda: _digest(lines))
        source.seek(0)
        cost("copy", lambda: _copy(source, target))
        answered = cost("derive", lambda: _derive(values))
        offsets = cost("write", lambda: _write(answered, answers))
        answers.flush()
        order = sorted(range(len(answered)), key=answered.__getitem__)
        target.seek(0)
        cost("move", lambda: _move(answers.fileno(), offsets, order, target))
        cost("match", lambda: _match(answered))
    inputs.unlink()
    places.unlink()
    return facts


def _split(stream: BinaryIO) -> None:
    for _ in stream:
        pass


def _parse(lines: Iterable[bytes]) -> None:
    for line in lines:
        orjson.loads(line)


def _judge(values: list[Any]) -> None:
    keys, model = set(values[0]), values[0]["body"]["model"]
    for value in values:
        if value.keys() != keys or value["method"] != "POST" or value["url"][:4] != "/v1/":
            raise ValueError(value)
        if value["body"].get("model") != model:
            raise ValueError(value)


def _remember(values: list[Any]) -> None:
    seen: set[str] = set()
    for value in values:
        identifier = value["custom_id"]
        if identifier in seen:
            raise ValueError(identifier)
        seen.add(identifier)


def _digest(lines: list[bytes]) -> None:
    digest = hashlib.sha256()
    for start in range(0, len(lines), 256):
        digest.update(b"".join(lines[start : start + 256]))


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    while piece := source.read(1 << 17):
        target.write(piece)


_HEAD = b'{"id": "batch_req_'
_REQUEST = b', "response": {"status_code": 200, "request_id": "'
_BODY = b'", "body": {"id": "chatcmpl-'
_CONTENT = (
    b'", "object": "chat.completion", "created": 1767225600, "model": "gpt-4o-mini-2024-07-18", '
    b'"choices": [{"index": 0, "message": {"role": "assistant", "content": '
)
_TAIL = (
    b', "refusal": null}, "logprobs": null, "finish_reason": "stop"}], "usage": '
    b'{"prompt_tokens": 80, "completion_tokens": 20, "total_tokens": 100}}}, "error": null}\n'
)


def _derive(values: list[Any]) -> list[bytes]:
    quote, blake2b, join = encode_basestring_ascii, hashlib.blake2b, b"".join
    answered = []
    for number, value in enumerate(values):
        identifier = blake2b(b"%d" % number, digest_size=16).hexdigest().encode()
        name = b'", "custom_id": ' + quote(value["custom_id"]).encode()
        text = quote(value["body"]["messages"][-1]["content"][:80]).encode()
        pieces = (_HEAD, identifier, name, _REQUEST, identifier, _BODY, identifier, _CONTENT, text)
        answered.append(join(pieces) + _TAIL)
    return answered


def _write(answered: list[bytes], stream: BinaryIO) -> array[int]:
    stream.writelines(answered)
    return array("Q", accumulate(map(len, answered), initial=0))


def _move(descriptor: int, offsets: array[int], order: list[int], target: BinaryIO) -> None:
    for place in order:
        start = offsets[place]
        target.write(os.pread(descriptor, offsets[place + 1] - start, start))


def _match(answered: list[bytes]) -> None:
    places = {f"request-{number}": number for number in range(len(answered))}
    decode = msgspec.json.Decoder(Named).decode
    for answer in answered:
        places[decode(answer).custom_id]


class Named(msgspec.Struct):
    """What of a result line tells its place."""

    custom_id: str
