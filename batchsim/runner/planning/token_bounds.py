"""The tokens that a shard asks for, and its division when that is too much at once."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from batchsim.domain.limits import Limits
from batchsim.domain.lines import RequestLine, RequestLines
from batchsim.domain.models import alias
from batchsim.jsonl import Line, open_input, read_lines
from batchsim.pricing.most_tokens import most_output_tokens, most_prompt_tokens
from batchsim.pricing.token_estimate import estimate_prompt_tokens
from batchsim.runner.journal.shard_entries import Planned, Weighed, runs
from batchsim.runner.planning.request_lines import request_on
from batchsim.runner.planning.sharding import Builder

_UNSEEN = frozenset({"previous_response_id", "conversation"})
_SEARCHING = ("-search", "deep-research")
"""In the names of models that read pages which the request does not hold."""
_OWN_TOOLS = frozenset({"function", "custom"})
_ATTACHED = re.compile(
    rb'"(?:image_url|video_url|audio_url|file_url|file_id|file_data|input_audio|input_image|'
    rb'input_file|input_video|item_reference)"|"audio"\s*:\s*\{\s*"id"'
)
"""What names a part of the prompt that the line does not hold, or holds in another form."""
_ESCAPED_ASCII = re.compile(rb"\\u00[2-7]")
"""A letter that is written so is still that letter: `"file\\u005fid"`."""


class Bounds(NamedTuple):
    """The most tokens that a line can be billed for; None where nothing bounds them."""

    prompt: int | None
    output: int | None


def bounds(content: bytes, request: RequestLine) -> Bounds:
    is_unseen = _is_unseen(content, request.body)
    prompt = None if is_unseen else most_prompt_tokens(request, len(content))
    return Bounds(prompt, most_output_tokens(request))


def weigh(source: Path, plan: Planned) -> Weighed:
    """Estimate and bound the tokens of a shard. Raises JournalError when the input has changed."""
    tokens = 0
    most = Bounds(0, 0)
    for line, request in _requests(source, plan):
        tokens += estimate_prompt_tokens(request)
        most = Bounds(*map(_sum, most, bounds(line.content, request)))
    return Weighed(
        shard=plan.shard, tokens=tokens, most_prompt=most.prompt, most_output=most.output
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def divide(
    source: Path, plan: Planned, limits: Limits, tokens: int, *, after: int
) -> tuple[Planned, ...]:
    """Return the shard's lines in shards of at most `tokens`, or of one line, after `after`."""
    bounded = replace(limits, enqueued_tokens={alias(plan.model or ""): tokens})
    builder = Builder(bounded, shards=after, round=plan.round)
    for line, request in _requests(source, plan):
        builder.add(RequestLines.of(line, request))
    return builder.shards()


def _requests(source: Path, plan: Planned) -> Iterator[tuple[Line, RequestLine]]:
    with open_input(source) as stream:
        for run in runs(plan.ranges):
            stream.seek(run.begin)
            for line in read_lines(stream):
                if line.number > run.lines:
                    break
                found = Line(run.first + line.number, run.begin + line.offset, line.content)
                yield found, request_on(found, source)


def _is_own(tool: Any) -> bool:
    """True when the user runs the tool; what a service's own tools find is billed as prompt."""
    return isinstance(tool, dict) and str(tool.get("type", "function")) in _OWN_TOOLS


def _is_unseen(content: bytes, body: Mapping[str, Any]) -> bool:
    """True when the prompt has, or may have, parts that are not in the line."""
    prompt, tools = body.get("prompt"), body.get("tools")
    return (
        any(body.get(name) is not None for name in _UNSEEN)
        or not (prompt is None or isinstance(prompt, str | list))
        or body.get("web_search_options") is not None
        or any(name in str(body.get("model")) for name in _SEARCHING)
        or not (tools is None or isinstance(tools, list))
        or any(not _is_own(tool) for tool in tools or ())
        or _names_attachment(content, body)
    )


def _names_attachment(content: bytes, body: Mapping[str, Any]) -> bool:
    if _ESCAPED_ASCII.search(content):
        content = json.dumps(body).encode()
    return _ATTACHED.search(content) is not None
