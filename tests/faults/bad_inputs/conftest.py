"""The catalogue of bad inputs: what every command that reads one must make of it.

A test that asks for `case` runs once for each. The numbers are those of the project's catalogue.
"""

import json
from dataclasses import dataclass
from typing import Any

import pytest

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hi"}]
BODY = {"model": "gpt-4o-mini", "messages": MESSAGES}
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Case:
    """An input and what is to be said about it."""

    row: int
    name: str
    content: bytes
    errors: tuple[tuple[str, int | None], ...] = ()
    """The code and line of each error, as one batch would have them."""
    says: str = ""
    """A part of what `validate` prints."""
    runs: bool | None = None
    """Whether a job takes it, which may cut it into batches; None when it does if it is valid."""

    @property
    def is_run(self) -> bool:
        return not self.errors if self.runs is None else self.runs

    def __str__(self) -> str:
        return f"row_{self.row:03}_{self.name.replace(' ', '_')}"


def line(custom_id: Any = "request-1", body: Any = BODY, **changes: Any) -> bytes:
    """A line; a keyword replaces a key, or removes it when it is `...`."""
    value = {
        "custom_id": custom_id,
        "method": "POST",
        "url": CHAT,
        "body": body,
        **changes,
    }
    present = {key: each for key, each in value.items() if each is not ...}
    return json.dumps(present, ensure_ascii=False).encode() + b"\n"


def chat(custom_id: str = "request-1", **parameters: Any) -> bytes:
    return line(custom_id, {**BODY, **parameters})


def embedding(custom_id: str, value: Any) -> bytes:
    body = {"model": "text-embedding-3-small", "input": value}
    return line(custom_id, body, url="/v1/embeddings")


def bad(row: int, name: str, content: bytes, says: str, code: str = "invalid_json_line") -> Case:
    """A case whose second line is the bad one."""
    return Case(row, name, line("first") + content + b"\n" + line("last"), ((code, 2),), says)


def no_jsonl(row: int, name: str, content: bytes, says: str) -> Case:
    return Case(row, name, content, (("not_jsonl", None),), says)


TEXT = (line("a") + line("b")).decode()
EMPTY = (("empty_file", None),)

WHOLE_FILES = [
    Case(1, "no bytes", b"", EMPTY, "write at least one request"),
    Case(2, "only newlines", b"\n\n\r\n \n", EMPTY),
    Case(3, "only a byte order mark", BOM, (("invalid_json_line", 1),), "byte order mark"),
    Case(4, "byte order mark", BOM + line(), (("invalid_json_line", 1),), "byte order mark"),
    no_jsonl(5, "UTF-16LE with mark", ("\ufeff" + TEXT).encode("utf-16-le"), "UTF-16"),
    no_jsonl(5, "UTF-16BE", TEXT.encode("utf-16-be"), "UTF-16"),
    bad(6, "Latin-1", line("caf?")[:-1].replace(b"?", b"\xe9"), "byte 19 of the line is 0xE9"),
    bad(7, "overlong UTF-8", b'{"custom_id": "\xc0\xaf"}', "byte 16 of the line is 0xC0"),
    bad(7, "surrogate in UTF-8", b'{"custom_id": "\xed\xa0\x80"}', "is 0xED"),
    bad(7, "five bytes", b'{"custom_id": "\xf8\x88\x80\x80\x80"}', "is 0xF8"),
    bad(8, "NUL inside", line("a\0b")[:-1].replace(b"\\u0000", b"\0"), "control character"),
    no_jsonl(8, "only NUL", bytes(1_000_000), "NUL"),
    Case(9, "CRLF", line("a").replace(b"\n", b"\r\n") + line("b").replace(b"\n", b"\r\n")),
    no_jsonl(10, "CR only", TEXT.replace("\n", "\r").encode(), "carriage return"),
    Case(11, "no final newline", TEXT.encode()[:-1]),
    Case(12, "two final newlines", TEXT.encode() + b"\n", says="ends with a blank line"),
    bad(13, "blank line inside", b"", "blank"),
    bad(13, "white space inside", b" \t\r", "blank"),
    Case(14, "other line separators", line("a\u2028\u2029\u0085b\x0b\x0c")),
    Case(15, "cut in a string", line("a") + line("b")[:30], (("invalid_json_line", 2),), "ended"),
    Case(16, "50,000 lines", b"".join(line(f"{n}") for n in range(50_000))),
    Case(
        16,
        "50,001 lines",
        b"".join(line(f"{n}") for n in range(50_001)),
        (("too_many_tasks", None),),
        "`batchsim run` makes several batches",
        runs=True,
    ),
    no_jsonl(20, "JSON array", b"[" + line().rstrip() + b", {}]\n", "JSON array"),
    no_jsonl(20, "JSON array over lines", b"[\n" + line() + b"]\n", "JSON array"),
    no_jsonl(21, "pretty-printed", json.dumps(json.loads(line()), indent=2).encode(), "several"),
    no_jsonl(22, "CSV", b"custom_id,prompt\na,Hi\n", "table"),
    no_jsonl(22, "Parquet", b"PAR1\x15\x04", "Parquet"),
    no_jsonl(22, "gzip", b"\x1f\x8b\x08\x00rest", "gzip -d"),
    no_jsonl(22, "zip", b"PK\x03\x04rest", "zip"),
    no_jsonl(22, "zstd", b"\x28\xb5\x2f\xfdrest", "zstd -d"),
    Case(28, "the same lines twice", line() * 2, (("duplicate_custom_id", 2),), "line 1 has"),
]

