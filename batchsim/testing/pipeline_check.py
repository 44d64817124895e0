"""Search for a legal behaviour of the service under which a pipeline goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from batchsim.amounts import counted
from batchsim.clock import SystemClock
from batchsim.errors import MissingExtra, UsageError
from batchsim.testing.example import Example
from batchsim.testing.run_example import (
    KINDS,
    VERBS,
    ExampleResult,
    Pipeline,
    quick_clients,
    run_example,
)

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

SECONDS = 10.0  # seconds that a search takes by default


MOST_EXAMPLES = 1_000_000  # examples that are tried at most when only the seconds are bounded


class PipelineFailed(AssertionError):
    """A pipeline went wrong. The message tells the shortest story that was found.

    `kind` is one of batchsim.testing.run_example.KINDS; `replay` the text that shows it again.
    """

    def __init__(self, message: str, *, kind: str, replay: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.replay = replay


def check_pipeline(
    run: Pipeline,
    *,
    lines: Sequence[Mapping[str, Any]] | None = None,
    seconds: float | None = SECONDS,
    examples: int | None = None,
    seed: int = 0,
    raises: type[BaseException] | tuple[type[BaseException], ...] = (),
    allow: Collection[str] = (),
    replay: str | None = None,
) -> int:
    """Fail when there is a legal behaviour of the service under which `run` goes wrong.

    `run` takes a list of request lines (dicts) and returns a list with an item for each, in their
    order. It makes its own OpenAI client, may sleep (which costs no real time) and may be async. An
    item is the answer's text; or the result line, as a dict or a ResultLine; or, for a line without
    a good answer, None or its result line. It may raise anything while the service has no good
    answer for any line. At any time it may raise the exceptions in `raises`, which say "not
    finished, and nothing is lost".

    It goes wrong when it loses, doubles, misorders or makes up an answer; when it raises and so
    loses answers that are there; when it pays twice, by sending a line again that is running or
    has a good result; when it takes results of 5 MB into memory in one piece; or when it never
    ends. `allow` names kinds of these to ignore (see batchsim.testing.run_example.KINDS).

    - `lines`: lines to use (the first one to all of them) instead of simple questions.
    - `seconds`, `examples`: the most seconds of the search, and the most behaviours to try.
    - `seed`: the start of the search. The same seed tries the same behaviours.
    - `replay`: try this one behaviour, as the message of a failure names it.

    Returns how many behaviours were tried. Raises PipelineFailed, an AssertionError that tells the
    shortest story: what was expected, what came, the timeline of the service, and the line that
    replays it. Needs hypothesis: MissingExtra says how to install it.
    """
    __tracebackhide__ = True
    unknown = sorted(set([allow] if isinstance(allow, str) else allow) - set(KINDS))
    if unknown:
        raise UsageError(f"there is no {unknown[0]!r} to allow", hint=f"choose from {KINDS}")
    said = raises if isinstance(raises, tuple) else (raises,)

    def attempt(example: Example) -> ExampleResult:
        chosen = None if lines is None else lines[: example.lines]
        return run_example(run, example, chosen, raises=said, allow=allow)

    if replay is not None:
        example = Example.from_text(replay)
        with quick_clients():
            result = attempt(example)
        _raise_if_wrong(run, example, result, f"replayed: {replay}")
        return 1
    search = _Search(attempt, seconds, most_lines=None if lines is None else len(lines))
    with quick_clients():
        search.go(seed, examples)
    if search.worst is not None:
        example, result = search.worst
        _raise_if_wrong(
            run, example, result, f"tried {counted(search.tried, 'behaviour')} with seed {seed}"
        )
    return search.tried


class _Wrong(Exception):
    """The example at hand shows a fault."""


class _TimeIsUp(BaseException):
    """Leaves Hypothesis, which lets a BaseException pass."""


class _Search:
    """A search by Hypothesis. It keeps the smallest failing example itself, as time may run out."""

    def __init__(
        self,
        attempt: Callable[[Example], ExampleResult],
        seconds: float | None,
        most_lines: int | None,
    ) -> None:
        self._attempt = attempt
        self._clock = SystemClock()
        self._seconds = seconds
        self._deadline = None if seconds is None else self._clock.now() + seconds
        self._most_lines = most_lines
        self.tried = 0
        self.worst: tuple[Example, ExampleResult] | None = None

    def go(self, seed: int, examples: int | None) -> None:
        """Try FIRST_EXAMPLES, whose stories are short, and then any others."""
        first = self._first(seed)[:examples]
        rest = None if examples is None else examples - len(first)
        try:
            for example in first:
                self._try(example)
            if rest is None or rest > 0:
                self._search(seed, rest)
        except _TimeIsUp:
            return
        except _Wrong:
            self._shorten()

    def _first(self, seed: int) -> list[Example]:
        from batchsim.testing.example import FIRST_EXAMPLES

        lines = FIRST_EXAMPLES[0].lines if self._most_lines is None else self._most_lines
        begin = seed % len(FIRST_EXAMPLES)
        chosen = (*FIRST_EXAMPLES[begin:], *FIRST_EXAMPLES[:begin])
        return [replace(each, lines=min(each.lines, lines)) for each in chosen]

    def _shorten(self) -> None:
        """Leave out lines as long as it goes wrong all the same."""
        while self.worst is not None and (lines := self.worst[0].lines) > 1:
            with suppress(_Wrong, _TimeIsUp):
                self._try(replace(self.worst[0], lines=lines - 1))
            if self.worst[0].lines == lines:
                return

    def _search(self, seed: int, examples: int | None) -> None:
        hypothesis = _hypothesis()
        from hypothesis.errors import HypothesisException

        settings = hypothesis.settings(
            max_examples=examples or MOST_EXAMPLES,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
            suppress_health_check=list(hypothesis.HealthCheck),
            report_multiple_bugs=False,
            print_blob=False,
            derandomize=False,
            verbosity=hypothesis.Verbosity.quiet,
        )
        given = hypothesis.given(self._examples())
        try:
            hypothesis.seed(seed)(settings(given(self._try)))()
        except HypothesisException:
            if self.worst is None:  # else it went wrong once and well another time
                raise

    def _examples(self) -> SearchStrategy[Example]:
        from batchsim.testing.strategies import examples

        return examples(most_lines=self._most_lines)

    def _try(self, example: Example) -> None:
        if self._deadline is not None and self._clock.now() > self._deadline:
            raise _TimeIsUp
        self.tried += 1
        result = self._attempt(example)
        if result.complaint is None:
            return
        if self.worst is None:
            if self._seconds is not None:
                self._deadline = self._clock.now() + self._seconds  # for shrinking
            self.worst = example, result
        elif _size(example) <= _size(self.worst[0]):
            self.worst = example, result
        raise _Wrong


def _size(example: Example) -> tuple[int, int, str]:
    text = str(example)
    return example.lines, len(text), text


def _raise_if_wrong(run: Pipeline, example: Example, result: ExampleResult, how: str) -> None:
    __tracebackhide__ = True
    complaint = result.complaint
    if complaint is None:
        return
    name = getattr(run, "__name__", "run")
    story = [
        f"{name} {VERBS[complaint.kind]}",
        *(f"  {words}" for words in complaint.words),
        "",
        *_behaviour(example),
        result.timeline or "no request was made",
        "",
        f"{how}; again: batchsim.check_pipeline({name}, replay={str(example)!r})",
    ]
    raise PipelineFailed("\n".join(story), kind=complaint.kind, replay=str(example))


def _behaviour(example: Example) -> list[str]:
    from batchsim.backends.fake import SCENARIOS

    told = [f"{counted(example.lines, 'line')}; the results are in {example.order} order"]
    told += [f"{name}: {SCENARIOS[name].description}" for name in example.scenario]
    told += [
        f"line {each.place} is answered with {each.status}"
        + (f", {counted(each.times, 'time')}" if each.times else "")
        for each in example.answers
    ]
    if example.bulky:
        told.append("an answer has 5 MB")
    return told


def _hypothesis() -> Any:
    try:
        import hypothesis
    except ImportError:
        raise MissingExtra(
            "check_pipeline needs hypothesis, which is not installed",
            hint="pip install 'batchsim[testing]'",
        ) from None
    return hypothesis
