"""Hypothesis strategies for the Batch API: lines, files, scenarios, faults, whole services.

    from batchsim import strategies

    @given(strategies.input_files())
    def test_my_splitter(content: bytes): ...

Everything shrinks towards the simplest case.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from batchsim.backends.fake import SCENARIOS, FakeBackend, Faults, RequestFault, Scenario
from batchsim.clock import VirtualClock
from batchsim.errors import MissingExtra
from batchsim.testing.example import IDS, LEGAL, MODEL, STATUSES, Example, Failure

try:
    import hypothesis.strategies as st
except ImportError:
    raise MissingExtra(
        "the strategies need hypothesis, which is not installed",
        hint="pip install 'batchsim[testing]'",
    ) from None

MOST_LINES = 4

CHAT = "/v1/chat/completions"

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


def custom_ids() -> st.SearchStrategy[str]:
    """A custom_id: any text that is not empty."""
    return st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


def _chat_bodies(model: str) -> st.SearchStrategy[dict[str, Any]]:
    message = st.fixed_dictionaries({"role": st.sampled_from(("user", "system")), "content": TEXTS})
    return st.fixed_dictionaries(
        {"model": st.just(model), "messages": st.lists(message, min_size=1, max_size=3)},
        optional={"temperature": st.sampled_from((0, 0.5, 1)), "max_tokens": st.integers(1, 100)},
    )


def _embedding_bodies(model: str) -> st.SearchStrategy[dict[str, Any]]:
    texts = TEXTS.filter(bool)
    return st.fixed_dictionaries(
        {"model": st.just(model), "input": texts | st.lists(texts, min_size=1, max_size=3)},
        optional={"dimensions": st.integers(1, 8)},
    )


BODIES: dict[str, tuple[str, Callable[[str], st.SearchStrategy[dict[str, Any]]]]] = {
    CHAT: (MODEL, _chat_bodies),
    "/v1/embeddings": ("text-embedding-3-small", _embedding_bodies),
}
"""The endpoints for which lines are drawn, each with its usual model and its bodies."""


@st.composite
def request_lines(
    draw: st.DrawFn, *, url: str = CHAT, model: str | None = None, custom_id: str | None = None
) -> dict[str, Any]:
    """One valid request line for an endpoint of BODIES, as a dict."""
    usual, bodies = BODIES[url]
    return {
        "custom_id": draw(custom_ids()) if custom_id is None else custom_id,
        "method": "POST",
        "url": url,
        "body": draw(bodies(model or usual)),
    }


@st.composite
def inputs(
    draw: st.DrawFn,
    *,
    url: str = CHAT,
    model: str | None = None,
    min_lines: int = 1,
    max_lines: int = MOST_LINES,
) -> list[dict[str, Any]]:
    """The lines of a valid input: one endpoint, one model, no custom_id twice."""
    ids = draw(st.lists(custom_ids(), min_size=min_lines, max_size=max_lines, unique=True))
    return [draw(request_lines(url=url, model=model, custom_id=each)) for each in ids]


@st.composite
def input_files(draw: st.DrawFn, *, url: str = CHAT, max_lines: int = MOST_LINES) -> bytes:
    """A valid input file, in any of the ways in which programs write JSON."""
    lines = draw(inputs(url=url, max_lines=max_lines))
    compact, escaped = draw(st.booleans()), draw(st.booleans())
    separators = (",", ":") if compact else (", ", ": ")
    texts = [json.dumps(line, ensure_ascii=escaped, separators=separators) for line in lines]
    end = draw(st.sampled_from(("\n", "", "\r\n")))
    return (end or "\n").join(texts).encode() + end.encode()


class InvalidInput(NamedTuple):
    """An input file whose batch fails with `code`, in `line` (None: no line)."""

    content: bytes
    code: str
    line: int | None


def _without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda line: {key: value for key, value in line.items() if key != name}


def _with(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda line: {**line, **changes}


def _in_body(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda line: {**line, "body": {**line["body"], **changes}}


INVALID: dict[str, tuple[Callable[[dict[str, Any]], Any], ...]] = {
    "invalid_json_line": (
        lambda line: json.dumps(line)[:-1],
        lambda _: "[]",
        lambda _: "NaN",
        lambda line: json.dumps(line).replace("{", "{'a': 1, ", 1),
    ),
    "missing_required_parameter": (
        *(map(_without, ("custom_id", "method", "url", "body"))),
        _in_body(messages=None),
        _in_body(model=None),
    ),
    "invalid_type": (_with(custom_id=1), _with(body=[]), _in_body(model=1)),
    "invalid_method": (_with(method="GET"), _with(method="post")),
    "invalid_url": (_with(url="/v1/embeddings"), _with(url=1)),
    "model_not_found": (_in_body(model="nobody-1"),),
    "streaming_unsupported": (_in_body(stream=True),),
}
"""Changes that make a line invalid, by the code that it must get."""


@st.composite
def invalid_input_files(draw: st.DrawFn, code: str | None = None) -> InvalidInput:
    """An input file for chat completions that is invalid, with the code that its batch must get.

    `code` chooses one: those of INVALID, `duplicate_custom_id`, `mismatched_model`, `empty_file`.
    """
    code = code or draw(
        st.sampled_from((*INVALID, "duplicate_custom_id", "mismatched_model", "empty_file"))
    )
    if code == "empty_file":
        return InvalidInput(b"", code, None)
    lines: list[Any] = draw(inputs(min_lines=2))
    if code in INVALID:
        place = draw(st.integers(0, len(lines) - 1))
        lines[place] = draw(st.sampled_from(INVALID[code]))(lines[place])
    else:
        place = len(lines) - 1
        change = (
            _with(custom_id=lines[0]["custom_id"])
            if code == "duplicate_custom_id"
            else _in_body(model="gpt-4o")
        )
        lines[place] = change(lines[place])
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    return InvalidInput("".join(text + "\n" for text in texts).encode(), code, place + 1)


def scenarios(*, most: int = 2) -> st.SearchStrategy[Scenario]:
    """A named scenario, or up to `most` at once; nothing unusual first."""
    names = st.lists(st.sampled_from(tuple(SCENARIOS)), max_size=most, unique=True)
    return names.map(lambda chosen: _joined(chosen or ["completed"]))


def _joined(names: list[str]) -> Scenario:
    joined = SCENARIOS[names[0]]
    for name in names[1:]:
        joined = joined + SCENARIOS[name]
    return joined


def request_faults() -> st.SearchStrategy[RequestFault]:
    """Something that goes wrong with one of the first requests of a kind."""
    nth = st.integers(1, 3)
    calls = ("create_batch", "upload_file", "retrieve_batch", "read_file", "list_batches")
    call = st.sampled_from((*calls, "any", "read", "write"))
    plain = st.builds(
        RequestFault, st.sampled_from(("reply_lost", "reset", "unreachable")), call=call, nth=nth
    )
    refused = st.builds(
        RequestFault,
        st.just("error"),
        call=call,
        nth=nth,
        status=st.sampled_from((429, 500, 502, 503)),
        html=st.booleans(),
        retry_after=st.sampled_from((None, 1, 30)),
    )
    return plain | refused


def fault_plans() -> st.SearchStrategy[Faults]:
    """Faults of every boundary, few at a time."""
    share = st.sampled_from((0.0, 0.2, 1.0))
    return st.builds(
        Faults,
        requests=st.lists(request_faults(), max_size=2).map(tuple),
        file_unknown_for=st.sampled_from((0.0, 1.0)),
        stale_list_for=st.sampled_from((0.0, 60.0)),
        unsorted_list=st.booleans(),
        incident=st.sampled_from((0.0, 0.5)),
        quota_after=st.sampled_from((None, 0, 2)),
        result_ids_late_by=st.sampled_from((0.0, 30.0)),
        lost_lines=share,
        doubled_lines=share,
        blank_lines=share,
    )


def services() -> st.SearchStrategy[FakeBackend]:
    """A whole service: a fresh FakeBackend on a VirtualClock, with everything drawn. Close it."""
    return st.builds(
        FakeBackend,
        seed=st.integers(0, 9),
        clock=st.builds(VirtualClock),
        pacing=st.sampled_from(("today", "2024", "2025", "quick", "instant")),
        order=st.sampled_from(("input", "shuffled")),
        scenario=scenarios(),
        faults=fault_plans(),
    )


def examples(*, most_lines: int | None = None) -> st.SearchStrategy[Example]:
    """Lines and a legal behaviour of the service, as `check_pipeline` tries them."""
    numbers = st.integers(0, MOST_LINES if most_lines is None else most_lines)
    chosen = st.lists(st.sampled_from(LEGAL), max_size=2, unique=True)
    failures = st.builds(
        Failure,
        place=st.integers(0, MOST_LINES - 1),
        status=st.sampled_from(STATUSES),
        times=st.sampled_from((0, 1)),
    )
    return st.builds(
        Example,
        lines=numbers,
        order=st.sampled_from(("input", "shuffled")),
        scenario=chosen.map(tuple),
        answers=st.lists(failures, max_size=2, unique_by=lambda each: each.place).map(tuple),
        bulky=st.integers(0, 7).map(lambda number: number == 7),
        ids=st.sampled_from(tuple(IDS)),
        seed=st.integers(0, 9),
    )