VALID_BUT = (
    '{"custom_id": "a", "method": "POST", "url": "%s", "body": {"model": "o3", "messages": [], %s}}'
)


def with_parameter(text: str) -> bytes:
    return (VALID_BUT % (CHAT, text)).encode()


def deep(levels: int) -> bytes:
    return with_parameter('"x": ' + "[" * levels + "]" * levels)


def missing(row: int, name: str, content: bytes, key: str) -> Case:
    return bad(row, name, content.rstrip(), f"'{key}'", "missing_required_parameter")


URLS = {
    "other endpoint": "/v1/embedding",
    "full URL": "https://evil.example/v1/chat/completions",
    "no scheme": "//evil.example/v1/chat/completions",
    "dots": "/v1/../v1/chat/completions",
    "query": "/v1/chat/completions?q",
    "encoded slash": "/v1/chat%2Fcompletions",
    "slash at the end": "/v1/chat/completions/",
}
NAMES = {
    "path": "../../etc/passwd",
    "device": "con",
    "HTML": "<script>alert(1)</script>",
    "formula": "=cmd|' /C calc'!A0",
    "percent": "%s%n",
    "braces": "{}{0.__class__}",
    "escape": "\x1b[2J\x1b]0;owned\x07",
    "newline": "a\nb\r\nc",
    "bidi": "\u202egpj.exe",
}

