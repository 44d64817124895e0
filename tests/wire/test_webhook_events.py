"""What a webhook says, and its signature."""

import base64
import hashlib
import hmac
import importlib
import json

import pytest

from batchsim.clock import SystemClock
from batchsim.domain.batches import Batch
from batchsim.domain.lifecycle import Status
from batchsim.errors import UsageError
from batchsim.wire import webhook_events
from tests.sample_batches import sample_batch

KEY = b"a key of any length"
SECRET = "whsec_" + base64.b64encode(KEY).decode()


@pytest.fixture
def ended():
    """A batch that ended in a status, at the second 7 of its life."""

    def make(status="completed", identifier="batch_1"):
        stamps = {f"{status}_at": 107}
        return sample_batch(
            id=identifier, created_at=100, expires_at=200, status=Status(status), **stamps
        )

    return make


@pytest.mark.parametrize("status", ["completed", "failed", "expired", "cancelled"])
def test_row_143_an_event_names_the_batch_and_how_it_ended(ended, status):
    event = json.loads(webhook_events.event(ended(status)))
    assert event.pop("id").startswith("evt_")
    assert event == {
        "object": "event",
        "created_at": 107,
        "type": f"batch.{status}",
        "data": {"id": "batch_1"},
    }


def test_row_143_nothing_is_told_of_a_batch_that_runs(ended):
    running = Batch(
        id="batch_1", endpoint="/v1/responses", input_file_id="f", created_at=1, expires_at=2
    )
    with pytest.raises(ValueError, match="has not ended"):
        webhook_events.event(running)


def test_row_145_a_second_delivery_of_an_event_has_the_same_id(ended):
    assert webhook_events.event(ended()) == webhook_events.event(ended())
    other = json.loads(webhook_events.event(ended(identifier="batch_2")))
    assert other["id"] != json.loads(webhook_events.event(ended()))["id"]


def test_row_144_the_signature_is_hmac_sha256_over_id_timestamp_and_body():
    digest = hmac.digest(KEY, b'evt_1.1700000000.{"a": 1}', hashlib.sha256)
    signature = webhook_events.sign(SECRET, "evt_1", 1_700_000_000, b'{"a": 1}')
    assert signature == "v1," + base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "c2VjcmV0", "whsec_#", "whsec_c2VjcmV", "whsec_é"]
)
def test_row_144_a_secret_that_is_none_is_refused(secret):
    with pytest.raises(UsageError, match="the webhook secret is invalid"):
        webhook_events.sign(secret, "evt_1", 1, b"")


@pytest.fixture
def client():
    import openai

    if not hasattr(openai, "InvalidWebhookSignatureError"):
        pytest.skip("this release of openai does not know webhooks")
    with openai.OpenAI(api_key="x", webhook_secret=SECRET) as client:
        yield client


def delivery(batch, *, at):
    body = webhook_events.event(batch)
    identifier = json.loads(body)["id"]
    return body, {
        "webhook-id": identifier,
        "webhook-timestamp": str(at),
        "webhook-signature": webhook_events.sign(SECRET, identifier, at, body),
    }


@pytest.mark.sdk
@pytest.mark.parametrize("status", ["completed", "failed", "expired", "cancelled"])
def test_rows_143_and_144_the_official_client_unwraps_it(client, ended, status):
    event = client.webhooks.unwrap(*delivery(ended(status), at=int(SystemClock().now())))
    module = importlib.import_module(f"openai.types.webhooks.batch_{status}_webhook_event")
    assert type(event).__name__ in vars(module)
    assert (event.type, event.data.id, event.created_at) == (f"batch.{status}", "batch_1", 107)


@pytest.mark.sdk
def test_row_146_several_signatures_may_be_given(client, ended):
    body, headers = delivery(ended(), at=int(SystemClock().now()))
    headers["webhook-signature"] = f"v1,AAAA {headers['webhook-signature']}"
    assert client.webhooks.unwrap(body, headers).type == "batch.completed"


@pytest.mark.sdk
@pytest.mark.parametrize("off", [-400, 400])
def test_row_146_a_delivery_of_another_time_is_not_accepted(client, ended, off):
    import openai

    body, headers = delivery(ended(), at=int(SystemClock().now()) + off)
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(body, headers)


@pytest.mark.sdk
def test_row_144_a_changed_body_is_not_accepted(client, ended):
    import openai

    body, headers = delivery(ended(), at=int(SystemClock().now()))
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(body.replace(b"batch_1", b"batch_2"), headers)
