"""Read a service's answers as batches, files, pages and content.

`response` is a Response of httpx or httpx2, its status good and its content not yet read.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from batchsim.backends import Listed, Page
from batchsim.backends.call_errors import Call
from batchsim.backends.openai.decompression import decoded
from batchsim.domain.coercion import carried
from batchsim.errors import TransferBroken, Unavailable
from batchsim.jsonl import BLOCK

LONGEST_ANSWER = 64 << 20  # bytes of a JSON answer; a page of 10,000 files has about 4 MB


def read_json(response: Any, call: Call, *, lists_bare: bool = False) -> dict[str, Any]:
    """Read the answer as a JSON object. Raises the error of `call` for any other answer.

    With `lists_bare` an array is read as the data of a list. Elsewhere it is refused: an empty
    array that is rubbish would say that a batch does not exist. Errors of the HTTP library pass
    through.
    """
    content = read_whole(response, call)
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        value = _with_odd_text(content)
        if value is None:
            raise call.unanswered("the answer is not JSON") from None
    if lists_bare and isinstance(value, list):
        return {"data": value}
    if not isinstance(value, dict):
        raise call.unanswered("the answer is not a JSON object")
    return value


def read_whole(response: Any, call: Call) -> bytearray:
    """The content of an answer. Raises the error of `call` for one that does not end."""
    content = bytearray()
    for piece in response.iter_bytes():
        content += piece
        if len(content) > LONGEST_ANSWER:
            raise call.unanswered("the answer does not end")
    return content


def text_of(response: Any) -> str:
    """The content of an answer as far as it was read, as text whatever charset it claims."""
    try:
        return bytes(response.content).decode("utf-8", "replace")
    except Exception:  # noqa: BLE001 - it was not read, or broke off
        return ""


def read_object(kind: type[Listed], answer: Mapping[str, Any], call: Call) -> Listed:
    """The batch or file in `answer`. Raises the error of `call` for an answer without one."""
    try:
        return kind.from_object(_unwrapped(kind, answer))
    except ValueError as error:
        raise call.unanswered(str(error)) from None


def read_page(kind: type[Listed], answer: Mapping[str, Any], call: Call) -> Page[Listed]:
    entries = answer.get("data", "absent") or []
    if not isinstance(entries, list) or not all(isinstance(each, Mapping) for each in entries):
        raise call.unanswered("the answer is not a list object")
    data = tuple(read_object(kind, each, call) for each in entries)
    return Page(data, has_more=bool(data) and answer.get("has_more") is True)


def read_content(response: Any, call: Call) -> Iterator[bytes]:
    """The content in pieces of at most 1 MiB. Raises TransferBroken when it ends early."""
    if response.headers.get("content-type", "").startswith("text/html"):
        raise Unavailable(
            f"could not {call.words}: a web page came instead of its content",
            hint="check the base URL, and what stands between this machine and the service",
        )
    try:
        for piece in decoded(response):  # at once: a piece that waited would be lost in a break
            for start in range(0, len(piece), BLOCK):
                yield piece[start : start + BLOCK]
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise _broken(f"{response.num_bytes_downloaded:,} bytes: {reason}") from error
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and response.num_bytes_downloaded != int(announced):
        raise _broken(f"{response.num_bytes_downloaded:,} of {int(announced):,} bytes")


def skipped_by_range(response: Any, start: int) -> int:
    """The number of bytes still to be skipped, of the `start` bytes that were not wanted.

    Raises TransferBroken when the service answers with another part.
    """
    if response.status_code != 206:
        return start
    if not response.headers.get("content-range", "").startswith(f"bytes {start}-"):
        raise _broken("nothing: another part was sent than was asked for")
    return 0


def _with_odd_text(content: bytearray) -> Any:
    """JSON that is whole but for halves of surrogate pairs; None for anything else.

    One foreign name must not make a whole list unreadable.
    """
    if b"\\u" not in content:
        return None
    try:
        value = json.loads(content.decode())
    except (ValueError, RecursionError):
        return None
    mended = carried(value)
    return mended if mended != value else None


def _broken(place: str) -> TransferBroken:
    return TransferBroken(
        f"the content ended after {place}", hint="read it again from its beginning"
    )


def _unwrapped(kind: type[Listed], answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object itself: some services put it inside `data` or `job` (observed)."""
    if "id" not in answer:
        inner = next((answer[name] for name in ("data", "job") if name in answer), None)
        answer = inner if isinstance(inner, Mapping) else answer
    own = kind.__name__.lower()
    if answer.get("object") in {"batch", "file", "list", "error"} - {own}:
        raise ValueError(f"the answer is a {answer['object']} object, not a {own}")
    return answer
