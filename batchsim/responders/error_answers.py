"""Error answers: an HTTP status and a body with the four keys of the API's error envelope."""

import json
from typing import Any

from batchsim.domain.answers import Answer
from batchsim.domain.validation import batch_errors


def error_answer(
    status_code: int,
    message: str,
    *,
    type: str | None = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
) -> Answer:
    """Make an answer with the API's error envelope. It has no usage."""
    error = {"message": message, "type": type, "param": param, "code": code}
    return Answer(status_code, json.dumps({"error": error}))


LONGEST_REASON = 500  # characters of the message of a user's error that are shown


def server_error() -> Answer:
    """500: the service failed (observed)."""
    message = "An error occurred while processing your request."
    return error_answer(500, message, type="server_error")


def timed_out() -> Answer:
    """504: the model took too long (observed; its tokens are said to be billed)."""
    message = (
        "Timed out generating response. Please try again with a shorter prompt or with "
        "`max_tokens` set to a lower value."
    )
    return error_answer(504, message, type="server_error")


def insufficient_quota() -> Answer:
    """429: the account ran out of money in the middle of a batch (observed)."""
    message = (
        "You exceeded your current quota, please check your plan and billing details. For more "
        "information on this error, read the docs: "
        "https://platform.openai.com/docs/guides/error-codes/api-errors."
    )
    return error_answer(429, message, type="insufficient_quota", code="insufficient_quota")


def unusable_answer(problem: str) -> Answer:
    """500: a user's responder returned something that is no answer (ours, not the API's)."""
    message = f"The responder's answer cannot be used: {problem}"
    return error_answer(500, message, type="server_error", code="unusable_answer")


def failed_responder(error: Exception) -> Answer:
    """500: a user's responder raised an error (ours, not the API's)."""
    text = str(error)[:LONGEST_REASON].encode("utf-8", "replace").decode()
    reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
    message = f"The responder raised {reason}"
    return error_answer(500, message, type="server_error", code="responder_failed")


def context_length_exceeded(
    param: str, context: int, prompt_tokens: int, completion_tokens: int
) -> Answer:
    """Prompt and answer do not fit the model (observed). All sizes are in tokens."""
    message = (
        f"This model's maximum context length is {context} tokens. However, you requested "
        f"{prompt_tokens + completion_tokens} tokens ({prompt_tokens} in the messages, "
        f"{completion_tokens} in the completion). Please reduce the length of the messages or "
        "completion."
    )
    return error_answer(400, message, param=param, code="context_length_exceeded")


def out_of_range(param: str, kind: str, bound: str, limit: float, value: float) -> Answer:
    """A number beyond its `bound` ("minimum" or "maximum"); `kind` is "integer" or "decimal".

    Observed for integers below the minimum; the others by analogy.
    """
    side, sign = ("below", ">=") if bound == "minimum" else ("above", "<=")
    message = (
        f"Invalid '{param}': {kind} {side} {bound} value. "
        f"Expected a value {sign} {limit}, but got {value} instead."
    )
    return error_answer(400, message, param=param, code=f"{kind}_{side}_{bound[:3]}_value")


def invalid_type(param: str, expected: str, value: Any) -> Answer:
    """A parameter of the wrong JSON type (observed)."""
    error = batch_errors.invalid_type(0, param, expected, value)
    return error_answer(400, error.message, param=param, code=error.code)


def invalid_value(param: str, value: str, supported: tuple[str, ...]) -> Answer:
    """A string that is none of the `supported` ones (wording inferred)."""
    quoted = [f"'{each}'" for each in supported]
    listed = f"{', '.join(quoted[:-1])}{',' if len(quoted) > 2 else ''} and {quoted[-1]}"
    message = f"Invalid value: '{value}'. Supported values are: {listed}."
    return error_answer(400, message, param=param, code="invalid_value")


def empty_array(param: str) -> Answer:
    """An array that needs at least one element (wording inferred)."""
    message = (
        f"Invalid '{param}': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead."
    )
    return error_answer(400, message, param=param, code="empty_array")


def missing_parameter(param: str) -> Answer:
    """A parameter inside the body is absent (wording inferred)."""
    message = f"Missing required parameter: '{param}'."
    return error_answer(400, message, param=param, code="missing_required_parameter")


def model_not_given() -> Answer:
    """A single request that names no model (observed)."""
    return error_answer(400, "you must provide a model parameter")


def no_such_model(model: str) -> Answer:
    """404: a single request to a model that does not exist (observed)."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return error_answer(404, message, code="model_not_found")


def streaming_not_simulated() -> Answer:
    """400: a single request that asks for a stream (ours, not the API's)."""
    message = "The simulator answers in one piece: send the request without 'stream'"
    return error_answer(400, message, param="stream", code="unsupported_value")


def null_content(index: int) -> Answer:
    """A message without content whose role needs one (wording inferred)."""
    message = "Invalid value for 'content': expected a string, got null."
    return error_answer(400, message, param=f"messages.[{index}].content")


def answer_too_long(param: str, asked: int, longest: int) -> Answer:
    """A limit above the longest answer of the model, in tokens (wording inferred)."""
    message = (
        f"{param} is too large: {asked}. This model supports at most {longest} completion "
        f"tokens, whereas you provided {asked}."
    )
    return error_answer(400, message, param=param, code="invalid_value")


def unsupported_parameter(param: str, instead: str | None = None) -> Answer:
    """A parameter that the model does not take (wording inferred). `instead` names another."""
    message = f"Unsupported parameter: '{param}' is not supported with this model."
    if instead is not None:
        message += f" Use '{instead}' instead."
    return error_answer(400, message, param=param, code="unsupported_parameter")


def unsupported_value(param: str, value: float) -> Answer:
    """A value other than 1, the only one that the model takes (wording inferred)."""
    message = (
        f"Unsupported value: '{param}' does not support {value} with this model. "
        "Only the default (1) value is supported."
    )
    return error_answer(400, message, param=param, code="unsupported_value")


def json_not_mentioned(param: str, form: str) -> Answer:
    """A JSON object is asked for and no message says so (wording inferred)."""
    message = (
        f"'{param}' must contain the word 'json' in some form, to use '{form}' of type "
        "'json_object'."
    )
    return error_answer(400, message, param=param)


def invalid_input() -> Answer:
    """An embedding input that is empty or of no known form (wording inferred)."""
    message = (
        "'$.input' is invalid. Please check the API reference: "
        "https://platform.openai.com/docs/api-reference."
    )
    return error_answer(400, message)


def embedding_input_too_long(longest: int, tokens: int) -> Answer:
    """An embedding input with more tokens than the model reads (wording inferred)."""
    message = (
        f"This model's maximum context length is {longest} tokens, however you requested {tokens} "
        f"tokens ({tokens} in your prompt; 0 for the completion). Please reduce your prompt; or "
        "completion length."
    )
    return error_answer(400, message)


def dimensions_unsupported() -> Answer:
    """`dimensions` for a model whose vectors have one length (wording inferred)."""
    return error_answer(400, "This model does not support specifying dimensions.")


def too_many_dimensions(asked: int, most: int) -> Answer:
    """More dimensions than the model's vectors have (wording inferred)."""
    message = f"Invalid value for 'dimensions' = {asked}. Must be less than or equal to {most}."
    return error_answer(400, message)
