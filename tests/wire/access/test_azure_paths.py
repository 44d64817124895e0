"""Azure's paths and its header for keys."""

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.backends.fake.ids import derived_seed
from batchsim.wire import App, Tenants

VERSION = "api-version=2024-10-21"
CHAT = {"messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize(
    "target", ["/openai/v1/files", f"/openai/files?{VERSION}", "/openai/v1/files?api-version=v1"]
)
def test_azure_s_paths_mean_the_api_s_own(door, input_content, target):
    file_id = door.upload_input(input_content).json["id"]
    answer = door.send("GET", target)
    assert [file["id"] for file in answer.json["data"]] == [file_id]
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_batch_runs_by_azure_s_paths_alone(backend, door, forms, input_content):
    parts = [forms.field("purpose", "batch"), forms.file(input_content)]
    file_id = door.upload(parts, target=f"/openai/files?{VERSION}").json["id"]
    creation = {
        "input_file_id": file_id,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }
    batch_id = door.post_json(f"/openai/batches?{VERSION}", creation).json["id"]
    backend.clock.advance(86_400)
    batch = door.send("GET", f"/openai/v1/batches/{batch_id}").json
    assert batch["status"] == "completed"
    content = door.send("GET", f"/openai/files/{batch['output_file_id']}/content?{VERSION}")
    assert b"request-1" in content.content


@pytest.mark.parametrize(
    ("deployment", "model"), [("gpt-4o-mini", "gpt-4o-mini-2024-07-18"), ("gpt%2D4", "gpt-4-0613")]
)
def test_a_deployment_is_the_model_whatever_the_body_says(door, deployment, model):
    target = f"/openai/deployments/{deployment}/chat/completions?{VERSION}"
    for body in (CHAT, {**CHAT, "model": "gpt-5"}):
        answer = door.post_json(target, body)
        assert (answer.status, answer.json["model"]) == (200, model)


@pytest.mark.parametrize(
    "path", ["/openai", "/openai/", "/openai/deployments/x", "/openai/v2/files", "/openai/v1/v1/x"]
)
def test_other_paths_are_unknown(door, path):
    answer = door.send("GET", path)
    assert (answer.status, answer.error["message"]) == (404, f"Invalid URL (GET {path})")


def test_the_key_may_come_in_azure_s_header_on_azure_s_paths_only(door_to):
    door = door_to(App(FakeBackend(), api_keys=["sk-right"]))

    def status(path, key):
        return door.send("GET", path, headers=[("API-Key", key)], authorization=None).status

    assert status("/openai/v1/files", "sk-right") == 200
    assert status("/openai/v1/files", "sk-wrong") == 401
    assert status("/openai/v1/files", " ") == 401
    assert status("/v1/files", "sk-right") == 401


def test_a_key_is_the_same_by_either_header(door_to, input_content):
    door = door_to(App(Tenants(lambda digest: FakeBackend(seed=derived_seed(0, digest)))))
    file_id = door.upload_input(input_content).json["id"]
    path = f"/openai/v1/files/{file_id}"
    assert door.send("GET", path, headers=[("api-key", "sk-any")], authorization=None).status == 200
    assert (
        door.send("GET", path, headers=[("api-key", "sk-other")], authorization=None).status == 404
    )
