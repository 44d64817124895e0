"""The cost of an input, estimated before anything is sent."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from batchsim.domain.batches import Usage
from batchsim.domain.lines import RequestLine
from batchsim.pricing.most_tokens import most_output_tokens
from batchsim.pricing.prices import cost
from batchsim.pricing.token_counter import Counter, counter_for

_ELSEWHERE = ("previous_response_id", "conversation")


class Cost(NamedTuple):
    """US dollars: for the prompt tokens, and for output at most (None: unbounded)."""

    input: Decimal
    most_output: Decimal | None


@dataclass(slots=True)
class Estimate:
    """The tokens that the lines for one model at one endpoint may take.

    `prompt_tokens` is counted with the model's `vocabulary`, or estimated where that is None.
    `unbounded_lines` set no limit to their output tokens;
    `bounded_tokens` is the sum of the limits of the others. `unseen_lines` name a stored prompt, a
    conversation or an earlier response, whose tokens are paid too but cannot be counted here.
    """

    endpoint: str
    model: str | None
    lines: int = 0
    prompt_tokens: int = 0
    bounded_tokens: int = 0
    unbounded_lines: int = 0
    unseen_lines: int = 0
    _counter: Counter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._counter = counter_for(self.model)

    @property
    def vocabulary(self) -> str | None:
        """The vocabulary that the prompts were counted with; None when they were estimated."""
        return self._counter.vocabulary

    def add(self, request: RequestLine) -> None:
        self.lines += 1
        self.prompt_tokens += self._counter.count(request)
        self.unseen_lines += _names_what_is_unseen(request)
        most = most_output_tokens(request)
        if most is None:
            self.unbounded_lines += 1
        else:
            self.bounded_tokens += most

    @property
    def most_output_tokens(self) -> int | None:
        """The most output tokens of all lines together; None when one of them sets no limit."""
        return None if self.unbounded_lines else self.bounded_tokens

    def cost(self, *, batch: bool) -> Cost | None:
        """The cost in a `batch` or outside; None when the model's price is unknown.

        Cached input, which costs less, is not taken into account.
        """
        model, most = self.model or "", self.most_output_tokens
        read = cost(model, Usage(input_tokens=self.prompt_tokens), batch=batch)
        if read is None:
            return None
        if most is None:
            return Cost(read, None)
        return Cost(read, cost(model, Usage(output_tokens=most), batch=batch))


class Estimates:
    """The Estimate of each endpoint and model of an input, in the order of their first lines."""

    def __init__(self) -> None:
        self._by_group: dict[tuple[str, str | None], Estimate] = {}

    def add(self, request: RequestLine) -> None:
        group = (request.url, request.model)
        demand = self._by_group.get(group)
        if demand is None:
            demand = self._by_group[group] = Estimate(*group)
        demand.add(request)

    def all(self) -> tuple[Estimate, ...]:
        return tuple(self._by_group.values())


def _names_what_is_unseen(request: RequestLine) -> bool:
    if request.url != "/v1/responses":
        return False
    body = request.body
    return isinstance(body.get("prompt"), dict) or any(
        body.get(name) is not None for name in _ELSEWHERE
    )
