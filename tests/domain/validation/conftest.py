"""Lines of input files with everything given, so that what a test sets means something."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from batchsim.domain.batches import BatchError
from batchsim.domain.validation.input_file import InputRules, InvalidLine
from batchsim.jsonl import read_blocks


def _a_line(custom_id: Any = "request-1", **changes: Any) -> bytes:
    """One line; a keyword replaces a key of the line, or removes it when it is `...`."""
    value = {
        "custom_id": custom_id,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]},
        **changes,
    }
    return json.dumps({key: each for key, each in value.items() if each is not ...}).encode()


def _errors(*lines: bytes, rules: InputRules | None = None) -> list[BatchError]:
    """What the rules say about a file of these lines."""
    rules = rules or InputRules(endpoint="/v1/chat/completions")
    stream = io.BytesIO(b"".join(line + b"\n" for line in lines))
    found = [each for each in rules.walk(read_blocks(stream)) if isinstance(each, InvalidLine)]
    return [*(each.error for each in found), *rules.finish()]


@pytest.fixture(scope="session")
def input_line() -> Callable[..., bytes]:
    return _a_line


@pytest.fixture(scope="session")
def errors_in() -> Callable[..., list[BatchError]]:
    return _errors
