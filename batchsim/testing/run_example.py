"""Run a pipeline against one example, and judge what it returned.

Theory of operation. The pipeline runs inside an interception, on a virtual clock. Every request
takes a little time, and more the longer the pipeline only looks at batches. So a pipeline that
polls without a pause gets on too, and a day of polling is some fifty requests. Three days after its
end, everything that the service ever offered is compared with the items that it returned.
"""

import asyncio
import copy
import inspect
import ssl
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, NamedTuple
from unittest import mock

from batchsim.amounts import counted
from batchsim.backends.fake import FakeBackend
from batchsim.clock import VirtualClock
from batchsim.domain.limits import DAY
from batchsim.domain.lines import ResultLine
from batchsim.testing.example import Example, answer_to
from batchsim.testing.intercept import intercept
from batchsim.testing.virtual_sleep import sleep_virtually
from batchsim.verdict import Analysis, LineOutcome, Verdict, judge
from batchsim.wire import App, Request, Response

Pipeline = Callable[[list[dict[str, Any]]], Any]
"""Takes request lines and returns one item for each, in their order; may be async."""

MOST_REQUESTS = 3_000
"""A pipeline that makes more requests in one example never ends, as far as we can tell."""

LATENCY = 0.05  # seconds that a request takes

FEW_LOOKS, SLOWING, LONGEST_WAIT = 3, 3.0, 14_400.0
"""After FEW_LOOKS in a row each look takes SLOWING times as long as the last, up to four hours."""

AFTERWARDS = 3.0 * DAY

PAID_TWICE = ("creates_twice", "sends_running_lines_again", "sends_good_lines_again")
"""The findings of a verdict that cost money."""

VERBS = {  # the kinds of complaints, and what such a pipeline does
    "raises": "raises, and loses answers that are paid",
    "never_ends": "never ends",
    "loses": "loses an answer",
    "doubles": "returns more answers than there are lines",
    "misorders": "gives a line the answer of another",
    "makes_up": "returns what is no answer of the service",
    "double_pays": "pays twice",
    "loads_all_in_memory": "takes large results into memory in one piece",
}
KINDS = tuple(VERBS)


class Complaint(NamedTuple):
    """A mistake of a pipeline: one of KINDS, and in words what was expected and what came."""

    kind: str
    words: tuple[str, ...]


class ExampleResult(NamedTuple):
    """The outcome of an example; `complaint` is None when the pipeline did well."""

    complaint: Complaint | None
    timeline: str
    verdict: Verdict


_clock: ContextVar[VirtualClock] = ContextVar("batchsim_clock_of_example")


def clock_of_example() -> VirtualClock:
    """The clock of the example that is running, for a pipeline that is given its time.

    Raises LookupError outside of an example.
    """
    return _clock.get()


class _Endless(BaseException):
    """Ends the pipeline, which must not catch it."""


def run_example(
    run: Pipeline,
    example: Example,
    lines: Sequence[Mapping[str, Any]] | None = None,
    *,
    raises: tuple[type[BaseException], ...] = (),
    allow: Collection[str] = (),
) -> ExampleResult:
    """Run a pipeline against an example, with `lines` in the place of the example's own.

    `raises` are exceptions that say "not finished"; `allow` are kinds of complaints to leave out.
    """
    given = [dict(line) for line in (example.request_lines() if lines is None else lines)]
    custom_ids = [line["custom_id"] for line in given]
    backend = example.backend(custom_ids)
    try:
        returned = _ran(run, given, backend)
        timeline = backend.requests.timeline()
        backend.clock.sleep(AFTERWARDS)
        analysis = Analysis(backend.history())
        offers = _offers(analysis)
        complaints = (
            each
            for each in _complaints(returned, custom_ids, offers, analysis, raises)
            if each.kind not in allow
        )
        return ExampleResult(next(complaints, None), timeline, judge(analysis.history))
    finally:
        backend.close()


@contextmanager
def quick_clients() -> Iterator[None]:
    """Read each set of TLS certificates only once: most of the time to make a client goes there."""
    with mock.patch.object(ssl, "create_default_context", cache(ssl.create_default_context)):
        yield


class _Raised(NamedTuple):
    error: BaseException


def _ran(run: Pipeline, given: list[dict[str, Any]], backend: FakeBackend) -> Any:
    assert isinstance(backend.clock, VirtualClock)  # noqa: S101 - as Example makes it
    door = _PassingTime(backend, backend.clock)
    token = _clock.set(backend.clock)
    with intercept(door), sleep_virtually(backend.clock):
        try:
            returned = run(copy.deepcopy(given))
            return asyncio.run(returned) if inspect.iscoroutine(returned) else returned
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it raises is its outcome
            return _Raised(error)
        finally:
            _clock.reset(token)


