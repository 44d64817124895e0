"""Request: a line of an input, as a value that is built, compared and written.

    Request.chat("What is a batch?", model="gpt-5-nano")
    Request.embedding(["a", "b"], model="text-embedding-3-small", custom_id="row-7")

Parameters go to the body under the API's own names. Without a custom_id a request gets one that
is derived from its url and body: the same request always has the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import orjson

from batchsim.errors import UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel

    Parsed_co = TypeVar("Parsed_co", bound=BaseModel | None, covariant=True)
    Model = TypeVar("Model", bound=BaseModel)
else:  # pydantic is imported only where it is used
    Parsed_co = TypeVar("Parsed_co", covariant=True)
    Model = TypeVar("Model")

Object = Mapping[str, Any]
Content = str | Sequence[Any]
Id = str | None

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"


@dataclass(frozen=True, slots=True)
class Request(Generic[Parsed_co]):
    """One line of an input (API reference, "The request input object").

    `response_format` is the pydantic model for the answer, if any; comparisons ignore it.
    `is_derived` is True when the custom_id was derived from the content.
    """

    custom_id: str
    url: str
    body: Object = field(hash=False)
    response_format: type[Parsed_co] | None = field(default=None, compare=False, repr=False)
    is_derived: bool = field(default=False, compare=False, repr=False)

    def to_object(self) -> dict[str, Any]:
        """The line as the API's object."""
        return {
            "custom_id": self.custom_id,
            "method": "POST",
            "url": self.url,
            "body": dict(self.body),
        }

    def to_line(self) -> bytes:
        """The line as it stands in a file, its newline included."""
        try:
            return orjson.dumps(self.to_object(), default=_plain) + b"\n"
        except TypeError as error:
            raise _not_json(error) from None

    @overload
    @classmethod
    def chat(
        cls,
        messages: Content,
        *,
        model: str,
        response_format: type[Model],
        custom_id: Id = None,
        **parameters: Any,
    ) -> Request[Model]: ...

    @overload
    @classmethod
    def chat(
        cls,
        messages: Content,
        *,
        model: str,
        response_format: Object | None = None,
        custom_id: Id = None,
        **parameters: Any,
    ) -> Request[None]: ...

    @classmethod
    def chat(
        cls,
        messages: Content,
        *,
        model: str,
        response_format: Any = None,
        custom_id: Id = None,
        **parameters: Any,
    ) -> Request[Any]:
        """A chat completion. A text stands for one message of the user.

        `response_format` is what the API takes, or a pydantic model: then its strict JSON schema
        is asked for and the result is parsed. Raises UsageError for what JSON cannot carry.
        """
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        parsed, schema = _schema(response_format)
        form = {"type": "json_schema", "json_schema": schema} if schema else response_format
        if form is not None:
            parameters["response_format"] = form
        body = {"model": model, "messages": messages, **parameters}
        return _request(CHAT, body, custom_id, parsed)

    @overload
    @classmethod
    def response(
        cls,
        input: Content | None = None,
        *,
        model: str,
        response_format: type[Model],
        custom_id: Id = None,
        **parameters: Any,
    ) -> Request[Model]: ...

    @overload
    @classmethod
    def response(
        cls,
        input: Content | None = None,
        *,
        model: str,
        response_format: Object | None = None,
        custom_id: Id = None,
        **parameters: Any,
    ) -> Request[None]: ...

    @classmethod
    def response(
        cls,
        input: Content | None = None,
        *,
        model: str,
        response_format: Any = None,
        custom_id: Id = None,
        **parameters: Any,
    ) -> Request[Any]:
        """A response. `input` may be left out where a stored prompt or a conversation is named.

        `response_format` becomes `text.format`; otherwise as in `chat`.
        """
        parsed, schema = _schema(response_format)
        form = {"type": "json_schema", **schema} if schema else response_format
        if form is not None:
            parameters["text"] = {**(parameters.get("text") or {}), "format": form}
        given = {} if input is None else {"input": input}
        return _request(RESPONSES, {"model": model, **given, **parameters}, custom_id, parsed)

    @classmethod
    def completion(
        cls, prompt: Content, *, model: str, custom_id: Id = None, **parameters: Any
    ) -> Request[None]:
        """A completion of the older kind."""
        body = {"model": model, "prompt": prompt, **parameters}
        return _request("/v1/completions", body, custom_id)

    @classmethod
    def embedding(
        cls, input: Content, *, model: str, custom_id: Id = None, **parameters: Any
    ) -> Request[None]:
        """The embedding of a text, or one of each."""
        return _request("/v1/embeddings", {"model": model, "input": input, **parameters}, custom_id)

    @classmethod
    def moderation(
        cls, input: Content, *, model: str | None = None, custom_id: Id = None, **parameters: Any
    ) -> Request[None]:
        """A moderation; without a model the service chooses its own."""
        given = {} if model is None else {"model": model}
        return _request("/v1/moderations", {**given, "input": input, **parameters}, custom_id)

    @classmethod
    def image(
        cls, prompt: str, *, model: str, custom_id: Id = None, **parameters: Any
    ) -> Request[None]:
        """An image made from a text."""
        body = {"model": model, "prompt": prompt, **parameters}
        return _request("/v1/images/generations", body, custom_id)

    @classmethod
    def image_edit(
        cls,
        prompt: str,
        *,
        images: Sequence[Any],
        model: str,
        custom_id: Id = None,
        **parameters: Any,
    ) -> Request[None]:
        """An image made from `images`, objects with a `file_id` or an `image_url` each."""
        body = {"model": model, "prompt": prompt, "images": images, **parameters}
        return _request("/v1/images/edits", body, custom_id)

    @classmethod
    def video(
        cls, prompt: str, *, model: str, custom_id: Id = None, **parameters: Any
    ) -> Request[None]:
        """A video made from a text."""
        return _request("/v1/videos", {"model": model, "prompt": prompt, **parameters}, custom_id)

    @classmethod
    def from_line(cls, content: bytes | str) -> Request[None]:
        """Read one line of an input. Raises UsageError for anything else."""
        try:
            value = orjson.loads(content)
            return Request(value["custom_id"], value["url"], value["body"])
        except (ValueError, KeyError, TypeError):
            raise UsageError("the text is not a line of an input") from None


