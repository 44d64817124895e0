"""A cassette: recorded real answers by request, without secrets.

It is a JSONL file. Each line is
`{"custom_id": ..., "url": ..., "body": {...}, "response": {"status_code": ..., "body": ...}}`.
The key of a request is its url and body, whatever its custom_id. A line without these (the input
was gone when its results were read) has its custom_id as its key. If a request was recorded twice,
the later answer counts. Memory holds a digest and a position for each line.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from batchsim import jsonl
from batchsim.domain.lines import RequestLine
from batchsim.errors import InputError

REDACTED = "[redacted]"
MOST_COMPARED = 1_000  # recordings that are compared to find the nearest one to a request

MOST_DIFFERENCES = 3

HINT = "record it again: batchsim record --cassette FILE"

_SECRETS = re.compile(
    r"\bsk-[A-Za-z0-9_-]{4,}|\bsess-[A-Za-z0-9_-]{8,}|\b(?:org|proj|user)[-_][A-Za-z0-9]{8,}"
    r"|\bwhsec_[A-Za-z0-9+/=_-]+|(?i:\b(?:bearer|basic)\s+)[^\s'\",]+"
    r"|\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*|(?<=://)[^/\s@:]+:[^/\s@]+(?=@)"
)


def redacted(value: Any, known: tuple[str, ...] = ()) -> Any:
    """Return a JSON value without keys, account names and the `known` texts."""
    if isinstance(value, str):
        for secret in known:
            value = value.replace(secret, REDACTED)
        return _SECRETS.sub(REDACTED, value)
    if isinstance(value, list):
        return [redacted(each, known) for each in value]
    if isinstance(value, dict):
        return {redacted(key, known): redacted(each, known) for key, each in value.items()}
    return value


def recording(
    custom_id: str | None,
    url: str | None,
    body: Any,
    status_code: int,
    answer: Any,
    known: tuple[str, ...] = (),
) -> bytes:
    value: dict[str, Any] = {} if custom_id is None else {"custom_id": custom_id}
    if url is not None:
        value |= {"url": url, "body": body}
    value["response"] = {"status_code": status_code, "body": answer}
    return json.dumps(redacted(value, known)).encode() + b"\n"


class Cassette:
    """The recordings in a file. Opening reads it once from end to end.

    Raises InputError, with the line, for the first line that is no recording.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._positions: dict[bytes | str, tuple[int, int]] = {}
        try:
            with path.open("rb") as stream:
                for line in jsonl.read_lines(stream):
                    if line.content.strip():
                        self._positions[self._key(line)] = line.offset, len(line.content)
        except OSError as error:
            raise InputError(
                f"the cassette cannot be read: {error.strerror or error}", path=path
            ) from None

    def get(self, request: RequestLine) -> tuple[int, Any] | str:
        """Return the recorded status code and body, or words about the nearest recording.

        Raises InputError when the file has changed since it was opened.
        """
        position = self._positions.get(_digest(request.url, request.body))
        if position is None and request.custom_id:
            position = self._positions.get(request.custom_id)
        if position is None:
            return self._nearest(request)
        response = self._read(position)["response"]
        return response["status_code"], response["body"]

    def _key(self, line: jsonl.Line) -> bytes | str:
        try:
            value = orjson.loads(line.content)
            response = value["response"]
            if type(response["status_code"]) is int and "body" in response:
                if "url" in value:
                    return _digest(value["url"], value["body"])
                return str(value["custom_id"])
        except (ValueError, KeyError, TypeError):
            pass
        raise InputError("the line is no recording", path=self._path, line=line.number, hint=HINT)

    def _read(self, position: tuple[int, int]) -> dict[str, Any]:
        try:
            with self._path.open("rb") as stream:
                stream.seek(position[0])
                value = orjson.loads(stream.read(position[1]))
        except (OSError, ValueError):
            value = None
        if not isinstance(value, dict) or "response" not in value:
            raise InputError("the cassette has changed since it was read", path=self._path)
        return value

    def _nearest(self, request: RequestLine) -> str:
        wanted = _parts(redacted(request.body))
        near: tuple[int, list[str]] | None = None
        for position in islice(self._positions.values(), MOST_COMPARED):
            value = self._read(position)
            if value.get("url") == request.url:
                differences = _differences(wanted, _parts(value["body"]))
                if near is None or len(differences) < near[0]:
                    near = len(differences), differences[:MOST_DIFFERENCES]
        if near is None:
            return f"the cassette has no recording of a request to {request.url}"
        return (
            f"the cassette has no recording of this request; in the nearest, {'; '.join(near[1])}"
        )


def is_cassette(path: Path) -> bool:
    """True if the first line of a file is a recording with its request."""
    try:
        with path.open("rb") as stream:
            first = next((line for line in jsonl.read_lines(stream) if line.content.strip()), None)
            value = orjson.loads(first.content) if first else None
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and "url" in value and "response" in value


def _digest(url: Any, body: Any) -> bytes:
    text = orjson.dumps([url, redacted(body)], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=16).digest()


def _parts(value: Any, name: str = "body") -> dict[str, Any]:
    if isinstance(value, dict):
        nested: Iterator[tuple[str, Any]] = ((f"{name}.{key}", each) for key, each in value.items())
    elif isinstance(value, list):
        nested = ((f"{name}[{index}]", each) for index, each in enumerate(value))
    else:
        return {name: value}
    return {key: each for path, part in nested for key, each in _parts(part, path).items()}


def _differences(wanted: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    told = []
    for name in dict.fromkeys((*wanted, *recorded)):
        here, there = wanted.get(name, _ABSENT), recorded.get(name, _ABSENT)
        if here != there:
            told.append(f"{name} is {_short(there)} instead of {_short(here)}")
    return told


_ABSENT = object()


def _short(value: Any) -> str:
    text = "absent" if value is _ABSENT else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}..."