class _PassingTime(App):
    """The API on a clock that each request moves."""

    def __init__(self, backend: FakeBackend, clock: VirtualClock) -> None:
        super().__init__(backend)
        self._clock = clock
        self._requests = 0
        self._looks = 0

    def handle(self, request: Request) -> Response:
        self._requests += 1
        if self._requests > MOST_REQUESTS:
            raise _Endless
        is_look = request.method == "GET" and request.path.startswith("/v1/batches")
        self._looks = self._looks + 1 if is_look else 0
        wait = LATENCY * SLOWING ** min(60, max(0, self._looks - FEW_LOOKS))
        self._clock.advance(min(LONGEST_WAIT, wait))
        return super().handle(request)


def _offers(analysis: Analysis) -> dict[str, str]:
    """The file that holds the good result of each custom_id."""
    return {
        custom_id: each.batch.output_file_id or ""
        for each in analysis.history.batches
        for custom_id, outcome in (analysis.outcomes(each) or {}).items()
        if outcome is LineOutcome.GOOD
    }


def _complaints(
    returned: Any,
    custom_ids: list[str],
    offers: Mapping[str, str],
    analysis: Analysis,
    raises: tuple[type[BaseException], ...],
) -> Iterator[Complaint]:
    if isinstance(returned, _Raised):
        yield from _about_error(returned.error, offers, raises)
    else:
        yield from _about_items(returned, custom_ids, offers)
    for found in judge(analysis.history).findings:
        if found.code in PAID_TWICE or found.code == "loads_all_in_memory":
            kind = "double_pays" if found.code in PAID_TWICE else found.code
            yield Complaint(kind, (f"{found.what}:", *found.evidence))


def _about_error(
    error: BaseException, offers: Mapping[str, str], raises: tuple[type[BaseException], ...]
) -> Iterator[Complaint]:
    if isinstance(error, _Endless):
        yield Complaint("never_ends", (f"it made {MOST_REQUESTS:,} requests and went on",))
    elif _is_failing_by_pytest(error):
        yield Complaint("never_ends", (str(error),))
    elif not isinstance(error, raises) and offers:
        yield Complaint(
            "raises",
            (
                f"it raised {type(error).__name__}: {error}",
                f"the service has good answers, which are paid, to {_named(offers)}",
            ),
        )


def _is_failing_by_pytest(error: BaseException) -> bool:
    import pytest

    return isinstance(error, pytest.fail.Exception)


def _about_items(
    returned: Any, custom_ids: list[str], offers: Mapping[str, str]
) -> Iterator[Complaint]:
    if not isinstance(returned, Sequence) or isinstance(returned, str | bytes):
        returned = list(returned) if isinstance(returned, Iterator) else returned
    if not isinstance(returned, Sequence) or isinstance(returned, str | bytes):
        words = f"it returned {type(returned).__name__}; a list with an item for each line is asked"
        yield Complaint("loses" if offers else "makes_up", (words,))
        return
    if len(returned) != len(custom_ids):
        kind = "loses" if len(returned) < len(custom_ids) else "doubles"
        words = (
            f"it returned {counted(len(returned), 'item')} for {counted(len(custom_ids), 'line')}"
        )
        yield Complaint(kind, (words, *map(_shown, returned)))
        return
    for index, item in enumerate(returned):
        problem = _about_item(index, item, custom_ids, offers)
        if problem is not None:
            yield problem


def _about_item(
    index: int, item: Any, custom_ids: list[str], offers: Mapping[str, str]
) -> Complaint | None:
    own = custom_ids[index]
    about = f"item {index}, for {own!r}, is {_shown(item)}"
    answered, text = _read(item)
    if answered is not None and answered != own:
        return Complaint("misorders", (about, f"expected: the result of {own!r}"))
    if text is None:
        if own not in offers:
            return None
        offer = f"the service has a good answer, which is paid, in {offers[own]}"
        return Complaint("loses", (about, offer))
    if text in ("", answer_to(own)):
        return None if own in offers else Complaint("makes_up", (about, "nobody answered it"))
    if text in map(answer_to, custom_ids):
        return Complaint("misorders", (about, f"expected: {answer_to(own)!r}"))
    return Complaint("makes_up", (about, f"expected: {answer_to(own)!r}, or None for no answer"))


def _read(item: Any) -> tuple[str | None, str | None]:
    """The custom_id that an item names, if any, and the answer in it: None for none, "" for any."""
    if item is None or item == "":
        return None, None
    if isinstance(item, str):
        return None, item
    item = getattr(item, "line", item)
    if isinstance(item, Mapping):
        try:
            item = ResultLine.from_object(dict(item))
        except ValueError:
            return None, repr(item)
    if not isinstance(item, ResultLine):
        return None, repr(item)
    if not item.is_ok or item.response is None:
        return item.custom_id, None
    return item.custom_id, _text(item.response.body)


def _text(body: Any) -> str:
    try:
        return str(body["choices"][0]["message"]["content"])
    except (KeyError, IndexError, TypeError):
        return ""


def _shown(item: Any) -> str:
    text = repr(item)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _named(custom_ids: Collection[str]) -> str:
    names = [repr(each) for each in custom_ids]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
