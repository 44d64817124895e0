"""Answers of /v1/completions, the legacy endpoint (API reference, "Completions")."""

from json.encoder import encode_basestring_ascii as quote
from typing import Any

from batchsim.domain import models
from batchsim.domain.answers import Answer
from batchsim.domain.batches import Usage
from batchsim.domain.lines import RequestLine
from batchsim.pricing.token_estimate import estimate_prompt_tokens
from batchsim.responders import Occasion, error_answers
from batchsim.responders import parameter_ranges as ranges
from batchsim.responders.content import Reply, base62, echo, reply


def prompt_type(name: str, value: Any) -> Answer | None:
    """A text, several, or their tokens (API reference)."""
    if type(value) is str or type(value) is list:
        return None
    return error_answers.invalid_type(name, "one of a string or array", value)


CHECKS = {  # the ranges of the parameters (API reference)
    "prompt": prompt_type,
    "temperature": ranges.decimal(0, 2),
    "top_p": ranges.decimal(0, 1),
    "presence_penalty": ranges.decimal(-2, 2),
    "frequency_penalty": ranges.decimal(-2, 2),
    "n": ranges.integer(1, 128),
    "best_of": ranges.integer(1, 20),
    "max_tokens": ranges.integer(0),
    "logprobs": ranges.integer(0, 5),
    "echo": ranges.boolean,
    "suffix": ranges.string,
    "user": ranges.string,
}

DEFAULT_LIMIT = 16  # the most tokens of an answer when the request sets no limit (API reference)


def respond(request: RequestLine, occasion: Occasion) -> Answer:
    """Answer each prompt with one choice, or `n`, that echo it."""
    body = request.body
    refused = ranges.refusal(body, CHECKS)
    if refused is not None:
        return refused
    limit = body.get("max_tokens")
    sizes = models.sizes(request.model or "")
    prompt_tokens = estimate_prompt_tokens(request)
    refused = ranges.size_refusal("prompt", sizes, prompt_tokens, limit, "max_tokens")
    if refused is not None:
        return refused
    prompts = _prompts(body.get("prompt"))
    if not prompts:
        return error_answers.empty_array("prompt")
    limit = DEFAULT_LIMIT if limit is None else limit
    said = [reply(echo(prompt), limit=limit) for prompt in prompts]
    if body.get("echo") is True:
        said = [
            each._replace(text=prompt + each.text)
            for prompt, each in zip(prompts, said, strict=True)
        ]
    return _completion(request, occasion, said)


def with_text(request: RequestLine, occasion: Occasion, text: str) -> Answer:
    """Make a well-formed answer that says `text` to every prompt."""
    return _completion(
        request, occasion, [reply(text) for _ in _prompts(request.body.get("prompt"))]
    )


def _prompts(prompt: Any) -> list[str]:
    if type(prompt) is str:
        return [prompt]
    if type(prompt) is not list:
        return [""]
    if prompt and type(prompt[0]) is int:
        return [_token_text(prompt)]
    return [each if type(each) is str else _token_text(each) for each in prompt]


def _token_text(tokens: Any) -> str:
    return f"{len(tokens) if type(tokens) is list else 0} tokens"


def _completion(request: RequestLine, occasion: Occasion, said: list[Reply]) -> Answer:
    prompt_tokens = estimate_prompt_tokens(request)
    copies = request.body.get("n")
    if type(copies) is not int or not 1 <= copies <= 128:
        copies = 1
    choices = ", ".join(
        f'{{"text": {quote(each.text)}, "index": {index}, "logprobs": null, '
        f'"finish_reason": "{"length" if each.is_cut else "stop"}"}}'
        for index, each in enumerate(each for each in said for _ in range(copies))
    )
    tokens = copies * sum(each.tokens for each in said)
    body = (
        f'{{"id": "cmpl-{base62(occasion.entropy[:29])}", "object": "text_completion", '
        f'"created": {occasion.at}, "model": {quote(models.snapshot(request.model or ""))}, '
        f'"choices": [{choices}], "usage": {{"prompt_tokens": {prompt_tokens}, '
        f'"completion_tokens": {tokens}, "total_tokens": {prompt_tokens + tokens}}}}}'
    )
    return Answer(200, body, Usage(prompt_tokens, tokens))
