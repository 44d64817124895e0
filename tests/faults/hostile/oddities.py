"""The table of oddities: one hook for each thing that a service may do and none should."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from tests.faults.hostile.service import START, Answer, Hook, Request, Service, error, result_of

LONG = "x" * 100_000
SURROGATE = "\ud800"
BIDI = "\u202egnp.exe\u2066"
ANSI = "\x1b[2J\x1b]0;owned\x07"
NUL = "a\x00b"


@dataclass(frozen=True)
class Oddity:
    """What a service does: `hooks` by operation.

    `resends` where sending lines again is right, since the service said that they failed; then as
    many batches may be made. `waits` where the service never ends a batch, so that a runner may ask
    until it is stopped. `adds` are operations that are hooked beside.
    """

    group: str
    name: str
    hooks: dict[str, Hook]
    resends: int = 0
    waits: bool = False

    def __str__(self) -> str:
        return f"{self.group}: {self.name}"


def changing(made: Callable[[Any], Any], nth: Callable[[int], bool] = lambda nth: True) -> Hook:
    """Change the object of an answer whose number is one of `nth`."""

    def hook(_: Service, request: Request, honest: Answer) -> Answer:
        if honest.status != 200 or not nth(request.nth):
            return honest
        return honest.with_value(made(honest.value))

    return hook


def answering(
    made: Callable[[Answer], Answer], nth: Callable[[int], bool] = lambda nth: True
) -> Hook:
    """Put another answer in the place of the honest one."""
    return lambda _, request, honest: made(honest) if nth(request.nth) else honest


def once(nth: int) -> bool:
    return nth == 1


def later(nth: int) -> bool:
    return nth >= 2


def _set(**fields: Any) -> Callable[[Any], Any]:
    return lambda value: {**value, **fields}


def _without(*names: str) -> Callable[[Any], Any]:
    return lambda value: {name: each for name, each in value.items() if name not in names}


def _described(value: Any) -> str:
    text = ascii(value)
    return text if len(text) < 60 else f"{text[:30]}... ({len(text)} characters)"


def statuses() -> Iterator[Oddity]:
    def odd(name: str, hook: Hook, **more: Any) -> Oddity:
        return Oddity("statuses", name, {"retrieve_batch": hook}, **more)

    values = [
        None,
        "",
        " ",
        "COMPLETED ",
        "Complete",
        "done",
        "succeeded",
        "ended",
        "running",
        "queued",
        "paused",
        "archived",
        "deleted",
        "errored",
        0,
        1,
        3.5,
        True,
        [],
        ["completed"],
        {},
        LONG,
        NUL,
        SURROGATE,
        ANSI,
        BIDI,
    ]
    for value in values:
        yield odd(
            f"{_described(value)} at the second poll",
            changing(_set(status=value), lambda n: n == 2),
        )
    for value in ("unheard", "running", None):
        yield odd(f"{_described(value)} for ever", changing(_set(status=value)), waits=True)
    yield odd("no status at the second poll", changing(_without("status"), lambda n: n == 2))
    yield odd(
        "validating for ever", changing(_set(status="validating", output_file_id=None)), waits=True
    )
    yield odd(
        "finalizing for ever", changing(_set(status="finalizing", output_file_id=None)), waits=True
    )
    yield odd(
        "cancelling for ever", changing(_set(status="cancelling", output_file_id=None)), waits=True
    )
    yield odd(
        "from finalizing back to validating",
        changing(
            _set(status="validating", request_counts={"total": 0, "completed": 0, "failed": 0}),
            lambda n: n == 2,
        ),
    )
    yield odd(
        "completed, then in progress again", changing(_set(status="in_progress"), lambda n: n == 4)
    )
    yield odd(
        "failed without errors", changing(_set(status="failed", errors=None, failed_at=START + 2))
    )
    yield odd(
        "failed with an empty list of errors", changing(_set(status="failed", errors={"data": []}))
    )
    yield odd("failed with errors that are text", changing(_set(status="failed", errors="bad")))
    yield odd(
        "failed with an error that is null",
        changing(_set(status="failed", errors={"data": [None]})),
    )
    yield odd("cancelled by nobody", changing(_set(status="cancelled", cancelled_at=START + 2)))
    yield odd("expired in its first minute", changing(_set(status="expired")), resends=9)
    for value in ("completed", "failed", "expired", "cancelled", "in_progress"):
        yield Oddity(
            "statuses",
            f"{value} in the answer of its create",
            {"create_batch": changing(_set(status=value))},
            resends=9 if value == "expired" else 0,
        )


def ids() -> Iterator[Oddity]:
    odd_ids = [
        None,
        "",
        " ",
        7,
        True,
        [],
        {},
        "../files",
        "a/b",
        "a?b",
        "a#b",
        "%2e%2e",
        "..",
        ".",
        NUL,
        SURROGATE,
        LONG,
        "batch\r\nX: y",
        BIDI,
        ANSI,
        "файл",
        "-o",
    ]
    for value in odd_ids:
        yield Oddity(
            "ids",
            f"a batch called {_described(value)}",
            {"create_batch": changing(_set(id=value))},
            waits=True,
        )
    for value in (None, "", "../x", LONG, 5, SURROGATE, NUL):
        yield Oddity(
            "ids",
            f"an upload called {_described(value)}",
            {"upload_file": changing(_set(id=value))},
        )
    for value in ("", "../x", 5, {}, "file-in0", "file-none", SURROGATE, LONG):
        yield Oddity(
            "ids",
            f"an output file called {_described(value)}",
            {"retrieve_batch": changing(lambda batch, v=value: _ended(batch, output_file_id=v))},
        )
    yield Oddity(
        "ids",
        "another batch's id at a poll",
        {"retrieve_batch": changing(_set(id="batch_9"), later)},
    )
    yield Oddity(
        "ids",
        "another batch's input file at a poll",
        {"retrieve_batch": changing(_set(input_file_id="file-x"), later)},
    )
    yield Oddity(
        "ids",
        "another endpoint at a poll",
        {"retrieve_batch": changing(_set(endpoint="/v1/embeddings"), later)},
    )
    yield Oddity(
        "ids",
        "the error file is the output file",
        {
            "retrieve_batch": changing(
                lambda batch: _ended(batch, error_file_id=batch["output_file_id"])
            )
        },
    )
    yield Oddity("ids", "no id at the create", {"create_batch": changing(_without("id"))})


def _ended(batch: Any, **fields: Any) -> Any:
    return {**batch, **fields} if batch["status"] == "completed" else batch


def times() -> Iterator[Oddity]:
    odd = [
        None,
        -1,
        0,
        1.5,
        "2026",
        "",
        [],
        {},
        True,
        10**18,
        -(10**18),
        1_767_225_600_000,
        START + 10**9,
        START - 10**9,
    ]
    for value in odd:
        yield Oddity(
            "times",
            f"created_at {_described(value)}",
            {
                "create_batch": changing(_set(created_at=value)),
                "retrieve_batch": changing(_set(created_at=value)),
            },
        )
    for value in (-1, 0, "soon", 10**18, START - 10**6, 1_767_225_600_000, [], True):
        yield Oddity(
            "times",
            f"expires_at {_described(value)}",
            {
                "create_batch": changing(_set(expires_at=value)),
                "retrieve_batch": changing(_set(expires_at=value)),
            },
        )
    for value in (-1, 0, "soon", 10**18, [], START - 10**9):
        yield Oddity(
            "times",
            f"completed_at {_described(value)}",
            {
                "retrieve_batch": changing(lambda batch, v=value: _ended(batch, completed_at=v)),
            },
        )
    for value in (-1, "soon", 10**18):
        yield Oddity(
            "times",
            f"a file's created_at {_described(value)}",
            {
                "upload_file": changing(_set(created_at=value)),
                "retrieve_file": changing(_set(created_at=value)),
            },
        )
    yield Oddity(
        "times",
        "no times at all",
        {
            "retrieve_batch": changing(
                _without("created_at", "expires_at", "in_progress_at", "completed_at")
            ),
        },
    )


def counts() -> Iterator[Oddity]:
    odd = [
        None,
        [],
        "5",
        5,
        {},
        {"total": 5},
        {"total": -5, "completed": 5, "failed": 0},
        {"total": 5, "completed": -1, "failed": 0},
        {"total": 5, "completed": 9, "failed": 0},
        {"total": 0, "completed": 5, "failed": 5},
        {"total": 10**18, "completed": 10**18, "failed": 0},
        {"total": 5.0, "completed": 5.0, "failed": 0.0},
        {"total": "5", "completed": "5", "failed": "0"},
        {"total": True, "completed": True, "failed": False},
        {"total": None, "completed": None, "failed": None},
        {"total": 5, "completed": 4, "failed": 1},
        {"total": 5, "completed": 0, "failed": 5},
        {"total": 5, "completed": 0, "failed": 0},
        {"total": 4, "completed": 4, "failed": 0},
        {"total": 6, "completed": 6, "failed": 0},
        {"total": 5, "completed": 5, "failed": 0, "late": 3},
        {"completed": 5, "failed": 0},
        {"total": [], "completed": {}, "failed": ""},
        {"total": 5, "completed": 1e308, "failed": 0},
    ]
    for value in odd:
        yield Oddity(
            "counts", _described(value), {"retrieve_batch": changing(_set(request_counts=value))}
        )
    yield Oddity(
        "counts",
        "going down while it runs",
        {
            "retrieve_batch": changing(
                _set(request_counts={"total": 5, "completed": 5, "failed": 0}), lambda n: n == 1
            ),
        },
    )
    usages = [
        None,
        {},
        [],
        "much",
        {"input_tokens": -1, "output_tokens": -1, "total_tokens": -2},
        {"input_tokens": 10**15, "output_tokens": 10**15, "total_tokens": 2 * 10**15},
        {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0},
        {"total_tokens": 5},
        {"input_tokens": "10", "output_tokens": "10", "total_tokens": "20"},
    ]
    for value in usages:
        yield Oddity(
            "counts", f"usage {_described(value)}", {"retrieve_batch": changing(_set(usage=value))}
        )


def endless_lists() -> Iterator[Oddity]:
    """Lists that say for ever that there is more, with something new on every page."""
    numbers = count()

    def foreign(**fields: Any) -> dict[str, Any]:
        return {
            "id": f"batch_other{next(numbers)}",
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "errors": None,
            "input_file_id": "file-other",
            "completion_window": "24h",
            "status": "in_progress",
            "created_at": START,
            "expires_at": START + 86_400,
            "request_counts": {"total": 5, "completed": 0, "failed": 0},
            "metadata": None,
            **fields,
        }

    def file(**fields: Any) -> dict[str, Any]:
        return {
            "id": f"file-other{next(numbers)}",
            "object": "file",
            "bytes": 9,
            "created_at": START,
            "filename": "other.jsonl",
            "purpose": "batch",
            "status": "processed",
            **fields,
        }

    def page(made: Callable[[], list[dict[str, Any]]], **more: Any) -> Hook:
        def hook(_: Service, request: Request, honest: Answer) -> Answer:
            data = made()
            ids = [each.get("id") for each in data]
            told = {
                "object": "list",
                "data": data,
                "first_id": ids[0] if ids else None,
                "last_id": ids[-1] if ids else None,
                "has_more": True,
                **more,
            }
            return honest.with_value(told)

        return hook

    kinds: list[tuple[str, str, Callable[[], list[dict[str, Any]]]]] = [
        ("foreign batches", "list_batches", lambda: [foreign()]),
        ("twenty foreign batches", "list_batches", lambda: [foreign() for _ in range(20)]),
        ("ended foreign batches", "list_batches", lambda: [foreign(status="completed")]),
        ("old foreign batches", "list_batches", lambda: [foreign(created_at=START - 10**7)]),
        ("batches of the future", "list_batches", lambda: [foreign(created_at=START + 10**7)]),
        ("batches without a time", "list_batches", lambda: [foreign(created_at=None)]),
        ("batches without metadata", "list_batches", lambda: [foreign(metadata={})]),
        ("batches with metadata of text", "list_batches", lambda: [foreign(metadata="none")]),
        (
            "batches with our prefix",
            "list_batches",
            lambda: [foreign(metadata={"bs_job": "x", "bs_shard": "1"})],
        ),
        (
            "batches of another endpoint",
            "list_batches",
            lambda: [foreign(endpoint="/v1/embeddings")],
        ),
        ("no batches", "list_batches", list),
        ("foreign files", "list_files", lambda: [file()]),
        ("twenty foreign files", "list_files", lambda: [file() for _ in range(20)]),
        ("old foreign files", "list_files", lambda: [file(created_at=START - 10**7)]),
        ("files of the future", "list_files", lambda: [file(created_at=START + 10**7)]),
        ("files without a time", "list_files", lambda: [file(created_at=None)]),
        ("files of other purposes", "list_files", lambda: [file(purpose="fine-tune")]),
        ("files of our kind of name", "list_files", lambda: [file(filename="input.jsonl")]),
        ("no files", "list_files", list),
    ]
    for name, operation, made in kinds:
        yield Oddity("lists without end", name, {operation: page(made)})
    both = {"list_batches": page(lambda: [foreign()]), "list_files": page(lambda: [file()])}
    yield Oddity("lists without end", "batches and files", both)
    lost = {**both, "create_batch": answering(lambda honest: replace(honest, is_silent=True), once)}
    yield Oddity("lists without end", "and a create without an answer", lost)
    lost = {**both, "upload_file": answering(lambda honest: replace(honest, is_silent=True), once)}
    yield Oddity("lists without end", "and an upload without an answer", lost)


def repeating_pages() -> Iterator[Oddity]:
    """Lists that give the same page whatever is asked for, or cursors that lead nowhere."""

    def again(**more: Any) -> Hook:
        def hook(service: Service, request: Request, honest: Answer) -> Answer:
            table = service.batches if request.operation == "list_batches" else service.files
            data = list(reversed(table.values()))
            first = data[0]["id"] if data else None
            last = data[-1]["id"] if data else None
            value = {
                "object": "list",
                "data": data,
                "first_id": first,
                "last_id": last,
                "has_more": True,
            }
            return honest.with_value({**value, **more})

        return hook

    silent = {"create_batch": answering(lambda honest: replace(honest, is_silent=True), once)}
    for name, more in (
        ("the same page", {}),
        ("a last_id of null", {"last_id": None}),
        ("an empty last_id", {"last_id": ""}),
        ("a last_id that nobody has", {"last_id": "batch_none"}),
        ("a last_id that is a number", {"last_id": 7}),
        ("has_more as text", {"has_more": "true"}),
        ("has_more of 1", {"has_more": 1}),
        ("has_more of null", {"has_more": None}),
        ("first_id as last_id", {"last_id": "batch_0", "first_id": "batch_0"}),
        ("data of null", {"data": None}),
        ("data that is an object", {"data": {}}),
        ("an entry of null", {"data": [None]}),
        ("an entry of text", {"data": ["batch_0"]}),
        ("an entry without an id", {"data": [{"object": "batch"}]}),
    ):
        yield Oddity("pages that repeat", f"batches: {name}", {"list_batches": again(**more)})
        yield Oddity(
            "pages that repeat",
            f"batches, and a lost answer: {name}",
            {"list_batches": again(**more), **silent},
        )
        yield Oddity("pages that repeat", f"files: {name}", {"list_files": again(**more)})
    yield Oddity(
        "pages that repeat",
        "a list that is a list",
        {"list_batches": answering(lambda a: a.with_value([]))},
    )
    yield Oddity(
        "pages that repeat",
        "a list that is text",
        {"list_batches": answering(lambda a: a.with_value("none"))},
    )


def _downloads(made: Callable[[Service, Answer], Answer], nth: Callable[[int], bool]) -> Hook:
    return lambda service, request, honest: made(service, honest) if nth(request.nth) else honest


PAGE = (
    b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>"
    + b"<p>proxy</p>" * 500
    + b"</body></html>"
)


def downloads() -> Iterator[Oddity]:
    """Contents that are not the file's, at the first download and at each."""

    def lines(answer: Answer) -> list[bytes]:
        return answer.body.splitlines(keepends=True)

    def body(change: Callable[[Answer], bytes], **more: Any) -> Callable[[Service, Answer], Answer]:
        return lambda _, honest: replace(honest, body=change(honest), **more)

    bomb = gzip.compress(b"\0" * (70 << 20), 1)
    foreign = b"".join(json.dumps(result_of(f"other-{n}", n)).encode() + b"\n" for n in range(5))
    kinds: list[tuple[str, Callable[[Service, Answer], Answer]]] = [
        ("a page, 200", body(lambda a: PAGE, headers=(("Content-Type", "text/html"),))),
        ("a page as octets", body(lambda a: PAGE)),
        ("empty", body(lambda a: b"")),
        ("204", body(lambda a: b"", status=204)),
        ("206", body(lambda a: a.body[: len(a.body) // 2], status=206)),
        ("half, with its length told", body(lambda a: a.body[: len(a.body) // 2])),
        ("half, with no length told", body(lambda a: a.body[: len(a.body) // 2], length=-1)),
        (
            "half, with the whole length told",
            lambda _, a: replace(a, body=a.body[: len(a.body) // 2], length=len(a.body)),
        ),
        ("the last byte missing", body(lambda a: a.body[:-2])),
        ("the last line missing", body(lambda a: b"".join(lines(a)[:-1]))),
        ("the first line missing", body(lambda a: b"".join(lines(a)[1:]))),
        ("one line only", body(lambda a: lines(a)[0])),
        ("twice", body(lambda a: a.body * 2)),
        ("a page behind it", body(lambda a: a.body + PAGE)),
        ("a page before it", body(lambda a: PAGE + a.body)),
        ("NULs behind it", body(lambda a: a.body + b"\0" * 4096)),
        ("as many NULs", body(lambda a: b"\0" * len(a.body))),
        ("as many spaces", body(lambda a: b" " * len(a.body))),
        ("as many newlines", body(lambda a: b"\n" * len(a.body))),
        ("the results of another batch", body(lambda a: foreign)),
        ("the input", lambda service, a: replace(a, body=service.contents["file-in0"])),
        ("a gzip bomb", body(lambda a: bomb, headers=(("Content-Encoding", "gzip"),))),
        (
            "gzip that is cut",
            body(lambda a: gzip.compress(a.body)[:-9], headers=(("Content-Encoding", "gzip"),)),
        ),
        ("called gzip and plain", body(lambda a: a.body, headers=(("Content-Encoding", "gzip"),))),
        ("an unknown encoding", body(lambda a: a.body, headers=(("Content-Encoding", "rot13"),))),
        ("an error with 200", body(lambda a: b'{"error": {"message": "try later"}}')),
        ("null", body(lambda a: b"null")),
        ("an empty list", body(lambda a: b"[]")),
        (
            "a list of the results",
            body(lambda a: b"[" + b",".join(each.strip() for each in lines(a)) + b"]"),
        ),
        (
            "lines cut in their middle",
            body(lambda a: b"".join(each[: len(each) // 2] + b"\n" for each in lines(a))),
        ),
        ("UTF-16", body(lambda a: a.body.decode().encode("utf-16"))),
        (
            "a chunk that never comes",
            lambda _, a: Answer(
                raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
            ),
        ),
        (
            "chunks with a bad size",
            lambda _, a: Answer(
                raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"
            ),
        ),
        ("closed without a word", lambda _, a: replace(a, is_silent=True)),
    ]
    for name, made in kinds:
        yield Oddity("downloads", f"first: {name}", {"read_file": _downloads(made, once)})
        yield Oddity(
            "downloads", f"always: {name}", {"read_file": _downloads(made, lambda nth: True)}
        )
        yield Oddity(
            "downloads",
            f"no size told, always: {name}",
            {
                "read_file": _downloads(made, lambda nth: True),
                "retrieve_file": changing(_without("bytes")),
            },
        )
        yield Oddity(
            "downloads",
            f"no size and no usage told, first: {name}",
            {
                "read_file": _downloads(made, once),
                "retrieve_file": changing(_without("bytes")),
                "retrieve_batch": changing(_without("usage")),
            },
        )
    for value in (None, -1, 0, 1.5, "99", [], True, 10**15, 7):
        yield Oddity(
            "downloads",
            f"a size of {_described(value)}",
            {"retrieve_file": changing(_set(bytes=value))},
        )


def texts() -> Iterator[Oddity]:
    """Names, ids of lines and messages that no terminal, journal or report may trip over."""
    odd = {
        "a lone surrogate": SURROGATE,
        "NUL": NUL,
        "bidi": BIDI,
        "ANSI": ANSI,
        "100 kB": LONG,
        "newlines": "a\nb\r\nc",
        "markup": "[bold red]x[/]</script><script>",
    }

    def line(**fields: Any) -> Hook:
        def hook(_: Service, request: Request, honest: Answer) -> Answer:
            if honest.status != 200:
                return honest
            extra = json.dumps({**result_of("r-0", 9), **fields}).encode() + b"\n"
            return replace(honest, body=honest.body + extra)

        return hook

    sizeless = {"retrieve_file": changing(_without("bytes"))}
    for name, text in odd.items():
        yield Oddity(
            "texts",
            f"{name} in a foreign custom_id",
            {"read_file": line(custom_id=text), **sizeless},
        )
        yield Oddity(
            "texts",
            f"{name} in a file's name",
            {
                "upload_file": changing(_set(filename=text)),
                "retrieve_file": changing(_set(filename=text)),
            },
        )
        yield Oddity(
            "texts",
            f"{name} in the metadata",
            {"retrieve_batch": changing(_set(metadata={"k": text}))},
        )
        yield Oddity(
            "texts",
            f"{name} in why a batch failed",
            {
                "retrieve_batch": changing(
                    _set(
                        status="failed",
                        errors={
                            "data": [{"code": text, "message": text, "line": 1, "param": text}]
                        },
                    )
                ),
            },
            resends=9,
        )
        yield Oddity(
            "texts",
            f"{name} in why a create was refused",
            {
                "create_batch": lambda service, request, honest, text=text: (
                    service.batches.clear(),
                    error(400, text, text),
                )[1],
            },
        )
        yield Oddity(
            "texts",
            f"{name} in why an upload was refused",
            {
                "upload_file": lambda service, request, honest, text=text: (
                    service.files.clear(),
                    error(400, text, text),
                )[1],
            },
        )
        yield Oddity(
            "texts",
            f"{name} in why a poll was refused",
            {
                "retrieve_batch": answering(
                    lambda honest, text=text: error(400, text, text), lambda n: n == 2
                ),
            },
        )
        yield Oddity(
            "texts",
            f"{name} in the model of a batch",
            {"retrieve_batch": changing(_set(model=text))},
        )


def protocols() -> Iterator[Oddity]:
    """Redirects, charsets, Retry-After and headers."""
    operations = (
        "upload_file",
        "create_batch",
        "retrieve_batch",
        "read_file",
        "retrieve_file",
        "list_batches",
    )

    def told(
        status: int, *headers: tuple[str, str], body: bytes | None = None
    ) -> Callable[[Answer], Answer]:
        def made(honest: Answer) -> Answer:
            content = honest.body if body is None else body
            return Answer(status, content, (("Content-Type", "application/json"), *headers))

        return made

    for status in (301, 302, 303, 307, 308):
        for operation in ("create_batch", "read_file", "retrieve_batch"):
            yield Oddity(
                "protocols",
                f"{status} of {operation}",
                {
                    operation: answering(told(status, ("Location", "http://127.0.0.1:9/")), once),
                },
            )
    for charset in ("rot13", "utf-7", "", "undefined", "idna", "utf-16", "base64", "x" * 999):
        for operation in ("create_batch", "retrieve_batch"):
            kind = (("Content-Type", f"application/json; charset={charset}"),)
            yield Oddity(
                "protocols",
                f"charset {charset[:9]!r} of {operation}",
                {
                    operation: answering(lambda honest, kind=kind: replace(honest, headers=kind)),
                },
            )
            yield Oddity(
                "protocols",
                f"500 with charset {charset[:9]!r} of {operation}",
                {
                    operation: answering(
                        lambda honest, kind=kind: replace(honest, status=500, headers=kind), once
                    ),
                },
            )
    for value in (
        "-5",
        "abc",
        "1e9",
        "99999999999",
        "",
        "nan",
        "inf",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Wed, 01 Jan 2200 00:00:00 GMT",
        "5, 7",
        "\x01",
    ):
        yield Oddity(
            "protocols",
            f"429 with Retry-After {value!r}",
            {
                operation: answering(
                    told(429, ("Retry-After", value), body=b'{"error": {"message": "slow down"}}'),
                    once,
                )
                for operation in operations
                if operation != "upload_file"
            },
        )
    for status in (100, 199, 201, 202, 203, 205, 299, 300, 304, 418, 451, 499, 520, 599):
        yield Oddity(
            "protocols",
            f"{status} of a poll",
            {"retrieve_batch": answering(told(status), lambda n: n == 2)},
        )


def answers() -> Iterator[Oddity]:
    """Answers that are lost, late or doubled, of requests that took effect or did not."""

    def lost(honest: Answer) -> Answer:
        return replace(honest, is_silent=True)

    def failing(status: int) -> Callable[[Answer], Answer]:
        return lambda honest: error(status, "it broke")

    cut = {
        "half a head": lambda honest: Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Le"),
        "half a body": lambda honest: replace(
            honest, body=honest.body[:40], length=len(honest.body)
        ),
        "no JSON": lambda honest: replace(honest, body=b"OK"),
        "an empty body": lambda honest: replace(honest, body=b""),
        "null": lambda honest: replace(honest, body=b"null"),
        "a list": lambda honest: replace(honest, body=b"[]"),
        "a page": lambda honest: Answer(200, PAGE, (("Content-Type", "text/html"),)),
        "not HTTP": lambda honest: Answer(raw=b"SSH-2.0-OpenSSH_9.7\r\n"),
        "two answers at once": lambda honest: Answer(
            raw=2
            * (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(honest.body) + honest.body)
        ),
        "deep JSON": lambda honest: replace(honest, body=b"[" * 100_000),
        "a huge number": lambda honest: replace(honest, body=b'{"id": ' + b"9" * 10_000 + b"}"),
    }
    for operation in ("upload_file", "create_batch", "retrieve_batch", "read_file", "list_batches"):
        yield Oddity(
            "answers", f"the first {operation} is lost", {operation: answering(lost, once)}
        )
        for status in (500, 502, 503, 504, 408, 409):
            yield Oddity(
                "answers",
                f"{status} for the first {operation}, which took effect",
                {operation: answering(failing(status), once)},
            )
        for name, made in cut.items():
            if operation != "read_file":
                yield Oddity(
                    "answers",
                    f"{name} for the first {operation}",
                    {operation: answering(made, once)},
                )

    def never(service: Service, request: Request, honest: Answer) -> Answer:
        service.batches.clear()
        return replace(honest, is_silent=True)

    yield Oddity("answers", "a create that is lost and took no effect", {"create_batch": never})

    def doubled(service: Service, request: Request, honest: Answer) -> Answer:
        other = {**honest.value, "id": "batch_twin"}
        service.batches["batch_twin"] = other
        return honest

    yield Oddity("answers", "a create that makes two batches", {"create_batch": doubled}, resends=1)
    yield Oddity(
        "answers",
        "a create that makes two batches and is lost",
        {"create_batch": lambda *a: replace(doubled(*a), is_silent=True)},
        resends=1,
    )


ODDITIES: tuple[Oddity, ...] = tuple(
    oddity
    for group in (
        statuses,
        ids,
        times,
        counts,
        endless_lists,
        repeating_pages,
        downloads,
        texts,
        protocols,
        answers,
    )
    for oddity in group()
)
