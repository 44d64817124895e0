"""Single requests, and the models that answer them."""

import pytest

from batchsim.backends import Answers, Backend
from batchsim.backends.fake import FakeBackend
from batchsim.wire import App

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
REQUESTS = {
    "/v1/chat/completions": (CHAT, "chat.completion"),
    "/v1/responses": ({"model": "gpt-4o-mini", "input": "Hi"}, "response"),
    "/v1/embeddings": ({"model": "text-embedding-3-small", "input": "Hi"}, "list"),
    "/v1/moderations": ({"input": "Hi"}, None),
    "/v1/completions": ({"model": "gpt-3.5-turbo-instruct", "prompt": "Hi"}, "text_completion"),
}


class Bare(Backend):
    """A backend that runs batches and nothing else."""


Bare.__abstractmethods__ = frozenset()


@pytest.mark.parametrize("path", REQUESTS)
def test_an_endpoint_answers_as_in_a_batch(door, path):
    body, kind = REQUESTS[path]
    answer = door.post_json(path, body)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json.get("object") == kind
    assert answer.content.isascii()


def test_the_responder_s_error_keeps_its_status(door_to):
    door = door_to(App(FakeBackend(responder=lambda request: (418, {"error": {"message": "no"}}))))
    answer = door.post_json("/v1/chat/completions", CHAT)
    assert (answer.status, answer.error) == (418, {"message": "no"})


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        ({}, 400, None, None),
        ({**CHAT, "model": "gtp"}, 404, None, "model_not_found"),
        ({**CHAT, "temperature": 3}, 400, "temperature", "decimal_above_max_value"),
        ({"model": "gpt-4o"}, 400, "messages", "missing_required_parameter"),
    ],
)
def test_a_bad_request_gets_the_envelope(door, body, status, param, code):
    answer = door.post_json("/v1/chat/completions", body)
    assert (answer.status, answer.error["param"], answer.error["code"]) == (status, param, code)


def test_a_long_request_is_taken(door):
    body = {**CHAT, "messages": [{"role": "user", "content": "x" * 300_000}]}
    assert door.post_json("/v1/chat/completions", body).status == 200


@pytest.mark.parametrize("path", REQUESTS)
def test_a_backend_that_only_runs_batches_answers_404(door_to, path):
    assert not isinstance(Bare(), Answers)
    answer = door_to(App(Bare())).post_json(path, REQUESTS[path][0])
    assert (answer.status, answer.error["message"]) == (404, f"Invalid URL (POST {path})")


def test_models_are_listed_and_can_be_asked_for(door):
    models = door.send("GET", "/v1/models").json
    assert models["object"] == "list"
    assert {"gpt-4o-mini", "gpt-4o-mini-2024-07-18", "text-embedding-3-small"} <= {
        model["id"] for model in models["data"]
    }
    for model in models["data"]:
        assert door.send("GET", f"/v1/models/{model['id']}").json == model
    dated = door.send("GET", "/v1/models/gpt-4o-mini").json
    assert dated == {
        "id": "gpt-4o-mini",
        "object": "model",
        "created": 1_721_260_800,
        "owned_by": "system",
    }


@pytest.mark.parametrize("name", ["gpt-9-new", "ft:gpt-4o-mini:org::id", "gpt-4o-2024-99-99"])
def test_a_model_of_a_known_family_exists(door, name):
    assert door.send("GET", f"/v1/models/{name}").json["id"] == name


def test_an_unknown_model_is_not_found(door):
    answer = door.send("GET", "/v1/models/llama")
    assert answer.status == 404
    assert answer.error == {
        "message": "The model 'llama' does not exist",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


def test_the_models_are_those_that_the_backend_supports(door_to):
    door = door_to(App(FakeBackend(supports=lambda name: name in ("llama", "gpt-4o"))))
    assert [model["id"] for model in door.send("GET", "/v1/models").json["data"]] == ["gpt-4o"]
    assert door.send("GET", "/v1/models/llama").status == 200
    assert door.post_json("/v1/chat/completions", {**CHAT, "model": "llama"}).status == 200
    assert door.send("GET", "/v1/models/gpt-4").status == 404


def test_a_backend_without_models_lists_none(door_to):
    door = door_to(App(Bare()))
    assert door.send("GET", "/v1/models").json == {"object": "list", "data": []}
    assert door.send("GET", "/v1/models/gpt-4o").status == 404
