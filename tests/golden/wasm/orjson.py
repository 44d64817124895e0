"""As much of orjson as the golden run needs, where there is no orjson: it is not built for wasm."""

import json
from json import JSONDecodeError

OPT_APPEND_NEWLINE, OPT_INDENT_2, OPT_NON_STR_KEYS, OPT_SORT_KEYS = 1, 2, 4, 8

__all__ = ["JSONDecodeError", "dumps", "loads"]


def loads(content):
    return json.loads(content if isinstance(content, str) else bytes(content).decode())


def dumps(value, default=None, option=0):
    text = json.dumps(
        value,
        default=default,
        ensure_ascii=False,
        indent=2 if option & OPT_INDENT_2 else None,
        separators=(",", ": " if option & OPT_INDENT_2 else ":"),
        sort_keys=bool(option & OPT_SORT_KEYS),
        allow_nan=False,
    )
    return text.encode() + b"\n" * bool(option & OPT_APPEND_NEWLINE)