def _request(
    url: str, body: Object, custom_id: str | None, response_format: Any = None
) -> Request[Any]:
    try:
        content = orjson.dumps(
            {"url": url, "body": body}, default=_plain, option=orjson.OPT_SORT_KEYS
        )
        if b"null" in content:  # so it writes a NaN, which would be another request
            json.dumps(body, allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise _not_json(error) from None
    is_derived = custom_id is None
    if custom_id is None:
        custom_id = blake2b(content, digest_size=12).hexdigest()
    elif type(custom_id) is not str or not custom_id:
        raise UsageError(
            f"a custom_id must be text, not {custom_id!r}", hint="leave it out to have it derived"
        )
    own = orjson.loads(orjson.dumps(body, default=_plain))  # later changes of it stay outside
    return Request(custom_id, url, own, response_format, is_derived)


def _not_json(error: Exception) -> UsageError:
    return UsageError(
        f"the request is not JSON: {error}",
        hint="a body holds dicts, lists, texts, finite numbers, True, False and None",
    )


def _plain(value: Any) -> Any:
    """Turn a pydantic object into JSON, such as a message of an earlier answer of the SDK."""
    dump = getattr(value, "model_dump", None)
    if dump is None or isinstance(value, type):
        raise TypeError(f"{type(value).__name__} is not serialisable")
    return dump(mode="json", exclude_unset=True)


def _schema(response_format: Any) -> tuple[Any, dict[str, Any]]:
    """The pydantic model and its strict format; None for a format that goes to the API as it is."""
    if response_format is None or isinstance(response_format, Mapping):
        return None, {}
    from batchsim.backends.openai.strict_schema import strict_format

    return response_format, strict_format(response_format)
