"""What a test sees of its account besides what it asserts of it."""

import io
import json

import pytest

from batchsim.clock import SystemClock
from batchsim.errors import UsageError
from batchsim.testing.account import Account
from batchsim.testing.marker_options import read_options
from batchsim.wire.webhook_events import verify

SECRET = "whsec_c2VjcmV0"


def submit(account, content):
    file = account.backend.upload_file(io.BytesIO(content), filename="input.jsonl")
    return account.backend.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions").id


@pytest.mark.parametrize(("scenario", "times"), [("completed", 1), ("webhooks_twice", 2)])
def test_a_webhook_tells_once_of_each_batch_that_ended(content, scenario, times):
    account = Account(read_options({"scenario": scenario}, seed=0))
    assert account.webhooks(SECRET) == []
    first = submit(account, content)
    account.clock.advance(3_600)
    told = account.webhooks(SECRET)
    assert [json.loads(each.body)["data"]["id"] for each in told] == [first] * times
    assert json.loads(told[0].body)["type"] == "batch.completed"
    assert account.webhooks(SECRET) == []
    second = submit(account, content)
    account.clock.advance(3_600)
    assert [json.loads(each.body)["data"]["id"] for each in account.webhooks(SECRET)] == (
        [second] * times
    )


def test_a_webhook_is_signed_at_the_machines_own_time(content):
    account = Account(read_options({}, seed=0))
    submit(account, content)
    account.clock.advance(3_600)
    (delivery,) = account.webhooks(SECRET)
    now = SystemClock().now()
    assert verify(SECRET, delivery.headers, delivery.body, now)
    assert not verify(SECRET, delivery.headers, delivery.body + b" ", now)
    assert not verify("whsec_b3RoZXI=", delivery.headers, delivery.body, now)


def test_a_secret_that_is_none_is_refused_though_nothing_ended():
    with pytest.raises(UsageError, match="secret"):
        Account(read_options({}, seed=0)).webhooks("s3cret")