LINES = [
    *(bad(29, name, name.encode(), "not an object") for name in ("null", "1", '"x"', "[]")),
    bad(30, "trailing comma", with_parameter('"x": 1,'), "comma after the last item"),
    bad(30, "single quotes", b"{'custom_id': 'a'}", ":2:2: invalid_json_line"),
    bad(30, "comment", b'{"custom_id": "a"} // x', "comment"),
    bad(30, "True", with_parameter('"x": True'), "True is Python"),
    bad(30, "None", with_parameter('"x": None'), "None is Python"),
    bad(30, "trailing garbage", line()[:-1] + b" x", "Unexpected content"),
    *(
        bad(31, name, with_parameter(f'"x": {name}'), says)
        for name, says in {
            "NaN": "NaN",
            "Infinity": "Infinity",
            "-Infinity": "Infinity",
            "1e999": "too large",
        }.items()
    ),
    Case(32, "30 digits", with_parameter('"seed": ' + "7" * 30)),
    bad(32, "5,000 digits", with_parameter('"seed": ' + "7" * 5_000), "too large"),
    Case(33, "depth 128", deep(126)),
    bad(33, "depth 129", deep(127), "more than 128 levels"),
    bad(33, "depth 1,000,000", deep(1_000_000), "more than 128 levels"),
    bad(33, "depth 1,000,000 unended", b"[" * 1_000_000, "more than 128 levels"),
    Case(34, "100,000 keys", chat(metadata={str(n): n for n in range(100_000)})),
    missing(35, "no custom_id", line(...), "custom_id"),
    missing(35, "custom_id null", line(None), "custom_id"),
    missing(35, "custom_id empty", line(""), "custom_id"),
    bad(35, "custom_id number", line(7)[:-1], "expected a string", "invalid_type"),
    bad(35, "custom_id object", line({})[:-1], "expected a string", "invalid_type"),
    Case(
        36,
        "duplicates far apart",
        b"".join(line(f"{n % 40_000}") for n in range(40_001)),
        (("duplicate_custom_id", 40_001),),
        "line 1 has the same one",
    ),
    Case(
        36,
        "duplicates beyond one batch",
        b"".join(line(f"a-much-longer-custom-id-{n % 50_001}") for n in range(50_002)),
        (("duplicate_custom_id", 50_002), ("too_many_tasks", None)),
        "line 1 has the same one",
        runs=False,
    ),
    Case(37, "equal when normalised", line("é") + line("e\u0301"), says="case or accents"),
    Case(37, "equal but for case", line("A") + line("a"), says="case or accents"),
    *(
        Case(38, f"{size:,} characters", line("x" * (size - 1) + "1") + line("x" * size))
        for size in (64, 65, 512, 513, 1_000_000)
    ),
    *(Case(39, name, line(custom_id)) for name, custom_id in NAMES.items()),
    bad(40, "lone surrogate", rb'{"custom_id": "\ud800"}', "surrogate"),
    bad(41, "custom_id twice", b'{"custom_id": "x", ' + line()[1:-1], '"custom_id" is there twice'),
    bad(41, "body twice", line()[:-2] + b', "body": {}}', '"body" is there twice'),
    missing(42, "no method", line(method=...), "method"),
    *(
        bad(42, repr(method), line(method=method)[:-1], '"method": "POST"', "invalid_method")
        for method in ("GET", "post", "POST ", " POST")
    ),
    missing(43, "no url", line(url=...), "url"),
    *(
        bad(43, name, line(url=url)[:-1], "write the endpoint's path exactly", "invalid_url")
        for name, url in URLS.items()
    ),
    Case(
        44,
        "two urls",
        line("a") + embedding("b", "x"),
        (("invalid_url", 2),),
        "`batchsim run` makes several batches",
        runs=True,
    ),
    missing(45, "no body", line(body=...), "body"),
    missing(45, "body null", line(body=None), "body"),
    bad(45, "body a string", line(body="{}")[:-1], "expected an object", "invalid_type"),
    bad(45, "body an array", line(body=[])[:-1], "expected an object", "invalid_type"),
    missing(46, "no model", line(body={"messages": MESSAGES}), "model"),
    bad(46, "model a number", chat(model=7)[:-1], "expected a string", "invalid_type"),
    bad(46, "model unknown", chat(model="hal-9000")[:-1], "--any-model", "model_not_found"),
    Case(
        46,
        "two models",
        chat("a") + chat("b", model="gpt-4o"),
        (("mismatched_model", 2),),
        "line 1 set the model of the batch",
        runs=True,
    ),
    bad(47, "stream", chat(stream=True)[:-1], 'remove "stream"', "streaming_unsupported"),
    Case(48, "n huge", chat(n=1_000_000_000)),
    Case(48, "max_tokens negative", chat(max_tokens=-1)),
    Case(48, "max_tokens a string", chat(max_tokens="many")),
    Case(49, "embeddings of nothing", embedding("a", [])),
    Case(49, "token arrays", embedding("a", [[1, 2], [3]])),
    Case(49, "nested", embedding("a", [[["x"]]])),
    Case(
        49,
        "50,001 embedding inputs",
        embedding("a", ["x"] * 50_000) + embedding("b", "y"),
        (("too_many_inputs", None),),
        "`batchsim run` makes several batches",
        runs=True,
    ),
    Case(
        50,
        "addresses that must not be fetched",
        chat("a", x="file:///etc/passwd") + chat("b", x="http://169.254.169.254/latest"),
    ),
    Case(51, "unknown key", line(priority=1), says='"priority" means nothing'),
    Case(52, "names of Python and JavaScript", chat(__proto__={}, constructor=1, __class__="x")),
    Case(53, "headers in the body", chat(extra_headers={"x": "y"}, Authorization="Bearer x")),
    Case(54, "secret", chat(user="sk-proj-0123456789abcdefghijk"), says="secret key"),
    bad(
        55, "bidi in the model", chat(model="gpt-4\u202eo")[:-1], r"gpt-4\u202eo", "model_not_found"
    ),
    bad(55, "zero width", chat(model="gpt\u200b-4o")[:-1], r"gpt\u200b-4o", "model_not_found"),
]

CASES = [*WHOLE_FILES, *LINES]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", CASES, ids=str)
