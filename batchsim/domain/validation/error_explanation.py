"""The cause of a bad line or file in plain words: what is wrong, in which column, what to do.

Pure functions over bytes and values. The service answers a bad line with a code and one fixed
sentence. These functions look at that line again, slowly, to say what is wrong and where. They do
not change what is accepted: `input_file` alone decides that.
"""

import json
import re
from typing import NamedTuple

import orjson

from batchsim.domain.batches import BatchError
from batchsim.domain.endpoints import ENDPOINTS
from batchsim.domain.limits import OPENAI
from batchsim.domain.strict_json import is_deeper, repeated_names, type_name
from batchsim.domain.validation.request_lines import KEYS

HEAD = 1 << 16  # bytes of a file's start that `wrong_format` looks at

_ABOUT_ONE_BATCH = frozenset(
    {"too_many_tasks", "too_many_inputs", "file_too_large", "mismatched_model"}
)

_BOM = b"\xef\xbb\xbf"
_ONE_OBJECT = "write one JSON object on each line, with a newline after it"
_BATCHES = "`batchsim run` makes several batches of such an input and puts the results in order"


class Cause(NamedTuple):
    """The reason why something cannot be read. `column`, if known, counts characters from 1."""

    text: str
    hint: str
    column: int | None = None


_SIGNATURES = (
    (b"\xff\xfe\x00\x00", "UTF-32 text", "save it as UTF-8"),
    (b"\x00\x00\xfe\xff", "UTF-32 text", "save it as UTF-8"),
    (b"{\x00\x00\x00", "UTF-32 text", "save it as UTF-8"),
    (b"\x00\x00\x00{", "UTF-32 text", "save it as UTF-8"),
    (b"\xff\xfe", "UTF-16 text", "save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "save it as UTF-8"),
    (b"{\x00", "UTF-16 text", "save it as UTF-8"),
    (b"\x00{", "UTF-16 text", "save it as UTF-8"),
    (b"\x1f\x8b", "compressed with gzip", "unpack it first: gzip -d"),
    (b"PK\x03\x04", "a zip archive or a workbook", "unpack it, or export its rows as JSONL"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it first: zstd -d"),
    (b"BZh", "compressed with bzip2", "unpack it first: bzip2 -d"),
    (b"\xfd7zXZ\x00", "compressed with xz", "unpack it first: xz -d"),
    (b"PAR1", "a Parquet table", "export its rows as JSONL"),
    (b"\x00\x00\x00\x00", "full of NUL bytes", "write it again: its content was lost"),
)

_CSV_HEADER = rb'"?[A-Za-z_][\w .-]*"?(?:[,;\t]"?[\w .-]*"?)+\s*'


def wrong_format(head: bytes) -> Cause | None:
    """Recognise a file that is not JSONL by its first `HEAD` bytes; None if it may be JSONL.

    One such cause stands for the errors that each line of the file would give.
    """
    for signature, name, hint in _SIGNATURES:
        if head.startswith(signature):
            return Cause(f"The file is {name}, not JSONL.", hint)
    start = head.removeprefix(_BOM).lstrip()
    first, newline, rest = start.partition(b"\n")
    if not newline and re.search(rb"\}\s*\r\s*\{", first):
        hint = "end each line with a newline: tr '\\r' '\\n'"
        return Cause("The file is one line: its lines end with a carriage return only.", hint)
    if first.startswith(b"[") and not (newline and rest.strip() and _is_json(first)):
        return Cause("The file is a JSON array, not JSONL.", "convert it: jq -c '.[]'")
    if first.rstrip() == b"{" and not rest.lstrip().startswith(b"{"):
        return Cause("The file is JSON spread over several lines.", "convert it: jq -c .")
    if re.fullmatch(_CSV_HEADER, first):
        return Cause("The file is a table of values, not JSONL.", _ONE_OBJECT)
    return None


def why_unreadable(content: bytes, nesting: int = OPENAI.nesting) -> Cause:
    """Find out why the line `content` is an `invalid_json_line`."""
    if not content.strip():
        return Cause("The line is blank.", "remove blank lines between requests")
    if content.startswith(_BOM):
        return Cause("It starts with a byte order mark.", "save the file as UTF-8 without BOM", 1)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        column = len(content[: error.start].decode()) + 1
        place = f"byte {error.start + 1} of the line is 0x{content[error.start]:02X}"
        return Cause(f"It is not UTF-8: {place}.", "save the file as UTF-8", column)
    if is_deeper(content, nesting):
        return Cause(f"It nests more than {nesting} levels deep.", "make the body flatter")
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return _syntax_fault(text, error)
    if not isinstance(value, dict):
        return Cause(f"It is {type_name(value)}, not an object.", _ONE_OBJECT, 1)
    name = next(name for name in repeated_names(content) if name in KEYS)
    return Cause(f'The key "{name}" is there twice.', "keep one of the two")


_JSON_ONLY = "write the line with a JSON library rather than by hand"
# Patterns are compiled by the first bad line: that takes longer than most imports.
_FAULTS = (
    (r",\s*[}\]]", "There is a comma after the last item", "remove the comma"),
    (r"'", "A string is in single quotes", "use double quotes"),
    (r"-?(?:NaN|Infinity|inf|nan)\b", "{} is not JSON", "write null or a number"),
    (r"(?:True|False|None)\b", "{} is Python, not JSON", "write true, false or null"),
    (r"//|/\*|#", "There is a comment", "remove it: JSON has no comments"),
    (r"[\x00-\x1f]", "There is a control character", "write it escaped, as in \\n or \\t"),
    (r"-?[1-9][\d.]*(?:[eE]\+?\d+)?", "A number is too large", "write it as a string"),
)


_SURROGATES = r"\\\\|\\u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w|(?P<alone>\\u[dD][89a-fA-F]\w\w)"


def _syntax_fault(text: str, error: orjson.JSONDecodeError) -> Cause:
    """Describe the place where the parser stopped, in words that do not depend on its version."""
    unterminated = _unterminated_string(text)
    if unterminated is not None:
        column = unterminated + 1
        return Cause("A string is not ended.", "complete the line; was the file cut?", column)
    if "surrogate" in error.msg:
        alone = (found.start() for found in re.finditer(_SURROGATES, text) if found["alone"])
        return Cause("Half of a surrogate pair stands alone.", _JSON_ONLY, next(alone, 0) + 1)
    position = min(error.pos, len(text))
    if not text[position:].strip() or error.pos >= len(text):
        return Cause("It ends too early.", "complete the line; was the file cut?", len(text) + 1)
    for pattern, reason, hint in _FAULTS:
        found = re.compile(pattern).match(text, position)
        if found:
            return Cause(f"{reason.format(found.group())}.", hint, position + 1)
    reason = error.msg.partition(":")[0]
    return Cause(f"{reason[:1].upper()}{reason[1:]}.", _JSON_ONLY, position + 1)


def _unterminated_string(text: str) -> int | None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos if error.msg.startswith("Unterminated string") else None
    except ValueError:  # an integer of too many digits
        return None
    return None


def hint_for(error: BatchError, *, first_line: int | None = None, url: object = None) -> str:
    if error.code == "missing_required_parameter":
        return _hint_for_missing(error.param or "")
    if error.code == "duplicate_custom_id":
        other = f"line {first_line:,} has the same one; " if first_line else ""
        return f"{other}give every line a custom_id of its own"
    if error.code == "mismatched_model":
        other = f"line {first_line:,} set the model of the batch; " if first_line else ""
        return f"{other}{_BATCHES}"
    if is_about_one_batch(error, url=url):
        return _BATCHES
    return _HINTS.get(error.code, "see the API reference for the Batch API")


def is_about_one_batch(error: BatchError, *, url: object = None) -> bool:
    """True when `error` only says that the input does not fit into one batch.

    Several batches would do then. `url` is what the line says.
    """
    if error.code == "invalid_url":
        return isinstance(url, str) and url in ENDPOINTS
    return error.code in _ABOUT_ONE_BATCH


_HINTS = {
    "invalid_json_line": _ONE_OBJECT,
    "invalid_type": "give the parameter the type that the message asks for",
    "invalid_url": "write the endpoint's path exactly, such as /v1/chat/completions",
    "invalid_method": 'write "method": "POST", in capitals and without spaces',
    "model_not_found": "correct the name; --any-model accepts the models of other services",
    "streaming_unsupported": 'remove "stream" from the body, or set it to false',
    "empty_file": "write at least one request",
}


def _hint_for_missing(param: str) -> str:
    examples = {
        "custom_id": '"custom_id": "request-1", different on every line',
        "method": '"method": "POST"',
        "url": '"url": "/v1/chat/completions", the same on every line',
        "body": '"body": {...}, what the endpoint would get',
    }
    if param in examples:
        return f"add {examples[param]}"
    return f'add "{param.removeprefix("body.")}" to the body'


def file_too_large(size: int, limit: int) -> BatchError:
    """More bytes than an input file may have: the service refuses the upload (limit documented)."""
    message = f"The file has {size:,} bytes. An input file may have at most {limit:,}."
    return BatchError("file_too_large", message)


def shown(text: str, longest: int = 300) -> str:
    """`text` from elsewhere, safe and short enough for a terminal.

    Control, bidirectional and invisible characters are escaped; what is beyond `longest`
    characters is left out.
    """
    if len(text) <= longest and text.isprintable():
        return text
    safe = "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text[:longest]
    )
    return safe if len(text) <= longest else f"{safe}... ({len(text):,} characters)"


def _is_json(content: bytes) -> bool:
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError:
        return False
    return True
