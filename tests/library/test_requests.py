import json
import pickle
from collections.abc import Mapping

import pytest
from pydantic import BaseModel, ConfigDict, Field

from batchsim import FakeBackend, Request, run
from batchsim.domain.endpoints import ENDPOINTS
from batchsim.errors import UsageError

ONE_OF_EACH = [
    Request.chat("a", model="gpt-5-nano"),
    Request.completion("a", model="davinci-002"),
    Request.embedding(["a", "b"], model="text-embedding-3-small"),
    Request.response("a", model="gpt-5-nano"),
    Request.moderation("a"),
    Request.image("a", model="gpt-image-1"),
    Request.image_edit("a", images=[{"file_id": "file-a"}], model="gpt-image-1"),
    Request.video("a", model="sora-2"),
]


def test_there_is_a_builder_for_every_endpoint():
    assert {each.url for each in ONE_OF_EACH} == set(ENDPOINTS)


@pytest.mark.parametrize("request_", ONE_OF_EACH, ids=lambda each: each.url)
def test_what_a_builder_makes_is_a_valid_line(request_):
    assert run([request_], FakeBackend()).all_ok


def test_a_line_is_the_apis_own():
    request = Request.chat("2 + 2?", model="gpt-5-nano", custom_id="a", temperature=0.5)
    assert json.loads(request.to_line()) == {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": "gpt-5-nano",
            "messages": [{"role": "user", "content": "2 + 2?"}],
            "temperature": 0.5,
        },
    }
    assert request.to_line().endswith(b"\n")
    assert request.to_object() == json.loads(request.to_line())
    assert Request.from_line(request.to_line()) == request


def test_a_derived_custom_id_depends_on_the_content_alone():
    first = Request.chat("a", model="m", temperature=1, seed=2)
    assert first.custom_id == Request.chat("a", seed=2, temperature=1, model="m").custom_id
    others = [
        Request.chat("b", model="m", temperature=1, seed=2),
        Request.chat("a", model="n", temperature=1, seed=2),
        Request.completion("a", model="m", temperature=1, seed=2),
    ]
    assert len({first.custom_id, *(each.custom_id for each in others)}) == 4
    assert first.custom_id == "f2f3a30940e353f42b41b5af"  # the same on every machine and day
    assert len(first.custom_id) <= 64


def test_the_same_request_twice_gets_two_ids_in_a_run():
    same = [Request.chat("a", model="gpt-5-nano") for _ in range(3)]
    own = same[0].custom_id
    assert [each.custom_id for each in run(same, FakeBackend())] == [own, f"{own}-2", f"{own}-3"]


def test_requests_can_be_kept_in_sets_and_sent_through_pickle():
    request = Request.chat("a", model="m")
    assert {request, Request.chat("a", model="m")} == {request}
    assert pickle.loads(pickle.dumps(request)) == request


def test_what_the_caller_changes_later_is_not_in_the_request():
    messages = [{"role": "user", "content": "a"}]
    request = Request.chat(messages, model="m")
    messages.append({"role": "user", "content": "b"})
    assert request == Request.chat("a", model="m")


def test_a_message_of_an_earlier_answer_can_be_given_back():
    class Message(BaseModel):
        role: str
        content: str
        refusal: str | None = None

    request = Request.chat([Message(role="assistant", content="4")], model="m")
    assert request.body["messages"] == [{"role": "assistant", "content": "4"}]


@pytest.mark.parametrize(
    "build",
    [
        lambda: Request.chat("a", model="m", when=object()),
        lambda: Request.chat([{"role": "user", "content": {1, 2}}], model="m"),
        lambda: Request.embedding("\ud800", model="m"),
        lambda: Request.chat("a", model="m", temperature=float("nan")),
        lambda: Request.chat("a", model="m", custom_id=7),
        lambda: Request.chat("a", model="m", custom_id=""),
        lambda: Request.chat("a", model="m", response_format=dict),
        lambda: Request.chat("a", model="m", response_format="json"),
        lambda: Request("a", "/v1/embeddings", {"input": {1}}).to_line(),
        lambda: Request.from_line(b"[]"),
        lambda: Request.from_line(b"{"),
    ],
)
def test_what_cannot_be_a_line_is_refused_at_once(build):
    with pytest.raises(UsageError) as caught:
        build()
    assert caught.value.hint or "line of an input" in str(caught.value)


class Part(BaseModel):
    name: str = Field(description="what it is called")
    sizes: list[int]


class Answer(BaseModel):
    """An answer with parts."""

    model_config = ConfigDict(title="A title")
    value: int | None
    parts: list[Part]


def plain(value):
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


@pytest.mark.sdk
def test_a_chat_asks_for_the_form_that_the_sdk_would_ask_for():
    from openai.lib._parsing._completions import type_to_response_format_param

    request = Request.chat("a", model="m", response_format=Answer)
    assert request.body["response_format"] == plain(type_to_response_format_param(Answer))
    assert request.response_format is Answer


@pytest.mark.sdk
def test_a_response_asks_for_the_form_that_the_sdk_would_ask_for():
    from openai.lib._parsing import _completions

    form = dict(_completions.type_to_response_format_param(Answer))["json_schema"]
    request = Request.response("a", model="m", response_format=Answer, text={"verbosity": "low"})
    assert request.body["text"] == {
        "verbosity": "low",
        "format": {"type": "json_schema", **plain(form)},
    }


@pytest.mark.sdk
def test_every_object_of_a_form_is_closed_and_complete():
    schema = Request.chat("a", model="m", response_format=Answer).body["response_format"]
    answer = schema["json_schema"]["schema"]
    for each in (answer, answer["$defs"]["Part"]):
        assert each["additionalProperties"] is False
        assert each["required"] == list(each["properties"])


def test_a_form_that_is_given_as_it_is_goes_out_as_it_is():
    form = {"type": "json_object"}
    assert Request.chat("a", model="m", response_format=form).body["response_format"] == form
    assert Request.response("a", model="m", response_format=form).body["text"] == {"format": form}


@pytest.mark.sdk
@pytest.mark.parametrize(
    "model",
    [
        type("Odd name", (Answer,), {}),
        type(
            "Call",
            (BaseModel,),
            {
                "__annotations__": {"way": type(lambda: 0)},
                "model_config": {"arbitrary_types_allowed": True},
            },
        ),
    ],
    ids=["name", "field"],
)
def test_a_model_that_no_strict_form_describes_is_refused(model):
    with pytest.raises(UsageError, match="schema"):
        Request.chat("a", model="m", response_format=model)
